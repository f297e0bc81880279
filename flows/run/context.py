"""The context of a run: what it is about, in one value that nothing changes."""

from __future__ import annotations

from attrs import field, frozen
from cvat_sdk import Client

from aa_functions.reference import LoadedFunction, load_function
from cvat_flows.flows.parameters import AnnotateTaskParameters
from cvat_flows.flows.run.connect import connect_for_run
from cvat_flows.flows.run.live import LiveInputs
from cvat_flows.flows.run.naming import name_flow_run
from cvat_flows.tasks.cvat.login import remember_session
from cvat_flows.tasks.cvat.retry import write_policy
from cvat_flows.tasks.cvat.settings import find_settings
from cvat_flows.tasks.matching.mapping import load_mapping
from cvat_flows.tasks.matching.result import SpecMatch
from cvat_flows.tasks.model.labels import Label
from cvat_flows.tasks.model.media import TaskMedia
from cvat_flows.tasks.steps import fetch_labels, fetch_media, match_spec
from cvat_flows.tasks.storage import Storage, open_storage


@frozen(kw_only=True, eq=False)
class RunContext:
    """A function, a CVAT task, and how one is to annotate the other."""

    parameters: AnnotateTaskParameters
    live: LiveInputs = field(factory=LiveInputs)
    client: Client
    media: TaskMedia
    function: LoadedFunction
    labels: tuple[Label, ...]
    """Labels of the CVAT task."""
    match: SpecMatch
    storage: Storage


def open_context(parameters: AnnotateTaskParameters, live: LiveInputs | None = None) -> RunContext:
    """Connect to CVAT, read the task and its labels, load the function and match the labels.

    Raises BadRequestLifetime, CannotConnect, CvatRefused, CvatUnavailable, FunctionReferenceError,
    SpecMismatch and the errors of a task without frames.
    """
    live = live or LiveInputs()
    write_policy()  # A bad setting ends the run now, not after the detection.
    client = live.client or connect_for_run(find_settings(parameters.server))
    remember_session(client)
    media = fetch_media(client, parameters.task_id)
    name_flow_run(parameters, media, live)
    function = live.function or load_function(parameters.reference)
    labels = fetch_labels(client, parameters.task_id)
    match = match_spec(
        function,
        labels,
        thresholds=parameters.label_thresholds or {},
        allow_unmatched_labels=parameters.allow_unmatched_labels,
        conv_mask_to_poly=parameters.conv_mask_to_poly,
        mapping=load_mapping(parameters.label_mapping),
    )
    return RunContext(
        parameters=parameters,
        live=live,
        client=client,
        media=media,
        function=function,
        labels=labels,
        match=match,
        storage=open_storage(),
    )
