"""``sse-push serve``: its help names every setting; settings that can't be are told, each by its name."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from sse_push.service.settings import Settings, variable
from tests.cli.conftest import WITHIN_S, Run, Start
from tests.process import ServerProcess

SECRET = "not-to-be-shown-to-anybody-0123456789"


def test_serve_help_shows_every_setting_with_default_and_reason(run: Run) -> None:
    shown = run("serve", "--help").out
    for name, field in Settings.model_fields.items():
        assert f"\n  {variable(name)}" in shown
        assert field.description in shown
    assert "SSE_PUSH_PORT  [8000]" in shown
    assert "SSE_PUSH_MAX_CONNECTIONS  [1000]" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("AUTH_MODE", "none"),
        ("HEARTBEAT_S", "0"),
        ("MAX_CONNECTIONS", "-1"),
        ("REDIRECT_ORIGINS", "ftp://example.com"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("FUNCTION_SIGNING_KEY", "xyz"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_serve_names_a_setting_that_cant_be(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("SSE_PUSH_AUTH_MODE", "demo")
    monkeypatch.setenv(f"SSE_PUSH_{name}", value)
    done = run("serve")
    assert (done.status, done.out) == (2, "")
    assert f"SSE_PUSH_{name}: " in done.err
    assert "Traceback" not in done.err


def test_serve_tells_of_all_bad_settings_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_PORT", "eighty")
    monkeypatch.setenv("SSE_PUSH_RETRY_MS", "soon")
    done = run("serve")
    assert done.status == 2
    assert "SSE_PUSH_PORT" in done.err
    assert "SSE_PUSH_RETRY_MS" in done.err


def test_serve_wants_to_know_who_may_ask(run: Run) -> None:
    done = run("serve")
    assert done.status == 2
    assert "JWT_SECRET" in done.err
    assert "AUTH_MODE=demo" in done.err


def test_serve_refuses_demo_mode_for_the_world(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_AUTH_MODE", "demo")
    monkeypatch.setenv("SSE_PUSH_HOST", "0.0.0.0")
    done = run("serve")
    assert done.status == 2
    assert "ALLOW_PUBLIC_DEMO" in done.err


def test_serve_never_shows_a_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_JWT_SECRET", SECRET[:20])
    monkeypatch.setenv("SSE_PUSH_FUNCTION_SIGNING_KEY", SECRET)
    for done in (run("serve"), run("serve", "--help")):
        assert SECRET[:20] not in done.out + done.err


@pytest.mark.process
def test_serve_says_that_its_port_is_taken(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = start("serve", AUTH_MODE="demo", PORT=port, DATA_DIR=str(tmp_path))
        _, err = server.communicate(timeout=WITHIN_S)
    assert server.returncode == 1
    assert err == f"sse-push: can't start: port {port} is in use; set SSE_PUSH_PORT to another\n"


@pytest.mark.process
def test_serve_warns_of_unknown_and_renamed_variables(
    start: Start, service: ServerProcess, tmp_path: Path
) -> None:
    port = service.url.rpartition(":")[2]  # taken: it ends at once
    server = start("serve", AUTH_MODE="demo", PORT=port, DATA_DIR=str(tmp_path), LOG_FORMAT="json", MAX_CONNECTONS="5", SHUTDOWN_S="5")  # fmt: skip
    out, _ = server.communicate(timeout=WITHIN_S)
    [renamed] = [line for line in map(json.loads, out.splitlines()) if line["event"] == "settings.renamed"]
    assert (renamed["name"], renamed["new_name"]) == ("SSE_PUSH_SHUTDOWN_S", "SSE_PUSH_SHUTDOWN_TIMEOUT_S")
    [warned] = [line for line in map(json.loads, out.splitlines()) if line["event"] == "settings.unknown"]
    assert (warned["name"], warned["meant"]) == ("SSE_PUSH_MAX_CONNECTONS", "SSE_PUSH_MAX_CONNECTIONS")


@pytest.mark.process
def test_serve_says_that_its_data_is_in_use(start: Start, service: ServerProcess) -> None:
    server = start("serve", AUTH_MODE="demo", PORT="0", DATA_DIR=str(service.folder / "data"))
    _, err = server.communicate(timeout=WITHIN_S)
    assert server.returncode == 1
    assert err.startswith("sse-push: can't start: ")
    assert "Traceback" not in err


@pytest.mark.process
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_serve_ends_with_0_when_it_is_asked_to(start: Start, tmp_path: Path, sign: signal.Signals) -> None:
    server = start("serve", AUTH_MODE="demo", PORT="0", DATA_DIR=str(tmp_path), LOG_FORMAT="json")
    assert server.stdout is not None
    for line in server.stdout:
        if "server.listening" in line:
            break
    os.kill(server.pid, sign)
    _, err = server.communicate(timeout=WITHIN_S)
    assert (server.returncode, err) == (0, "")
