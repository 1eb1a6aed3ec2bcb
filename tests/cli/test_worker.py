"""``sse-push worker``: what it needs; that it works is tried in tests/e2e/test_group_chat.py."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_worker_needs_redis(run: Run) -> None:
    done = run("worker")

    assert done.status == 2
    assert "SSE_PUSH_ENGINE_URL=redis://" in done.err


def test_worker_needs_no_way_to_tell_callers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No JWT secret, no address: it stops at what it does need."""
    monkeypatch.setenv("SSE_PUSH_HOST", "0.0.0.0")
    monkeypatch.setenv("SSE_PUSH_ENGINE_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SSE_PUSH_AI_JOB_LOCK_S", "nothing")

    done = run("worker")

    assert done.status == 2
    assert "SSE_PUSH_AI_JOB_LOCK_S" in done.err and "JWT" not in done.err and "HOST" not in done.err


def test_node_says_which_persona_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "personas.toml"
    path.write_text("[[persona]]\nid = 1\n")
    monkeypatch.setenv("SSE_PUSH_AUTH_MODE", "demo")
    monkeypatch.setenv("SSE_PUSH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SSE_PUSH_PERSONAS_FILE", str(path))

    done = run("serve")

    assert done.status == 2
    assert f"{path}: persona 1: name: Field required" in done.err
