"""``python -m tests.soak``: run real nodes under random faults, print what was seen, fail on anything wrong."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.process import allow_many_files
from tests.redis_server import RedisServer, program
from tests.soak.checker import WRONG, Verdict
from tests.soak.engine_faults import EMBEDDED, RedisFaults
from tests.soak.faults import FaultKind
from tests.soak.node import Node
from tests.soak.round import Round
from tests.tcp_proxy import TcpProxy

ROUND_FAULTS = 15  # faults of one round: what was received is checked and forgotten after each
REDIS_NODES = 3
SHOWN = 20  # wrong things printed of one round
FIGURES = ("faults", "events", "received", "connects", "gaps", "missing, told by a gap")


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[tuple[Sequence[Node], Sequence[FaultKind]]]:
    """One node that keeps its events in a file."""
    node = Node(folder / "embedded", "node")
    try:
        await node.start()
        yield [node], EMBEDDED
    finally:
        await node.clean_up()


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[tuple[Sequence[Node], Sequence[FaultKind]]]:
    """Several nodes on one Redis, which writes down all that it acknowledges."""
    server = RedisServer()
    links = [TcpProxy(server.port) for _ in range(REDIS_NODES)]
    urls = [f"redis://127.0.0.1:{link.port}/0" for link in links]
    nodes = [
        Node(folder / f"node{n}", f"node{n}", engine_url=url, node_id=f"n{n}") for n, url in enumerate(urls)
    ]
    try:
        server.start(aof=True)
        for link in links:
            await link.start()
        await asyncio.gather(*(node.start() for node in nodes))
        yield nodes, RedisFaults(server, links).kinds
    finally:
        for node in nodes:
            await node.clean_up()
        for link in links:
            await link.refuse()
        server.remove()


ENGINES = {"embedded": embedded, "redis": redis}


async def soak(engine: str, arguments: argparse.Namespace) -> bool:
    """Run rounds with *engine* until the time or the number of faults is reached; whether nothing was wrong."""
    counts: Counter[str] = Counter()
    done: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    began = time.monotonic()
    until = began + arguments.minutes * 60 if not arguments.faults else float("inf")
    with tempfile.TemporaryDirectory(prefix="sse-push-soak-") as folder:
        async with ENGINES[engine](Path(folder)) as (nodes, kinds):
            chosen = [kind for kind in kinds if arguments.only in kind.name]
            while time.monotonic() < until and not (
                arguments.faults and counts["faults"] >= arguments.faults
            ):
                left = arguments.faults - counts["faults"] if arguments.faults else ROUND_FAULTS
                one = Round(f"round-{counts['rounds']}", nodes, arguments.seed)
                verdict = await one.run(chosen, min(ROUND_FAULTS, left), until)
                counts += Counter({"rounds": 1}) + verdict.counts
                done += one.done
                _tell(engine, counts, verdict)
                if verdict.counts["stuck"]:
                    break
            errors = sum((node.errors for node in nodes), Counter())
    minutes = (time.monotonic() - began) / 60
    wrong = {kind: counts[kind] for kind in counts if kind not in FIGURES and kind != "rounds"}
    print(f"\n{engine}: {minutes:.1f} min, seed {arguments.seed}")
    print("  " + ", ".join(f"{counts[name]:,} {name}" for name in FIGURES))
    print("  " + ", ".join(f"{counts[kind]} {kind}" for kind in WRONG))
    print("  faults: " + ", ".join(f"{count} x {name}" for name, count in sorted(done.items())))
    print(
        "  error lines in the logs: "
        + (", ".join(f"{n} x {name}" for name, n in errors.most_common()) or "none")
    )
    return not any(wrong.values())


def _tell(engine: str, counts: Counter[str], verdict: Verdict) -> None:
    print(
        f"{engine}: {counts['faults']} faults, {counts['events']} events, {len(verdict.wrong)} wrong",
        flush=True,
    )
    for wrong in verdict.wrong[:SHOWN]:
        print(f"  WRONG {wrong}", file=sys.stderr, flush=True)


def main() -> int:
    arguments = _arguments()
    allow_many_files()
    if "redis" in arguments.engine and program() is None:
        sys.exit("soak: there is no redis-server or valkey-server on PATH; --engine embedded goes without")
    print(f"seed {arguments.seed}", flush=True)
    well = [asyncio.run(soak(engine, arguments)) for engine in arguments.engine]
    print("\nnothing was wrong" if all(well) else "\nSOMETHING WAS WRONG")
    return int(not all(well))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--engine", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--minutes", type=float, default=2.0, help="for each engine (default %(default)s)")
    parser.add_argument("--hours", type=float, default=0.0, help="instead of minutes")
    parser.add_argument(
        "--faults", type=int, default=0, help="so many for each engine, however long it takes"
    )
    parser.add_argument("--only", default="", help="faults whose names hold this text")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="of all chance but the machine's own"
    )
    arguments = parser.parse_args()
    arguments.minutes = arguments.hours * 60 or arguments.minutes
    return arguments


if __name__ == "__main__":
    sys.exit(main())
