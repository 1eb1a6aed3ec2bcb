"""``sse-push listen``, against a real service."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.cli.conftest import WITHIN_S, Run, Start
from tests.process import ServerProcess

pytestmark = pytest.mark.process
_users = count(1)


@pytest.fixture
def user() -> str:
    """A user of this test alone."""
    return f"listen-{next(_users)}"


@pytest.fixture
def at_service(run: Run, service: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SSE_PUSH_URL", service.url)
    return run


def opened(listener: "subprocess.Popen[str]") -> str:
    """Wait until the stream is open; what was said of it."""
    assert listener.stderr is not None
    return listener.stderr.readline()


def test_listen_shows_what_comes_a_line_each(
    at_service: Run, start: Start, service: ServerProcess, user: str
) -> None:
    listener = start("listen", "--user", user, "--count", "2", "/v1/app/sse", URL=service.url)
    assert opened(listener) == f"sse-push: listening to {service.url}/v1/app/sse\n"
    first = at_service("publish", "--user", user, '{"message":"hi"}').out.strip()
    second = at_service("publish", "--user", user, "--event", "note", "--text", "a\tb\n\x1b[31mc").out.strip()
    out, err = listener.communicate(timeout=WITHIN_S)
    assert (listener.returncode, err) == (0, "")
    assert out.splitlines() == [
        f'{first}\tmessage\t{{"message":"hi"}}',
        f"{second}\tnote\ta\\tb\\n\\x1b[31mc",
    ]


def test_listen_shows_json_exactly(at_service: Run, user: str) -> None:
    start = at_service("publish", "--user", user, "0").out.strip()
    id_ = at_service("publish", "--user", user, "--event", "note", "--text", "a\tb\n\x1b[31mé").out.strip()
    done = at_service(
        "listen", "--user", user, "--json", "--count", "1", "--last-event-id", start, "/v1/app/sse"
    )
    assert json.loads(done.out) == {"id": id_, "event": "note", "data": "a\tb\n\x1b[31mé"}


def test_listen_shows_events_without_an_id(at_service: Run) -> None:
    done = at_service("listen", "--count", "2", "/custom/stream")
    assert [line.split("\t")[:2] for line in done.lines] == [["-", "message"]] * 2
    done = at_service("listen", "--json", "--count", "1", "/custom/stream")
    assert json.loads(done.out)["id"] is None


def test_listen_takes_many_topics(at_service: Run, user: str) -> None:
    start = at_service("publish", "--user", user, "0").out.strip()
    at_service("publish", "--room", user, '"in the room"')
    at_service("publish", "--user", user, '"for me"')
    path = f"/v1/stream?topics=app,chat:{user}"
    done = at_service("listen", "--user", user, "--count", "2", "--last-event-id", start, path)
    assert [line.split("\t")[1:] for line in done.lines] == [
        [f"chat:{user}", "in the room"],
        ["app", "for me"],
    ]


def test_listen_with_the_role_of_an_admin_sees_anybodys(at_service: Run, user: str) -> None:
    start = at_service("publish", "--user", user, "0").out.strip()
    at_service("publish", "--user", "somebody-else", '"for somebody else"')
    given = ("--user", user, "--role", "admin", "--count", "1", "--last-event-id", start)
    assert at_service("listen", *given, "/v1/app/sse").out.endswith("for somebody else\n")


def test_listen_tells_of_a_gap(at_service: Run, start: Start, service: ServerProcess, user: str) -> None:
    given = ("--user", user, "--count", "1", "--last-event-id", "never-given-7")
    listener = start("listen", *given, "/v1/app/sse", URL=service.url)
    opened(listener)
    assert listener.stderr is not None
    assert listener.stderr.readline() == (
        "sse-push: events after never-given-7 can't be found, for this service never gave that id (sse.gap); "
        "goes on with what comes now\n"
    )
    at_service("publish", "--user", user, "1")
    out, _ = listener.communicate(timeout=WITHIN_S)
    assert out.endswith("\tmessage\t1\n")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/app/sse", "401 Unauthorized"), ("/nowhere", "404 Not Found"), ("/v1/stream?topics=x", "401")],
)
def test_listen_stops_when_it_is_refused(at_service: Run, path: str, status: str) -> None:
    done = at_service("listen", path)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"sse-push: {status}")


def test_listen_says_how_to_say_who_asks(at_service: Run) -> None:
    assert "--user" in at_service("listen", "/v1/app/sse").err


def test_listen_stops_when_it_may_not(at_service: Run, user: str) -> None:
    done = at_service("listen", "--user", user, "/v1/app/sse/somebody-else")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("sse-push: 403 Forbidden: ")


@pytest.mark.parametrize(
    "argv", [["v1/app/sse"], ["--count", "0", "/x"], ["--count", "x", "/x"], ["--user", "", "/x"]]
)
def test_listen_refuses_what_makes_no_stream(at_service: Run, argv: list[str]) -> None:
    done = at_service("listen", *argv)
    assert (done.status, done.out) == (2, "")


# -- streams that break --------------------------------------------------------------------------------


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[ServerProcess]:
    """A service of this test alone, to be killed; clients come back to it soon."""
    server = ServerProcess(tmp_path / "mortal", retry_ms=50)
    server.folder.mkdir()
    asyncio.run(server.start())
    yield server
    server.clean_up()


def test_listen_resumes_through_kill_9_without_loss_or_repeat(
    run: Run, start: Start, mortal: ServerProcess, user: str
) -> None:
    listener = start("listen", "--user", user, "--count", "4", "/v1/app/sse", URL=mortal.url)
    opened(listener)
    for number in range(3):
        assert run("publish", "--url", mortal.url, "--user", user, str(number)).status == 0
    asyncio.run(mortal.kill())
    assert "; trying again in " in opened(listener)
    asyncio.run(mortal.start())
    assert run("publish", "--url", mortal.url, "--user", user, "3").status == 0
    out, err = listener.communicate(timeout=WITHIN_S)
    assert [line.split("\t")[2] for line in out.splitlines()] == ["0", "1", "2", "3"]
    assert listener.returncode == 0
    assert "sse.gap" not in err


def test_listen_tells_that_its_token_expired_and_stops(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a-secret-of-thirty-two-bytes-or-more"
    server = ServerProcess(tmp_path, auth_mode="jwt", jwt_secret=secret, retry_ms=50)
    asyncio.run(server.start())
    try:
        monkeypatch.setenv("SSE_PUSH_JWT_SECRET", secret)
        token = run("token", "42", "--expires", "2").out.strip()
        done = run("listen", "--token", token, "--url", server.url, "/v1/app/sse")
    finally:
        server.clean_up()
    assert (done.status, done.out) == (1, "")
    said = done.err.splitlines()
    assert said[0].startswith("sse-push: listening to ")
    assert "sse.expired" in said[1]
    assert said[-1].startswith("sse-push: 401 Unauthorized: the token has expired")
