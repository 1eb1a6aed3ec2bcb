"""One real service for all tests of the commands, and the commands, run here or as processes of their own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sse_push.cli.main import main
from tests.process import ROOT, ServerProcess

WITHIN_S = 20.0  # seconds for a command; it takes half a one


@dataclass(frozen=True)
class Done:
    """What a command that has ended said."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Done]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A service in demo mode, which all tests share: each has users of its own."""
    server = ServerProcess(tmp_path_factory.mktemp("service"), custom_interval_s=0.05)
    asyncio.run(server.start())
    yield server
    server.clean_up()
    assert server.complaints == []


@pytest.fixture
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SSE_PUSH_"):
            monkeypatch.delenv(name)


@pytest.fixture
def run(_no_settings: None, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def run(*argv: str) -> Done:
        capsys.readouterr()
        try:
            status = main(argv)
        except SystemExit as end:  # argparse's way
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return run


@pytest.fixture
def start(_no_settings: None, tmp_path: Path) -> Iterator[Start]:
    """Starts a command as a process, with its standard streams as pipes."""
    processes: list[subprocess.Popen[str]] = []

    def start(*argv: str, **settings: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "sse_push.cli.main", *argv],
            cwd=ROOT,
            env={**os.environ, **{f"SSE_PUSH_{name}": value for name, value in settings.items()}},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()
