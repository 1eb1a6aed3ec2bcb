"""What is measured: each scenario runs one server afresh and gives its figures. Knows the load; prints nothing."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load, Plan, Window
from bench.process import ServerProcess, serving
from bench.servers import Server

WARM_STREAMS = 100  # opened before the counting: what a server loads at its first requests is not a stream's
SETTLE_S = 0.5  # seconds between opening and measuring
LIVE_STREAMS = 100  # of a storm: those that never went away
LIVE_RATE = 200.0  # events a second for them meanwhile, each for one
BEHIND_EVENTS = 100  # that each stream of a storm has missed


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    seconds: float = 5.0
    warm_up: float = 1.0
    streams: int = 500
    idle: int = 3000
    users: int = 1000
    rate: float = 20.0
    batch: int = 100
    storm: int = 2000


@dataclass(frozen=True)
class Place:
    """Where servers run."""

    cpu: set[int]
    folder: Path


Figures = dict[str, float]


@contextmanager
def _loaded(server: Server, place: Place) -> Iterator[tuple[ServerProcess, Load]]:
    with (
        tempfile.TemporaryDirectory(dir=place.folder) as folder,
        serving(server.command, server.environment, place.cpu, Path(folder) / "log") as process,
    ):
        load = Load(server, process.port, process.cpu_seconds, place.cpu | os.sched_getaffinity(0))
        try:
            yield process, load
        except Exception:
            print((Path(folder) / "log").read_text(errors="replace")[-2000:])
            raise
        finally:
            load.close()


def idle(server: Server, place: Place, sizes: Sizes) -> tuple[Figures, list[str]]:
    """Streams that get nothing: what each costs to open and to keep."""
    requests = [server.subscribe(index) for index in range(WARM_STREAMS + sizes.idle)]
    with _loaded(server, place) as (process, load):
        load.open(requests[:WARM_STREAMS])
        load.settle(SETTLE_S)
        cpu, rss = process.cpu_seconds(), process.rss_bytes()
        load.open(requests[WARM_STREAMS:])
        load.settle(SETTLE_S)
        return {
            "connect_us": (process.cpu_seconds() - cpu) * 1e6 / sizes.idle,
            "stream_bytes": (process.rss_bytes() - rss) / sizes.idle,
        }, load.faults()


def paced(server: Server, place: Place, sizes: Sizes) -> tuple[Figures, list[str]]:
    """Broadcasts at even times, well below what the server can do: latency, and cpu for each delivery."""
    with _loaded(server, place) as (_, load):
        load.open([server.subscribe(index) for index in range(sizes.streams)])
        load.settle(SETTLE_S)
        window = load.publish(Plan(rate=sizes.rate), sizes.warm_up, sizes.seconds)
        latencies = sorted(window.latencies_ns)
        return {
            "delivery_us": window.server_cpu_s * 1e6 / window.deliveries,
            "p50_ms": latencies[len(latencies) // 2] / 1e6,
            "p99_ms": latencies[len(latencies) * 99 // 100] / 1e6,
            "others": window.others,
        }, load.faults()


def broadcast(server: Server, place: Place, sizes: Sizes) -> tuple[Figures, list[str]]:
    """Four publishers, each broadcasting as fast as it is answered."""
    with _loaded(server, place) as (_, load):
        load.open([server.subscribe(index) for index in range(sizes.streams)])
        load.settle(SETTLE_S)
        window = load.publish(Plan(), sizes.warm_up, sizes.seconds)
        return _rates("broadcast", window), load.faults()


def one_of_many(server: Server, place: Place, sizes: Sizes) -> tuple[Figures, list[str]]:
    """Sixteen publishers, a request for each event, each event for one user of many."""
    with _loaded(server, place) as (_, load):
        load.open([server.subscribe(index, own=True) for index in range(sizes.users)])
        load.settle(SETTLE_S)
        window = load.publish(Plan(publishers=16, to_one=True), sizes.warm_up, sizes.seconds)
        return _rates("one", window), load.faults()


def batches(server: Server, place: Place, sizes: Sizes) -> tuple[Figures, list[str]]:
    """The same with many events in a request, where a server knows such."""
    if not server.batches:
        return {}, []
    with _loaded(server, place) as (_, load):
        load.open([server.subscribe(index, own=True) for index in range(sizes.users)])
        load.settle(SETTLE_S)
        plan = Plan(publishers=4, to_one=True, batch=sizes.batch)
        window = load.publish(plan, sizes.warm_up, sizes.seconds)
        return _rates("batch", window), load.faults()


def storm(server: Server, place: Place, sizes: Sizes) -> tuple[Figures, list[str]]:
    """Many streams that were away come back, each a hundred events behind, while others live on."""
    if not server.replays:
        return {}, []
    with _loaded(server, place) as (_, load):
        load.open([server.subscribe(index) for index in range(LIVE_STREAMS)])
        last_seen = load.fill(1 + BEHIND_EVENTS)
        away = range(LIVE_STREAMS, LIVE_STREAMS + sizes.storm)
        requests = [server.subscribe(index, after=last_seen) for index in away]
        window = load.come_back(requests, BEHIND_EVENTS, LIVE_RATE)
        latencies = sorted(window.latencies_ns)
        return {
            **_rates("storm", window),
            "storm_p99_ms": latencies[len(latencies) * 99 // 100] / 1e6,
        }, load.faults()


def _rates(name: str, window: Window) -> Figures:
    return {
        f"{name}_per_s": window.deliveries / window.seconds,
        f"{name}_us": window.server_cpu_s * 1e6 / window.deliveries,
        f"{name}_busy": window.busy,
        "others": window.others,
    }


Scenario = Callable[[Server, Place, Sizes], tuple[Figures, list[str]]]
SCENARIOS: dict[str, Scenario] = {
    "idle": idle,
    "paced": paced,
    "broadcast": broadcast,
    "one": one_of_many,
    "batch": batches,
    "storm": storm,
}
