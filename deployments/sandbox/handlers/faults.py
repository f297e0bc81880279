"""Set fault rules and read the request counts. Only for the superuser."""

from __future__ import annotations

from typing import Any

import attrs

from cvat_flows.deployments.sandbox.answers import Refusal, permission_denied
from cvat_flows.deployments.sandbox.calls import Call, Router
from cvat_flows.deployments.sandbox.faults import Faults, Rule

router = Router()


@router.route("GET POST DELETE", "/sandbox/faults")
def rules(call: Call) -> Any:
    """Return the rules; POST replaces them, DELETE removes them."""
    faults = _faults_of(call)
    if call.method != "GET":
        try:
            faults.rules = [Rule(**fields) for fields in call.json() or ()]
        except (TypeError, ValueError) as error:
            raise Refusal(400, [str(error)]) from None
    public = attrs.filters.exclude("_random")
    return [attrs.asdict(rule, filter=public) for rule in faults.rules]


@router.route("GET DELETE", "/sandbox/requests")
def requests(call: Call) -> Any:
    """Return the number of requests by address; DELETE resets it."""
    faults = _faults_of(call)
    if call.method == "DELETE":
        faults.requests.clear()
    return dict(faults.requests)


def _faults_of(call: Call) -> Faults:
    if not call.user["is_superuser"]:
        raise permission_denied()
    return call.sandbox.faults
