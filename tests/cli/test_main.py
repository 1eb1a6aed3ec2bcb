"""The console script as a whole: its commands, its usage errors, the pipe it writes to."""

import gc
import subprocess
import sys
from importlib.metadata import version

import pytest

from sse_push.cli.main import main
from tests.cli.conftest import WITHIN_S, Run, Start
from tests.process import ServerProcess


def test_main_lists_its_commands(run: Run) -> None:
    done = run("--help")
    assert done.status == 0
    for command in ("serve", "token", "publish", "listen"):
        assert f"\n    {command}" in done.out


@pytest.mark.parametrize("command", ["serve", "token", "publish", "listen"])
def test_main_helps_with_each_command(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.status == 0
    assert done.out.startswith(f"usage: sse-push {command}")


def test_main_says_which_version_it_is(run: Run) -> None:
    done = run("--version")
    assert (done.status, done.out, done.err) == (0, f"sse-push {version('sse-push')}\n", "")


def test_main_without_a_command_says_what_there_are(run: Run) -> None:
    done = run()
    assert (done.status, done.out) == (2, "")
    assert "\n    serve     run a node\n" in done.err


@pytest.mark.parametrize("argv", [["nonsense"], ["listen"], ["token", "--role", "king", "42"]])
def test_main_refuses_what_is_no_command(run: Run, argv: list[str]) -> None:
    done = run(*argv)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("usage: sse-push")


@pytest.mark.process
def test_main_ends_quietly_with_the_pipe_it_writes_to(start: Start, service: ServerProcess) -> None:
    listener = start("listen", "/custom/stream", URL=service.url)
    assert listener.stdout is not None
    assert listener.stdout.readline().startswith("-\tmessage\t{")
    listener.stdout.close()
    assert listener.wait(WITHIN_S) == 0
    assert listener.stderr is not None
    assert listener.stderr.read() == f"sse-push: listening to {service.url}/custom/stream\n"


def test_main_loads_the_command_that_is_named_alone() -> None:
    code = "import sys\nfrom sse_push.cli.main import main\ntry: main(['token', '--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "sse_push.cli.token" in loaded and not {
        "sse_push.cli.serve",
        "sse_push.cli.listen",
        "sse_push.handlers.app",
    } & {*loaded}


def test_main_leaves_the_collector_of_garbage_on() -> None:
    with pytest.raises(SystemExit):
        main(["token", "--help"])
    assert gc.isenabled()


def test_interrupt_while_a_command_is_loaded_ends_it_without_a_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sse_push.cli.main.import_module", interrupted)
    done = run("serve")
    assert (done.status, done.out, done.err) == (130, "", "")
