"""``sse-push COMMAND``: reads the command line and runs the command's module."""

import argparse
import sys
from collections.abc import Sequence

from cli import listen, publish, serve, token, user, worker
from service.settings import BadSettings

_COMMANDS = (serve, worker, token, user, publish, listen)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that *argv* names; its exit status."""
    parser = argparse.ArgumentParser(prog="sse-push", description="Pushes server-sent events to users.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_to(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except BadSettings as error:
        print(f"sse-push: the settings can't be:\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `sse-push listen | head`
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
