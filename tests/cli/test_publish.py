"""``sse-push publish``, against a real service; what it published is read back with ``sse-push listen``."""

import json
import subprocess
from io import StringIO
from itertools import count
from typing import Any

import pytest

from tests.cli.conftest import WITHIN_S, Done, Run, Start
from tests.process import ServerProcess

pytestmark = pytest.mark.process
_users = count(1)


@pytest.fixture
def user() -> str:
    """A user of this test alone."""
    return f"publish-{next(_users)}"


@pytest.fixture
def publish(run: Run, service: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SSE_PUSH_URL", service.url)

    def publish(*argv: str) -> Done:
        return run("publish", *argv)

    return publish


@pytest.fixture
def since(publish: Run, run: Run, user: str) -> Run:
    """Gives the events that *user* got on a stream since this test began."""
    start = publish("--user", user, "0").out.strip()

    def since(path: str, number: int = 1) -> list[dict[str, Any]]:
        done = run("listen", "--user", user, "--json", "--last-event-id", start, "--count", str(number), path)
        assert done.status == 0, done.err
        return [json.loads(line) for line in done.lines]

    return since


def test_publish_prints_the_id_of_what_arrives(publish: Run, since: Any, user: str) -> None:
    done = publish("--user", user, '{"message":"hi"}')
    assert (done.status, done.err) == (0, "")
    [id_] = done.lines
    assert since("/v1/app/sse") == [{"id": id_, "event": "message", "data": '{"message":"hi"}'}]


def test_publish_sends_topic_and_name(publish: Run, since: Any, user: str) -> None:
    publish("--user", user, "--topic", "notifications", "--event", "greeting", "[1, 2]")
    [event] = since("/notifications/stream")
    assert (event["event"], event["data"]) == ("greeting", "[1,2]")


@pytest.mark.parametrize("audience", [["--users", "somebody, {user}"], ["--broadcast"]])
def test_publish_reaches_each_audience(publish: Run, since: Any, user: str, audience: list[str]) -> None:
    assert publish(*(option.format(user=user) for option in audience), '"for us"').status == 0
    assert [event["data"] for event in since("/v1/app/sse")] == ["for us"]


def test_publish_reaches_a_room(publish: Run, since: Any, user: str) -> None:
    publish("--room", user, '"in here"')
    assert [event["data"] for event in since(f"/chat/stream?room={user}")] == ["in here"]


def test_publish_reaches_nobody_else(publish: Run, since: Any, user: str) -> None:
    publish("--user", "somebody-else", '"secret"')
    publish("--user", user, '"mine"')
    assert [event["data"] for event in since("/v1/app/sse")] == ["mine"]


def test_publish_sends_text_as_it_is(publish: Run, since: Any, user: str) -> None:
    publish("--user", user, "--text", '{"not": json\n\tat all}')
    publish("--user", user, "--text", "12")
    assert [event["data"] for event in since("/v1/app/sse", 2)] == ['{"not": json\n\tat all}', "12"]


def test_publish_reads_stdin(publish: Run, since: Any, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("two\nlines\n"))
    publish("--user", user, "--text", "-")
    monkeypatch.setattr("sys.stdin", StringIO('{"a": 1}\n'))
    publish("--user", user, "-")
    assert [event["data"] for event in since("/v1/app/sse", 2)] == ["two\nlines", '{"a":1}']


def test_publish_with_a_key_publishes_once(publish: Run, user: str) -> None:
    first = publish("--user", user, "--key", user, "1")
    again = publish("--user", user, "--key", user, "1")
    other = publish("--user", user, "--key", user + "x", "1")
    assert first.out == again.out != other.out


def test_publish_with_a_ttl_is_not_replayed_after_it(publish: Run, since: Any, user: str) -> None:
    publish("--user", user, "--ttl", "0.001", '"gone"')
    publish("--user", user, "--ttl", "60", '"still here"')
    assert [event["data"] for event in since("/v1/app/sse")] == ["still here"]


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["1"], "--broadcast is required"),
        (["--user", "42"], "DATA is required"),
        (["--user", "42", "--broadcast", "1"], "not allowed with"),
        (["--user", "42", "hello"], "--text"),
        (["--user", "42", "NaN"], "not JSON"),
        (["--user", "42", "--ttl", "soon", "1"], "--ttl"),
        (["--ndjson", "--user", "42"], "--ndjson"),
        (["--ndjson", "1"], "--ndjson"),
    ],
)
def test_publish_refuses_what_makes_no_event(publish: Run, argv: list[str], said: str) -> None:
    done = publish(*argv)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--user", "42", "--topic", "system", "1"], "422 "),
        (["--user", "42", "--topic", "nonsense", "1"], "422 "),
        (["--user", "42", "--ttl", "-1", "1"], "ttl"),
        (["--user", "42", "--event", "sse.gap", "1"], "event"),
        (["--users", ",", "1"], "userIds"),
        (["--user", "42", "--token", "bad", "1"], "401 Unauthorized: the token is not valid"),
    ],
)
def test_publish_tells_why_the_service_refused(publish: Run, argv: list[str], said: str) -> None:
    done = publish(*argv)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("sse-push: 4")
    assert said in done.err
    assert "request " in done.err


def test_publish_tells_users_that_they_may_not(publish: Run, run: Run) -> None:
    users = run("token", "--demo", "42").out.strip()
    done = publish("--user", "42", "--token", users, "1")
    assert done.status == 1
    assert done.err.startswith("sse-push: 403 Forbidden: ")


@pytest.mark.parametrize("more", [["--user", "42", "1"], ["--ndjson"]])
def test_publish_tells_that_nobody_is_there(start: Start, more: list[str]) -> None:
    publisher = start("publish", *more, URL="http://127.0.0.1:1")
    out, err = publisher.communicate('{"broadcast":true,"data":1}\n', timeout=WITHIN_S)
    assert (publisher.returncode, out) == (1, "")
    assert err.startswith("sse-push: can't reach 127.0.0.1:1: Connection refused")


def test_publish_tells_what_is_no_url(publish: Run) -> None:
    done = publish("--user", "42", "--url", "localhost:8000", "1")
    assert done.status == 1
    assert "is not a URL of a service" in done.err


# -- many at once --------------------------------------------------------------------------------------


def _line(process: "subprocess.Popen[str]", line: str) -> dict[str, str]:
    """The answer to *line*, which must come while the request goes on."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer: dict[str, str] = json.loads(process.stdout.readline())
    return answer


def test_publish_ndjson_answers_each_line_before_the_next(
    start: Start, since: Any, user: str, service: ServerProcess
) -> None:
    publisher = start("publish", "--ndjson", URL=service.url)
    first = _line(publisher, json.dumps({"userId": user, "data": "é"}))
    second = _line(publisher, json.dumps({"userId": user, "data": 2}))
    _, err = publisher.communicate("\n", timeout=WITHIN_S)
    assert (publisher.returncode, err) == (0, "")
    assert [(event["id"], event["data"]) for event in since("/v1/app/sse", 2)] == [
        (first["id"], "é"),
        (second["id"], "2"),
    ]


def test_publish_ndjson_ends_with_1_when_a_line_was_refused(start: Start, service: ServerProcess) -> None:
    publisher = start("publish", "--ndjson", URL=service.url)
    lines = ['{"broadcast":true,"topic":"client","data":1}', "nonsense", '{"data":1}']
    out, _ = publisher.communicate("\n".join(lines), timeout=WITHIN_S)
    assert publisher.returncode == 1
    assert [next(iter(json.loads(line))) for line in out.splitlines()] == ["id", "error", "error"]


def test_publish_ndjson_takes_many(start: Start, user: str, service: ServerProcess) -> None:
    publisher = start("publish", "--ndjson", URL=service.url)
    line = json.dumps({"userId": user, "data": "x" * 100})
    out, err = publisher.communicate(f"{line}\n" * 5000, timeout=WITHIN_S)
    assert (publisher.returncode, err) == (0, "")
    assert len({json.loads(line)["id"] for line in out.splitlines()}) == 5000


def test_publish_ndjson_does_not_wait_for_stdin_once_it_is_refused(
    start: Start, service: ServerProcess
) -> None:
    publisher = start("publish", "--ndjson", "--token", "bad", URL=service.url)
    assert publisher.wait(WITHIN_S) == 1  # stdin is still open
    assert publisher.stderr is not None
    assert publisher.stderr.read().startswith("sse-push: 401 Unauthorized")
