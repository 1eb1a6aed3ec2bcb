"""``sse-push COMMAND``: parses the command line and runs the command's module."""

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from sse_push.cli import standard_streams
from sse_push.service.version import installed_version

COMMANDS = ("serve", "worker", "token", "user", "publish", "listen")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that *argv* names; its exit status."""
    standard_streams.prepare()
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # also while modules are imported
        return 130


def _run(given: Sequence[str]) -> int:
    modules = _load(COMMANDS if not given or given[0] not in COMMANDS else given[:1])
    parser = argparse.ArgumentParser(prog="sse-push", description="Pushes server-sent events to users.")
    parser.add_argument("--version", action="version", version=f"sse-push {installed_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in modules:
        module.add_to(commands)
    if not given:
        parser.print_help(sys.stderr)
        return 2
    arguments = parser.parse_args(given)
    from sse_push.service.settings import BadSettings

    try:
        status = int(arguments.run(arguments))
        standard_streams.flush()
        return status
    except BadSettings as error:
        standard_streams.write_stderr(f"these settings can't be used:\n{error}")
        return 2
    except BrokenPipeError:  # `sse-push listen | head`
        standard_streams.drop_output()
        return 0
    except OSError as error:  # most often the disk is full; commands handle their other errors
        standard_streams.drop_output()
        standard_streams.write_stderr(str(error))
        return 1


def _load(names: Sequence[str]) -> list[ModuleType]:
    """The modules of the commands *names*; a named command loads only its own, which halves the start."""
    gc.disable()  # imports leave no garbage, and collecting costs a tenth of a start
    try:
        return [import_module(f"sse_push.cli.{name}") for name in names]
    finally:
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
