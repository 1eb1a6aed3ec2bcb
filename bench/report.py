"""The figures as a Markdown table, with the machine and the versions they are true of."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.scenarios import Figures, Sizes
from bench.servers import Server

_BUSY = 0.9  # of its cpu: past it the load may be what was measured


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _rows(sizes: Sizes) -> list[tuple[str, str]]:
    """The figures' names and what they are, in the order of the table."""
    return [
        ("delivery_us", f"CPU µs per delivery, {sizes.rate:g} broadcasts/s to {sizes.streams:,}"),
        ("p50_ms", "latency p50 in ms, of those"),
        ("p99_ms", "latency p99 in ms, of those"),
        ("broadcast_per_s", f"deliveries/s, 4 publishers broadcasting to {sizes.streams:,}"),
        ("broadcast_us", "CPU µs per delivery, of those"),
        ("one_per_s", f"pushes/s to one user of {sizes.users:,}, a POST each"),
        ("one_us", "CPU µs per push, of those"),
        ("batch_per_s", f"pushes/s to one user of {sizes.users:,}, {sizes.batch} in a POST"),
        ("batch_us", "CPU µs per push, of those"),
        ("storm_per_s", f"replayed events/s, {sizes.storm:,} streams back at once, each 100 behind"),
        ("storm_us", "CPU µs per replayed event, of those, connects included"),
        ("storm_p99_ms", "latency p99 in ms of live events meanwhile"),
        ("connect_us", f"CPU µs per connect, of {sizes.idle:,}"),
        ("stream_bytes", f"bytes of memory per idle stream, of {sizes.idle:,}"),
    ]


def table(figures: Mapping[str, Figures], sizes: Sizes) -> str:
    """A column for each server, a row for each figure; ``*`` where the load was the limit."""
    names = list(figures)
    lines = [
        "| what | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for key, title in _rows(sizes):
        cells = [_cell(figures[name], key) for name in names]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(its: Figures, key: str) -> str:
    if key not in its:
        return "-"
    busy = its.get(key.replace("_per_s", "_busy"), 0.0) if key.endswith("_per_s") else 0.0
    return _number(its[key]) + ("\\*" if busy > _BUSY else "")


def verdict(rounds: Sequence[Figures], *, wrong: bool) -> str:
    """How far the figures can be believed."""
    others = max((figures.get("others", 0.0) for figures in rounds), default=0.0)
    return (
        f"Other processes took {others:.0%} of a cpu at the most while measuring; past some percent, measure again.\n"
        + (
            "THE FIGURES ARE NOT GOOD: see above."
            if wrong
            else "Every event reached all it was for, once and in order."
        )
    )


def machine(servers: Sequence[Server], server_cpu: set[int], load_cpu: set[int]) -> str:
    """What was measured on what."""
    lines = [
        f"- {_cpu_name()}, {os.cpu_count()} cpus, Linux {platform.release()}, Python {platform.python_version()}",
        f"- server on cpu {min(server_cpu)}, load on cpu {min(load_cpu)}, loopback",
    ]
    lines += [f"- {server.name}: {server.versions()}" for server in servers]
    return "\n".join(lines)


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
