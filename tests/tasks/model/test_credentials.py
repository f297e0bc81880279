"""Credentials do not survive in any text that is stored or shown."""

from __future__ import annotations

import base64
import logging
import secrets
from urllib.parse import quote

import pytest

from cvat_flows.tasks.model.credentials import (
    has_user,
    mask,
    remember,
    remember_address,
    remember_environment,
    remember_login,
    remember_pair,
    without_user,
)
from cvat_flows.tasks.model.errors import CvatFlowsError
from cvat_flows.tasks.model.frames import Failure
from cvat_flows.tasks.model.log_filter import CleanFilter
from cvat_flows.tasks.model.text import (
    code_block,
    escape_markdown,
    escape_xml,
    on_one_line,
    shorten_name,
)


def new(characters: str = "") -> str:
    """Return a credential that no other test knows."""
    return secrets.token_hex(12) + characters


@pytest.mark.parametrize("characters", ["", "ä", "p/q+r", 'a"b', "a'b\\", "two  words", "a\tb"])
def test_a_credential_is_masked_in_each_spelling(characters: str) -> None:
    secret = new(characters)
    remember(secret)
    for spelling in (secret, quote(secret, safe=""), repr(secret), repr({"password": secret})):
        assert secret[:24] not in mask(f"before {spelling} after")
    assert mask(f"x{secret}y") == "x***y"


def test_texts_are_masked_before_they_are_cut() -> None:
    secret = new()
    remember(secret)
    text = "x" * 60 + secret
    for cut in (
        on_one_line(text, 72),
        shorten_name(secret + text, 70),
        escape_markdown(text, 72),
        escape_xml(text, 72),
        code_block(text, 130),
    ):
        assert secret[:6] not in cut


def test_a_short_password_is_masked_as_a_word_only() -> None:
    remember_login("joe", "hunt.2")
    assert mask("joe:hunt.2 hunt.2, xhunt.2") == "joe:*** ***, xhunt.2"


def test_a_password_that_is_the_users_name_is_no_secret() -> None:
    remember_login("administrator", "administrator")
    remember_pair("administrator:administrator")
    assert mask("the user administrator") == "the user administrator"


def test_very_short_passwords_do_not_destroy_texts() -> None:
    remember("the", "", None)
    assert mask("the frame") == "the frame"


def test_the_header_of_a_login_is_masked() -> None:
    password = new()
    remember_login("joe", password)
    header = base64.b64encode(f"joe:{password}".encode()).decode()
    assert header not in mask(f"sent Basic {header}")


@pytest.mark.parametrize(
    ("variable", "form"),
    [
        ("CVAT_PASSWORD", "{}"),
        ("CVAT_ACCESS_TOKEN", "{}"),
        ("PREFECT_API_AUTH_STRING", "admin:{}"),
        ("PREFECT_API_KEY", "{}"),
        ("CVAT_FLOWS_STORAGE", "redis://user:{}@host/0"),
        ("CVAT_FLOWS_STORAGE", "redis://:{}@host/0"),
        ("AWS_SECRET_ACCESS_KEY", "{}"),
        ("CVAT_FLOWS_WEBHOOK_SECRET", "{}"),
        ("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://p:{}@host/prefect"),
    ],
)
def test_credentials_of_the_environment(
    variable: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = new()
    monkeypatch.setenv(variable, form.format(secret))
    remember_environment()
    assert secret not in mask(f"refused: {secret}!")


def test_a_percent_encoded_password_is_masked_in_clear_too() -> None:
    secret = new("@/x")
    remember_address(f"redis://user:{quote(secret, safe='')}@host/0")
    assert secret not in mask(f"no login with {secret}")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("see http://user:pw@host/x@2", "see http://***@host/x@2"),
        ("redis://:p@ss@host:1/0", "redis://***@host:1/0"),
        ("https://token@host, s3://b/k", "https://***@host, s3://b/k"),
        ("https://host:80/a@b?c=d@e", "https://host:80/a@b?c=d@e"),
        ("https://b/k?X-Amz-Signature=abc&v=1", "https://b/k?X-Amz-Signature=***&v=1"),
        ("'Authorization': 'Bearer abc.def'", "'Authorization': 'Bearer ***'"),
        ("Authorization: Token 123456", "Authorization: Token ***"),
        ("the access token and the Bearer authentication", None),
        ("frame 5 · im@2x.png", None),
    ],
)
def test_credentials_that_are_not_known(text: str, masked: str | None) -> None:
    assert mask(text) == (text if masked is None else masked)


@pytest.mark.parametrize(
    ("address", "clean"),
    [
        ("http://u:p@host:8080", "http://host:8080"),
        ("https://u@host/x", "https://host/x"),
        ("http://u:p@ss@host", "http://host"),
    ],
)
def test_users_in_addresses(address: str, clean: str) -> None:
    assert has_user(address)
    assert without_user(address) == clean
    assert not has_user(clean)
    assert without_user(clean) == clean


def test_user_without_a_scheme() -> None:
    assert has_user("u:p@host")
    assert not has_user("localhost:8080")
    assert not has_user("http://host/@x?a@b")


# -- where texts become values -----------------------------------------------------------------

ESCAPES = "\x1b[2J\x1b]0;title\x07\u202e\x9b31m\r"


def assert_harmless(text: str, secret: str) -> None:
    assert secret not in text
    assert not set(text) & set("\x1b\x07\u202e\x9b\r")
    assert "title" in text


def test_errors_and_failures_are_clean() -> None:
    secret = new()
    remember(secret)
    text = f"a {secret} {ESCAPES} z"
    assert_harmless(str(CvatFlowsError(text)), secret)
    assert_harmless(repr(CvatFlowsError(text)), secret)
    failure = Failure(step="fetch", error=text, error_type="E", detail=f"line\n{text}\nline")
    assert_harmless(failure.error, secret)
    assert_harmless(failure.detail, secret)
    assert len(failure.detail.splitlines()) >= 3


def test_log_lines_and_tracebacks_are_clean(caplog: pytest.LogCaptureFixture) -> None:
    secret = new()
    remember(secret)
    logger = logging.getLogger("test_credentials")
    caplog.handler.addFilter(clean := CleanFilter())
    try:
        try:
            raise ValueError(f"{secret} {ESCAPES}")
        except ValueError:
            logger.exception("name %s", ESCAPES + secret)
        logger.warning("wrong %d", 7)
    finally:
        caplog.handler.removeFilter(clean)
    assert_harmless(caplog.text, secret)
    assert "Traceback" in caplog.text
    assert "wrong 7" in caplog.text
