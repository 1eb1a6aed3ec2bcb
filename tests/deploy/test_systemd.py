"""deploy/sse-push.service, by systemd's own word on it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sse_push.handlers.http.guard import RESERVED_SOCKETS
from sse_push.service.settings import Settings
from tests.deploy.settings import AFTER_A_DRAIN_S, DEPLOY

PATH = DEPLOY / "sse-push.service"
ANALYZE = shutil.which("systemd-analyze")
EXPOSED_AT_MOST = 20  # of 100: where systemd says OK; a service with a network can't be much lower

by_systemd = pytest.mark.skipif(ANALYZE is None, reason="NOT TESTED: no systemd-analyze on PATH")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there in the place of /opt/sse-push's."""
    text = PATH.read_text()
    assert "\nExecStart=/opt/sse-push/bin/sse-push serve\n" in text
    copy = tmp_path / PATH.name
    copy.write_text(text.replace("/opt/sse-push/bin/sse-push", sys.executable))
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, check=False)


@by_systemd
def test_unit_has_no_fault(unit: Path) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@by_systemd
def test_unit_is_exposed_to_little(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSED_AT_MOST}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


def value(name: str) -> str:
    [found] = re.findall(rf"^{name}=(.*)$", PATH.read_text(), re.MULTILINE)
    return str(found)


def test_unit_leaves_time_for_a_drain_and_room_for_sockets() -> None:
    settings = Settings(auth_mode="demo")
    assert int(value("TimeoutStopSec")) >= settings.shutdown_timeout_s + AFTER_A_DRAIN_S
    assert int(value("LimitNOFILE")) >= settings.socket_limit + RESERVED_SOCKETS + 100
