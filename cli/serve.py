"""``sse-push serve``: run a node, or several on one port, until SIGTERM or SIGINT."""

import argparse
import asyncio
import errno
import gc
import os
import sys
from typing import Any

import structlog
from aiohttp import web

from sse_push.cli.signals import ending_signals
from sse_push.cli.standard_streams import tell
from sse_push.cli.starting import CLOSE_S, Watchdog, started
from sse_push.cli.workers import MAX_WORKERS, Place, Workers
from sse_push.events.engines import EMBEDDED
from sse_push.events.errors import SsePushError
from sse_push.handlers.app import build_app
from sse_push.handlers.server import GuardedSite
from sse_push.service.descriptors import raise_limit, warn_where_few
from sse_push.service.log_output import LogOutput
from sse_push.service.logging import configure_logging, open_output
from sse_push.service.settings import BadSettings, Settings, load_settings, unknown_variables, variable

# Seconds a thread may keep the interpreter from another that waits: the thread that commits must not
# wait for the whole of a broadcast. Python's own is 5 ms.
SWITCH_INTERVAL_S = 0.0005
LEFT_OVER_S = 1.0  # seconds for requests that a drain has left unanswered, before they are cut
# Collections of garbage walk all that lives, some hundred thousand objects; most dies by counting alone.
GC_THRESHOLDS = (50_000, 10, 10)

_log = structlog.get_logger()


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="run a node",
        description="Runs a node until SIGTERM or SIGINT.",
        epilog=_settings_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="so many nodes on the one port, each a process of its own, kept running; with the Redis engine",
    )
    parser.add_argument(
        "--worker-ports",
        type=int,
        metavar="PORT",
        help="worker 1 listens on 127.0.0.1:PORT too, worker 2 on the next, ...: for the metrics of each",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    settings = load_settings()
    output = open_output()
    configure_logging(settings.log_format, settings.log_level, output)
    for name, meant in unknown_variables(os.environ).items():
        _log.warning("settings.unknown", name=name, meant=meant)
    raise_limit()
    warn_where_few(settings)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*GC_THRESHOLDS)
    if arguments.workers == 1:
        return _run_node(settings, output)
    if settings.engine_url == EMBEDDED:
        tell(
            "--workers wants the Redis engine, SSE_PUSH_ENGINE_URL=redis://...: what is embedded serves one process"
        )
        return 2
    first = arguments.worker_ports
    try:
        return Workers(
            settings,
            arguments.workers,
            lambda place: _run_node(place.settings, output, place, first and first + place.number - 1),
        ).run()
    except OSError as error:
        return _not_started(error, settings.port)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_WORKERS}")
    return count


def _run_node(
    settings: Settings, output: LogOutput, place: Place | None = None, own_port: int | None = None
) -> int:
    output.start()
    try:
        with Watchdog(output.close) as watchdog, asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(settings, place, own_port, watchdog))
    except BadSettings as error:
        return _unusable(error, place)
    finally:
        output.close()


async def _serve(settings: Settings, place: Place | None, own_port: int | None, watchdog: Watchdog) -> int:
    # The drain has the time that the settings give; what is left after it gets no more.
    runner = web.AppRunner(build_app(settings), shutdown_timeout=LEFT_OVER_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in ending_signals():
        loop.add_signal_handler(sign, stop.set)
    if place is not None:
        loop.add_reader(place.line, stop.set)  # nothing ever comes there but the parent's end
    status = await _start(runner, settings, place, own_port, stop)
    if status is not None:
        watchdog.end_within(CLOSE_S, status)
        await runner.cleanup()
        return status
    await stop.wait()
    if place is not None:
        loop.remove_reader(place.line)
    # Still listening meanwhile, so that /readyz can say 503 to whoever asks.
    await runner.app.shutdown()
    await runner.cleanup()
    return 0


async def _start(
    runner: web.AppRunner, settings: Settings, place: Place | None, own_port: int | None, stop: asyncio.Event
) -> int | None:
    """Start all; the exit status where that fails, or is stopped."""
    try:
        sites = await started(_listen(runner, settings, own_port, place), stop)
    except (OSError, SsePushError) as error:
        return _not_started(error, settings.port, place)
    except BadSettings as error:  # something that they want is not installed
        return _unusable(error, place)
    except Exception as error:  # noqa: BLE001 - a fault of ours: whatever was opened is closed all the same
        _log.error("server.start_failed", exc_info=error)
        return _told(f"can't start: {error!r}; the log has more", 1, place)
    if sites is None:
        _log.info("server.start_stopped")
        return 0
    gc.freeze()  # what a start made stays: it need not be walked again
    for site in sites:
        _log.info("server.listening", url=site.name, auth_mode=settings.auth_mode)
    if place is not None:
        place.ready()
    return None


async def _listen(
    runner: web.AppRunner, settings: Settings, own_port: int | None, place: Place | None
) -> list[GuardedSite]:
    await runner.setup()
    sites: list[GuardedSite] = []
    port = settings.port
    for host in settings.hosts:
        listener = place.listeners.get(host) if place is not None else None
        first = sites[0] if sites else None
        site = GuardedSite(
            runner, host, port, shared=place is not None, beside=first, listener=listener and listener.dup()
        )
        await site.start()
        port = site.port  # of 0, any free one, the one that the first found
        sites.append(site)
    if own_port:
        await GuardedSite(runner, "127.0.0.1", own_port, beside=sites[0]).start()
    return sites


def _not_started(error: Exception, port: int, place: Place | None = None) -> int:
    """Tell why a start failed; its exit status."""
    why = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        why = f"port {port} is in use; set {variable('port')} to another" if f", {port})" in why else why
    return _told(f"can't start: {why}", 1, place)


def _unusable(error: BadSettings, place: Place | None) -> int:
    return _told(f"these settings can't be used:\n{error}", 2, place)


def _told(why: str, status: int, place: Place | None) -> int:
    """Tell *why* on standard error; a worker leaves that to its parent, for others fail as it does."""
    if place is not None:
        place.failed(why)
    else:
        tell(why)
    return status


def _loop_factory() -> Any:
    """uvloop's loop where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _settings_help() -> str:
    lines = ["settings, from the environment (lists are comma-separated):"]
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = ",".join(default) if isinstance(default, tuple) else "" if default is None else default
        if hasattr(default, "get_secret_value"):
            shown = ""
        lines.append(f"  {variable(name)}" + (f"  [{shown}]" if str(shown) else ""))
        lines.append(f"      {field.description}")
    return "\n".join(lines).replace("%", "%%")
