"""Standard streams as they come: closed, read by nobody, or without the characters that an event has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import WITHIN_S
from tests.process import ROOT, ServerProcess

TEXT = "Änne 世 😀"


def _run(*argv: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SSE_PUSH_")}
    environment |= options.pop("env", {})  # type: ignore[call-overload]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "sse_push.cli.main", *argv], cwd=ROOT, env=environment, timeout=WITHIN_S, check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_listen_shows_what_its_terminal_has_no_characters_for(
    service: ServerProcess, env: dict[str, str], form: list[str]
) -> None:
    id_ = _run("publish", "--url", service.url, "--user", "latin", json.dumps(TEXT)).stdout.decode().strip()
    before = id_.rpartition("-")[0] + f"-{int(id_.rpartition('-')[2]) - 1}"
    done = _run(
        "listen", "--url", service.url, "--user", "latin", "--last-event-id", before, "--count", "1", *form,
        "/v1/app/sse", env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = done.stdout.decode("latin-1")
    data = json.loads(line)["data"] if form else line.split("\t")[2]
    assert TEXT in data.encode().decode() or "\\u4e16 \\ud83d\\ude00" in data


def test_output_on_a_full_disk_is_a_clean_error() -> None:
    with Path("/dev/full").open("wb") as full:
        done = _run("token", "--demo", "42", stdout=full)
    assert (done.returncode, done.stderr) == (1, b"sse-push: [Errno 28] No space left on device\n")


def test_output_that_nobody_reads_any_more_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _run("token", "--demo", "42", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_command_runs_without_standard_streams(closed: tuple[int, ...]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    assert _run("token", "--demo", "42", preexec_fn=close).returncode == 0


def test_bad_settings_are_a_status_though_nobody_reads_why() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _run("serve", stderr=writer, env={"SSE_PUSH_PORT": "eighty"})
    os.close(writer)
    assert done.returncode == 2
