"""Logs: JSON lines in production, and no token in any of them."""

import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from sse_push.service.logging import configure_logging, redact
from tests.conftest import SECRET, Listen, mint


@pytest.fixture
def configured() -> Iterator[Callable[[str, str], None]]:
    """Configures logging, and puts everything back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.unraisablehook, threading.excepthook

    def configure(format_: Any, level: str) -> None:
        configure_logging(format_, level)
        structlog.configure(
            cache_logger_on_first_use=False
        )  # or other tests' loggers would keep these settings

    yield configure
    sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def test_line_is_json_with_its_level_and_time(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("json", "info")
    structlog.get_logger().info("stream.opened", user="42", text="a\nb\u2028ü", number=1, missing=None)

    [line] = _lines(capsys.readouterr().out)

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "stream.opened", "level": "info", "user": "42", "text": "a\nb\u2028ü", "number": 1, "missing": None,
    }  # fmt: skip


def test_line_takes_values_that_are_no_json(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("json", "info")
    structlog.get_logger().info("x", thing=object(), nan=float("nan"), raw=b"abc", names={"a"})

    [line] = _lines(capsys.readouterr().out)

    assert "object" in line["thing"]


def test_line_holds_an_exception_in_one_line(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("json", "info")
    try:
        raise ValueError("broken")
    except ValueError as error:
        structlog.get_logger().error("request.unhandled_error", exc_info=error)

    [line] = _lines(capsys.readouterr().out)

    assert "ValueError: broken" in line["exception"]


def test_lines_below_the_level_are_left_out(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("json", "warning")
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)

    assert [line["event"] for line in _lines(capsys.readouterr().out)] == ["warning", "error"]


def test_console_is_for_people(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("console", "info")
    structlog.get_logger().info("stream.opened", user="42")

    out = capsys.readouterr().out
    assert "stream.opened" in out
    assert not out.startswith("{")


@pytest.mark.parametrize(("terminal", "json_lines"), [(True, False), (False, True)])
def test_auto_asks_whether_there_is_a_terminal(
    configured: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    json_lines: bool,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    configured("auto", "info")
    structlog.get_logger().info("x")

    assert capsys.readouterr().out.startswith("{") is json_lines


def test_lines_of_libraries_go_the_same_way(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("json", "info")
    logging.getLogger("aiohttp.server").warning("GET /v1/app/sse?token=%s failed", "very-secret")
    logging.getLogger("aiohttp.access").info("too chatty")

    [line] = _lines(capsys.readouterr().out)

    assert (line["event"], line["level"], line["logger"]) == ("library.logged", "warning", "aiohttp.server")
    assert line["message"] == "GET /v1/app/sse?token=[redacted] failed"


def test_error_of_a_library_is_redacted_too(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configured("json", "info")
    try:
        raise ValueError("bad line: GET /?token=very-secret HTTP/1.1")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request")

    out = capsys.readouterr().out
    assert "very-secret" not in out
    assert "token=[redacted]" in _lines(out)[0]["error"]


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/app/sse?token=very-secret HTTP/1.1",
        "GET /v1/app/sse?a=b&token=very-secret&c=d",
        "/x?TOKEN=very-secret",
        "Cookie: access_token=very-secret; other=1",
        "Cookie: other=1; access_token=very-secret",
        "Authorization: Bearer very-secret",
        "authorization: bearer very-secret",
        "Authorization: Bearer  very-secret",
        "{'Authorization': 'Bearer very-secret'}",
        "b'GET /?token=very-secret\\r\\n'",
        'access_token="very-secret"',
        "two ?token=very-secret and Bearer very-secret",
        "token=very-secret",
        "https://x/y?token=very-secret#fragment",
    ],
)
def test_redaction_leaves_no_token(text: str) -> None:
    assert "very-secret" not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text", ["", "stream.closed", "the token is not valid", "GET /v1/app/sse?topics=a HTTP/1.1"]
)
def test_redaction_leaves_the_rest_alone(text: str) -> None:
    assert redact(text) == text


MALFORMED = [
    b"GET /v1/app/sse?token=%b x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/app/sse?tok%%65n=%b HTTP/9.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nCookie access_token %b\r\n\r\n",
    b"%b\r\n\r\n",
    b"GET /?token=%b" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
]


async def test_log_of_malformed_requests_never_shows_a_token(
    listen: Listen, configured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("json", "debug")
    token = mint("42")
    server = await listen()
    for request in MALFORMED:
        peer = await server.connect(request % token.encode())
        assert (await peer.answer())[0].split()[1] in ("400", "414", "431")

    out = capsys.readouterr().out
    assert len([line for line in _lines(out) if line["event"] == "request.malformed"]) == len(MALFORMED)
    for secret in (token, *token.split(".")[1:], SECRET):
        assert secret not in out


async def test_log_of_a_day_never_shows_a_token_or_what_events_say(
    listen: Listen, configured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("json", "debug")
    service = mint("publisher", "service")
    user = mint("42")
    server = await listen()
    body = b'{"userId":"42","data":"what-events-say"}'
    requests = [
        f"GET /v1/app/sse?token={user} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        f"GET /v1/app/sse HTTP/1.1\r\nHost: x\r\nCookie: access_token={user}\r\n\r\n".encode(),
        f"GET /nowhere?token={user} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    ]
    for _ in range(3):
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service}\r\nContent-Type: application/json\r\n"
        requests.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    for request in requests:
        await (await server.connect(request)).head()

    out = capsys.readouterr().out
    events = {line["event"] for line in _lines(out)}
    assert {"stream.opened", "request.completed", "event.published"} <= events
    for secret in (service, user, SECRET, "what-events-say"):
        assert secret not in out


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize(
    "value", ["\ud83d", Unshowable(), {"a": Unshowable()}, {("a", 1): "\ud83d"}, [float("nan"), object()]]
)
def test_value_that_cant_be_shown_still_makes_a_line(
    configured: Any, capsys: pytest.CaptureFixture[str], format_: str, value: object
) -> None:
    configured(format_, "info")
    structlog.get_logger().info("x.happened", value=value)
    assert capsys.readouterr().out.count("x.happened") == 1


def test_line_of_a_library_with_wrong_arguments_is_logged(
    configured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("json", "info")
    logging.getLogger("x").warning("%d of %s", "one", Unshowable())
    [line] = _lines(capsys.readouterr().out)
    assert line["message"] == "%d of %s"


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize("field", ["path", "exception", "na\x1bme"])
def test_line_holds_nothing_for_a_terminal_to_obey(
    configured: Any, capsys: pytest.CaptureFixture[str], format_: str, field: str
) -> None:
    configured(format_, "info")
    structlog.get_logger().info("x", **{field: "a\x1b]0;title\x07\x9b31m\x7f\u202eb\rc"})
    out = capsys.readouterr().out.replace("\x1b[0m", "")  # structlog's own colours
    assert not re.search("[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e]|\x1b(?!\\[[0-9;]*m)", out)
    assert len(out.splitlines()) == 1 + (format_ == "console" and field == "exception")


def test_what_python_would_print_is_logged(configured: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("in vain")

    def fail() -> None:
        raise ValueError("in a thread")

    configured("json", "info")
    Broken()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    said = capsys.readouterr()
    assert ["in vain" in line["error"] for line in _lines(said.out)] == [True, False]
    assert said.err == ""
