"""``python -m bench``: measure the service and its peers in one run, print a Markdown table."""

import argparse
import os
import resource
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from bench import report
from bench.process import cpus
from bench.scenarios import SCENARIOS, Figures, Place, Sizes
from bench.servers import servers
from bench.sockets import Failed

_SPARE_FILES = 200  # of a process beside its streams' sockets


def main() -> int:
    arguments = _arguments()
    sizes = Sizes(**{field.name: getattr(arguments, field.name) for field in fields(Sizes)})
    largest = max(sizes.idle, sizes.users, sizes.streams)
    _allow_files(largest + _SPARE_FILES)
    server_cpu, load_cpu = cpus()
    os.sched_setaffinity(0, load_cpu)
    with tempfile.TemporaryDirectory(prefix="sse-push-bench-") as folder:
        chosen = [server for server in servers(folder, largest) if server.name in arguments.server]
        figures: dict[str, Figures] = {server.name: {} for server in chosen}
        faults, others = 0, 0.0
        for name in arguments.scenario:
            for server in chosen:  # one after the other, so that all see the machine in the same mood
                print(f"{name:>9}  {server.name}", file=sys.stderr, flush=True)
                try:
                    found, wrong = SCENARIOS[name](server, Place(server_cpu, Path(folder)), sizes)
                except Failed as error:
                    found, wrong = {}, [str(error)]
                figures[server.name] |= found
                others = max(others, found.get("others", 0.0))
                faults += len(wrong)
                for fault in wrong:
                    print(f"{name}, {server.name}: {fault}", file=sys.stderr)
    print(report.table(figures, sizes), report.machine(chosen, server_cpu, load_cpu), sep="\n\n")
    verdict = "THE FIGURES ARE NOT GOOD: see above." if faults else "Every event reached all it was for, once and in order."
    print(f"\nOther processes took {others:.0%} of one cpu at the most while measuring; past some percent, measure again.")
    print("\n" + verdict)
    return 1 if faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [server.name for server in servers("", 0)]
    parser.add_argument("--server", nargs="+", choices=names, default=names)
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    help_ = {
        "seconds": "measured, in each scenario that publishes",
        "warm_up": "seconds before the measuring",
        "streams": "of the broadcasts",
        "idle": "streams of the idle scenario",
        "users": "of the pushes to one of many, a stream each",
        "rate": "broadcasts a second of the paced scenario",
        "batch": "events in one request of the batch scenario",
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
        sys.exit(f"bench: {number} open files are needed and {hard} allowed; raise ulimit -n or lower the sizes")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))


if __name__ == "__main__":
    sys.exit(main())
