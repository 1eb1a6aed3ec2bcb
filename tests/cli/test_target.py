"""Which service, and which token: options before the environment, the environment before what can be made up."""

import argparse

import jwt
import pytest

from sse_push.cli import target
from sse_push.service.identity import Role
from sse_push.service.tokens import demo_caller
from tests.cli.conftest import Run

SECRET = "a-secret-of-thirty-two-bytes-or-more"


@pytest.fixture
def env(run: Run, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Sets settings; ``run`` has taken away those of whoever runs the tests."""
    return monkeypatch


def parsed(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    target.add_options(parser)
    return parser.parse_args(argv)


def token(url: str = "https://push.example", *argv: str) -> str | None:
    return target.token_of(parsed(*argv), url, "42", [Role.SERVICE])


def test_url_is_by_default_that_of_serve(env: pytest.MonkeyPatch) -> None:
    assert target.url_of(parsed()) == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:9000"),
        ("::", "http://[::1]:9000"),
        ("::1", "http://[::1]:9000"),
        ("localhost", "http://localhost:9000"),
    ],
)
def test_url_follows_the_settings_of_serve(env: pytest.MonkeyPatch, host: str, url: str) -> None:
    env.setenv("SSE_PUSH_HOST", host)
    env.setenv("SSE_PUSH_PORT", "9000")
    assert target.url_of(parsed()) == url


def test_url_is_the_options_then_the_environments(env: pytest.MonkeyPatch) -> None:
    env.setenv("SSE_PUSH_PORT", "9000")
    env.setenv("SSE_PUSH_URL", "https://push.example/base/")
    assert target.url_of(parsed()) == "https://push.example/base"
    assert target.url_of(parsed("--url", "http://10.0.0.1")) == "http://10.0.0.1"


@pytest.mark.parametrize("url", ["push.example", "ftp://push.example", "http://", "http://[::1", "http://h:port", "http://h/?a"])  # fmt: skip
def test_url_that_is_none_is_refused(env: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(target.NoTarget, match="is not a URL"):
        target.url_of(parsed("--url", url))


def test_url_of_any_free_port_cant_be_known(env: pytest.MonkeyPatch) -> None:
    env.setenv("SSE_PUSH_PORT", "0")
    with pytest.raises(target.NoTarget, match="--url"):
        target.url_of(parsed())


def test_token_is_the_options_then_the_environments(env: pytest.MonkeyPatch) -> None:
    env.setenv("SSE_PUSH_JWT_SECRET", SECRET)
    env.setenv("SSE_PUSH_TOKEN", " from-env\n")
    assert token() == "from-env"
    assert token("https://push.example", "--token", "given") == "given"


def test_token_is_signed_where_there_is_a_secret(env: pytest.MonkeyPatch) -> None:
    env.setenv("SSE_PUSH_JWT_SECRET", SECRET)
    env.setenv("SSE_PUSH_AUTH_MODE", "demo")
    minted = token("http://127.0.0.1:8000")
    assert minted is not None
    claims = jwt.decode(minted, SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["roles"]) == ("42", ["service"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1", "http://localhost"]
)
def test_token_is_a_demo_token_on_this_machine(env: pytest.MonkeyPatch, url: str) -> None:
    made = token(url)
    assert made is not None
    caller = demo_caller(made)
    assert (caller.user_id, caller.roles) == ("42", {Role.SERVICE})


def test_token_is_a_demo_token_in_demo_mode(env: pytest.MonkeyPatch) -> None:
    env.setenv("SSE_PUSH_AUTH_MODE", "demo")
    made = token()
    assert made is not None
    assert demo_caller(made).user_id == "42"


@pytest.mark.parametrize("url", ["https://push.example", "http://10.0.0.1", "http://localhost.example.com"])
def test_token_is_not_made_up_for_another_machine(env: pytest.MonkeyPatch, url: str) -> None:
    assert token(url) is None


def test_token_that_would_forge_a_header_is_refused(env: pytest.MonkeyPatch) -> None:
    with pytest.raises(target.NoTarget):
        token("https://push.example", "--token", "a\r\nX-Forged: b")
