"""``python -m bench``: measure the service and its peers in one run, print a Markdown table."""

import argparse
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median

from bench import report
from bench.process import cpus
from bench.scenarios import SCENARIOS, Figures, Place, Sizes
from bench.servers import Server, servers
from bench.sockets import Failed

_SPARE_FILES = 200  # of a process beside its streams' sockets


def main() -> int:
    arguments = _arguments()
    sizes = Sizes(**{field.name: getattr(arguments, field.name) for field in fields(Sizes)})
    largest = max(sizes.idle, sizes.users, sizes.streams, sizes.storm)
    _allow_files(largest + _SPARE_FILES)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the blocks that stop the servers
    server_cpu, load_cpu = cpus()
    os.sched_setaffinity(0, load_cpu)
    with tempfile.TemporaryDirectory(prefix="sse-push-bench-") as folder:
        chosen = [server for server in servers(folder, largest) if server.name in arguments.server]
        for server in [server for server in chosen if not server.is_here]:
            print(f"{server.name} is left out: {server.needs} is not installed", file=sys.stderr)
            chosen.remove(server)
        place = Place(server_cpu, Path(folder))
        found = [
            _measure(name, server, place, sizes)
            for _ in range(arguments.rounds)
            for name in arguments.scenario
            for server in chosen  # one after the other, so that all see the machine in the same mood
        ]
    figures = {
        server.name: _medians([its for name, its, _ in found if name == server.name]) for server in chosen
    }
    print(report.table(figures, sizes), report.machine(chosen, server_cpu, load_cpu), sep="\n\n")
    wrong = any(faults for _, _, faults in found)
    print(f"\n{report.verdict([its for _, its, _ in found], wrong=wrong)}")
    return int(wrong)


def _measure(name: str, server: Server, place: Place, sizes: Sizes) -> tuple[str, Figures, list[str]]:
    print(f"{name:>9}  {server.name}", file=sys.stderr, flush=True)
    try:
        figures, faults = SCENARIOS[name](server, place, sizes)
    except Failed as error:
        figures, faults = {}, [str(error)]
    for fault in faults:
        print(f"{name}, {server.name}: {fault}", file=sys.stderr)
    return server.name, figures, faults


def _medians(rounds: Sequence[Figures]) -> Figures:
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: median([figures[name] for figures in rounds if name in figures]) for name in names}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [server.name for server in servers("", 0)]
    parser.add_argument("--server", nargs="+", choices=names, default=names)
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument(
        "--rounds", type=int, default=1, help="of everything; the figures are medians (default 1)"
    )
    help_ = {
        "seconds": "measured, in each scenario that publishes",
        "warm_up": "seconds before the measuring",
        "streams": "of the broadcasts",
        "idle": "streams of the idle scenario",
        "users": "of the pushes to one of many, a stream each",
        "rate": "broadcasts a second of the paced scenario",
        "batch": "events in one request of the batch scenario",
        "storm": "streams that come back at once",
    }
    for field in fields(Sizes):
        kind = float if isinstance(field.default, float) else int
        option = "--" + field.name.replace("_", "-")
        text = f"{help_[field.name]} (default %(default)s)"
        parser.add_argument(option, type=kind, default=field.default, help=text)
    return parser.parse_args()


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and number > hard:
        sys.exit(
            f"bench: {number} open files are needed and {hard} allowed; raise ulimit -n or lower the sizes"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))


if __name__ == "__main__":
    sys.exit(main())
