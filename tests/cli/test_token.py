"""``sse-push token``: what it mints, the service takes."""

import time

import jwt
import pytest

from sse_push.service.identity import Role
from sse_push.service.tokens import demo_caller
from tests.cli.conftest import Run

SECRET = "a-secret-of-thirty-two-bytes-or-more"


@pytest.fixture
def _secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_JWT_SECRET", SECRET)


def test_token_mints_a_demo_token(run: Run) -> None:
    done = run("token", "--demo", "42", "--role", "user", "--role", "admin", "--name", "Ann")
    assert done.status == 0
    caller = demo_caller(done.out.strip())
    assert (caller.user_id, caller.roles, caller.name) == ("42", {Role.USER, Role.ADMIN}, "Ann")


def test_token_mints_the_guides_demo_token(run: Run) -> None:
    given = ("--role", "user", "--role", "admin", "--name", "testuser", "--email", "test@example.com")
    done = run("token", "--demo", "test123", *given)
    assert done.out == "dGVzdDEyMzp0ZXN0dXNlcjp0ZXN0QGV4YW1wbGUuY29tOnVzZXIsYWRtaW4=\n"


def test_token_makes_no_demo_token_that_would_be_refused(run: Run) -> None:
    done = run("token", "--demo", "a:b")
    assert (done.status, done.out) == (1, "")
    assert "colon" in done.err


@pytest.mark.parametrize("user", ["", "x" * 129, "a\nb"])
def test_token_refuses_what_is_no_user_id(run: Run, user: str) -> None:
    done = run("token", "--demo", "--", user)
    assert done.status == 2
    assert "1 to 128 characters" in done.err


@pytest.mark.usefixtures("_secret")
def test_token_mints_a_jwt(run: Run) -> None:
    done = run("token", "42", "--role", "service", "--room", "a", "--room", "b", "--expires", "60")
    claims = jwt.decode(done.out.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["roles"], claims["rooms"]) == ("42", ["service"], ["a", "b"])
    assert claims["exp"] == pytest.approx(time.time() + 60, abs=10)
    assert "name" not in claims


@pytest.mark.usefixtures("_secret")
def test_token_names_the_issuer_and_audience_that_the_service_checks(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSE_PUSH_JWT_ISSUER", "https://issuer.example")
    monkeypatch.setenv("SSE_PUSH_JWT_AUDIENCE", "sse-push")
    claims = jwt.decode(run("token", "42").out.strip(), SECRET, algorithms=["HS256"], audience="sse-push")
    assert claims["iss"] == "https://issuer.example"
    assert claims["roles"] == ["user"]


def test_token_without_a_secret_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_AUTH_MODE", "demo")
    done = run("token", "42")
    assert (done.status, done.out) == (2, "")
    assert "--demo" in done.err
