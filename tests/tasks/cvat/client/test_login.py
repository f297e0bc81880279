"""Logging in through proxies and with wrong addresses: it works, or one sentence says why not."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cvat_flows.deployments.sandbox.process import SandboxProcess
from cvat_flows.flows.commands.base.exit_status import MISTAKE, SERVER, status_of
from cvat_flows.tasks.cvat.client.connection import connect
from cvat_flows.tasks.cvat.client.http import get_json, send_json
from cvat_flows.tasks.cvat.client.server import ServerSettings
from cvat_flows.tasks.model.errors import CvatFlowsError
from tests.support.front import Answer, Change, Request, front

Ask = Callable[[], Answer]


def settings(host: str, **fields: Any) -> ServerSettings:
    return ServerSettings(**{"host": host, "username": "admin", "password": "admin", **fields})


def error_of(host: str, **fields: Any) -> CvatFlowsError:
    with pytest.raises(CvatFlowsError) as caught:
        connect(settings(host, **fields))
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def keep_set_cookie_back(request: Request, ask: Ask) -> Answer:
    answer = ask()
    kept = [(name, value) for name, value in answer.headers if name.lower() != "set-cookie"]
    return evolve(answer, headers=kept)


def without(*names: str) -> Change:
    def change(request: Request, ask: Ask) -> Answer:
        for name in names:
            request.headers.pop(name, None)
        return ask()

    return change


@pytest.mark.parametrize("change", [keep_set_cookie_back, without("Cookie")])
def test_a_proxy_that_drops_cookies_does_no_harm(
    sandbox: SandboxProcess, make_task: Callable[..., Any], change: Change
) -> None:
    task = make_task(1)
    with front(sandbox.url, change) as url:
        client = connect(settings(url))
        assert get_json(client, f"/api/tasks/{task.id}", subject="task")["id"] == task.id
        changed = send_json(
            client, "PATCH", f"/api/tasks/{task.id}", {"name": "new"}, subject="task"
        )
        assert changed["name"] == "new"


def test_a_proxy_that_drops_all_credentials(sandbox: SandboxProcess) -> None:
    with front(sandbox.url, without("Cookie", "Authorization")) as url:
        error = error_of(url)
    assert "does not accept the credentials of admin" in str(error)
    assert "keep back the headers Cookie and Authorization" in str(error)
    assert status_of(error) == SERVER


def answering(status: int, body: bytes, **headers: str) -> Change:
    shown = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda request, ask: Answer(status=status, headers=shown, body=body)


@pytest.mark.parametrize(
    ("change", "words", "status"),
    [
        # CVAT's own proxy (traefik) knows it by one name only. Django has a list of names.
        (answering(404, b"404 page not found\n"), "host name that CVAT was set up with", SERVER),
        (
            answering(400, b"<html><title>Bad Request (400)</title></html>"),
            '400 to a login (a web page ("Bad Request (400)"))',
            SERVER,
        ),
        (
            answering(403, b'{"detail": "CSRF Failed: Origin checking failed - no."}'),
            "use an access token",
            SERVER,
        ),
        (
            answering(403, b"<html><title>Attack blocked</title></html>"),
            'a server in front of CVAT forbids this request (403, a web page ("Attack blocked"))',
            SERVER,
        ),
        (
            answering(301, b"", Location="https://cvat.example.com/api/auth/login"),
            "redirects to https://cvat.example.com: use that address",
            SERVER,
        ),
        (answering(502, b"<html><title>Bad Gateway</title></html>"), "answered 502", SERVER),
        (answering(429, b""), "throttles logins", SERVER),
    ],
)
def test_what_refuses_a_login(
    sandbox: SandboxProcess, change: Change, words: str, status: int
) -> None:
    with front(sandbox.url, change) as url:
        error = error_of(url)
    assert words in str(error)
    assert status_of(error) == status


def test_a_redirect_is_found_with_an_access_token(sandbox: SandboxProcess) -> None:
    """Reads would follow it, but uploads would not."""
    with front(sandbox.url, lambda request, ask: ask()) as final:

        def redirect(request: Request, ask: Ask) -> Answer:
            return Answer(status=308, headers=[("Location", final + request.path)])

        client = connect(settings(final))
        token = send_json(
            client, "POST", "/api/auth/access_tokens", {"name": "t"}, subject="the token"
        )["value"]
        with front(sandbox.url, redirect) as url:
            error = error_of(url, access_token=token, password=None)
    assert f"redirects to {final}: use that address" in str(error)


def test_addresses_that_are_no_addresses(sandbox: SandboxProcess) -> None:
    bare = sandbox.url.removeprefix("http://")
    error = error_of(bare)
    assert f"https://{bare} (the address has no http:// or https://, so https:// was used)" in str(
        error
    )
    assert f"write http://{bare}" in str(error)
    assert status_of(error) == SERVER
    assert "does not speak TLS" in str(error_of(f"https://{bare}"))
    error = error_of("ftp://cvat.example.com")
    assert "ftp" in str(error)
    assert status_of(error) == MISTAKE
    error = error_of("http://no-such-host.invalid")
    assert "cannot be reached" in str(error)
    error = error_of(sandbox.url, organization="nowhere")
    assert status_of(error) == MISTAKE


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_a_certificate_that_nobody_vouches_for(
    sandbox: SandboxProcess, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front(sandbox.url, lambda request, ask: ask(), certificate=certificate) as url:
        error = error_of(url)
        text = str(error)
        assert "self-signed certificate" in text
        assert all(way in text for way in ("--insecure", "CVAT_VERIFY_SSL=0", "SSL_CERT_FILE"))
        assert status_of(error) == SERVER
        # Each of the ways that it names works.
        assert connect(settings(url, verify_ssl=False))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert connect(settings(url))


def test_a_login_tells_the_password_to_the_server_only(sandbox: SandboxProcess) -> None:
    seen: list[Any] = []

    def watch(request: Request, ask: Ask) -> Answer:
        if request.path.endswith("/login"):
            seen.append(json.loads(request.body))
        return ask()

    with front(sandbox.url, watch) as url:
        error = error_of(url, password="very-secret")
    assert seen == [{"username": "admin", "password": "very-secret"}]
    assert "very-secret" not in str(error)
    assert "very-secret" not in repr(settings("h", password="very-secret"))
