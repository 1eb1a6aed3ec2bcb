"""The documentation says what the code does: settings, limits, log events, metrics, code blocks, links.

Each catalogue is compared in both directions, so that neither side can grow alone.
"""

import ast
import importlib
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from cli import main
from events.event import PushEvent
from events.topics import Topic
from handlers.app import build_app
from handlers.keys import NODE
from service import streams
from service.settings import PREFIX, Settings, variable
from service.streams.base import Stream
from tests.conftest import SettingsFactory, Start, mint

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = ("events", "service", "handlers", "cli")
# By the reader of adding-a-stream.md, by `make console`.
TO_BE_MADE = {"service/streams/orders.py", "handlers/console_dist"}
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])


def section(page: str, title: str) -> str:
    """What stands under a heading, up to the next of the same level or above."""
    level, _, _ = title.partition(" ")
    lines: list[str] = []
    inside = fenced = False
    for line in (ROOT / page).read_text().splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith("#") and len(line) - len(line.lstrip("#")) <= len(level):
            inside = line == title
        elif inside:
            lines.append(line)
    assert lines, f"{page} has no {title}"
    return "\n".join(lines)


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in *text*, without their heads."""
    found = []
    for line in text.splitlines():
        if line.startswith("|---"):
            found.pop()
        elif line.startswith("|"):
            found.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


# -- settings ----------------------------------------------------------------------------------------


def shown(default: Any) -> str:
    if default is None or isinstance(default, SecretStr):
        return ""
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_settings_table_is_that_of_the_settings() -> None:
    wanted = []
    for name, field in Settings.model_fields.items():
        default = shown(field.get_default())
        wanted.append([f"`{variable(name)}`", f"`{default}`" if default else "", field.description])
    assert rows(section("docs/operations.md", "## Settings")) == wanted


def test_table_of_commands_names_them_all() -> None:
    found = {
        shlex.split(row[0].strip("`"))[1] for row in rows(section("docs/operations.md", "## Start and stop"))
    }
    assert found == {module.__name__.rpartition(".")[2] for module in main._COMMANDS}


def test_settings_named_anywhere_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {f"{PREFIX}URL", f"{PREFIX}TOKEN"}
    for page in PAGES:
        named = set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", page.read_text()))
        assert named <= known, page


# -- limits ------------------------------------------------------------------------------------------


def value_of(where: str) -> Any:
    """The number that stands in the code at *where*."""
    if where.startswith(PREFIX):
        return Settings.model_fields[where.removeprefix(PREFIX).lower()].get_default()
    if where == "Settings.socket_limit":
        settings = Settings(auth_mode="demo", max_connections=5)
        return settings.socket_limit - settings.max_connections
    path, _, name = where.partition(":")
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


LIMITS = rows(section("docs/architecture.md", "## Limits"))


@pytest.mark.parametrize("row", LIMITS, ids=[row[0] for row in LIMITS])
def test_limit_is_the_number_in_the_code(row: list[str]) -> None:
    [where] = names(row[4])
    assert float(row[1].replace(",", "")) == float(value_of(where))


def test_limits_table_has_every_setting_that_limits() -> None:
    named = {where for row in LIMITS for where in names(row[4])}
    limiting = re.compile(
        r"^(max_|.*_bytes$|.*_commands_per_s$|history_max|dead_peer_s|request_timeout_s|idempotency_s|shutdown_s)"
    )
    for name in Settings.model_fields:
        if limiting.match(name) and name != "max_sockets":  # Settings.socket_limit is its row
            assert variable(name) in named, name


# Numbers that limit nothing: what clients are told to wait, how long a name is, how often something is looked at.
NO_LIMITS = {
    "RETRY_AFTER_S",
    "DRAIN_LOOKS_S",
    "EPOCH_CHARS",
    "CHORES_EVERY_S",
    "CHECK_EVERY_S",
    "PREFLIGHT_MAX_AGE_S",
    "PRUNE_EVERY_S",
    "SWEEP_EVERY_S",
    "NODE_HAS_S",
    "TRY_AGAIN_MS",
    "CANCEL_AGAIN_S",
    "DRAIN_S",
}


def test_limits_table_has_every_number_of_the_service() -> None:
    named = {where for row in LIMITS for where in names(row[4])}
    for package in ("events", "service", "handlers"):
        for path in (ROOT / package).rglob("*.py"):
            for name in re.findall(r"^([A-Z][A-Z_]+)(?:: Final)? = \d", path.read_text(), re.MULTILINE):
                assert name in NO_LIMITS or f"{path.relative_to(ROOT).as_posix()}:{name}" in named


# -- logs --------------------------------------------------------------------------------------------

LEVELS = ("debug", "info", "warning", "error", "critical")
EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
RENAMED = {"exc_info": "exception"}  # by structlog's format_exc_info


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def logged_in(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, set[str], set[str]]]:
    """Name, levels and fields of each log call: ``_log.info("name", ...)``, or through a name or ``.log(level, ...)``."""
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or "log" not in ast.unparse(call.func):
            continue
        texts = [
            arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        if len(texts) != 1 or not EVENT.fullmatch(texts[0]):
            continue
        fields = {RENAMED.get(word.arg, word.arg) for word in call.keywords if word.arg is not None}
        for word in call.keywords:
            if word.arg is None:
                fields |= keys_put_into(function, ast.unparse(word.value))
        yield texts[0], levels_of(call, function), fields


def levels_of(call: ast.Call, function: ast.AST) -> set[str]:
    if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS:
        return {call.func.attr}
    if isinstance(call.func, ast.Name):  # log = _log.debug if ... else _log.info
        return {
            node.attr
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute) and node.attr in LEVELS
        }
    return {"of the record"}


def keys_put_into(function: ast.AST, name: str) -> set[str]:
    """The text keys of the dictionary *name* that *function* fills."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if ast.unparse(target) == name and isinstance(node.value, ast.Dict):
                    found |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                elif isinstance(target, ast.Subscript) and ast.unparse(target.value) == name:
                    assert isinstance(target.slice, ast.Constant)
                    found.add(target.slice.value)
    return found


def test_log_catalogue_is_what_is_logged() -> None:
    levels: dict[str, set[str]] = defaultdict(set)
    fields: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for function in functions(ast.parse(path.read_text())):
                for name, its_levels, its_fields in logged_in(function):
                    levels[name] |= its_levels
                    fields[name] |= its_fields
    logged = {name: (levels[name], fields[name]) for name in fields}
    catalogue = {}
    for event, level, field, _ in log_rows():
        [name] = names(event)
        catalogue[name] = (set(level.split(", ")), names(field))
    assert catalogue == logged


def log_rows() -> list[list[str]]:
    return [row for row in rows(section("docs/operations.md", "## Logs")) if len(row) == 4]


def test_no_log_call_escapes_the_catalogue() -> None:
    """Every call on a logger was understood: none builds its name or hides in a form that the test above skips."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            known = sum(1 for function in top_functions(tree) for _ in logged_in(function))
            calls = [
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and re.fullmatch(r"_log\.\w+|log|.*get_logger\(\)\.\w+", ast.unparse(node.func))
            ]
            assert known == len(calls), path


def top_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in tree.body:
        for child in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child


def test_reasons_of_closing_are_those_in_the_code() -> None:
    source = "".join(
        (ROOT / "service" / f"{name}.py").read_text()
        for name in ("connection", "connections", "group_chat/turns")
    )
    reasons: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "end",
            "cut",
            "_leave",
        ):
            texts = ast.walk(node.args[0]) if node.args else []
            reasons |= {
                part.value for part in texts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
    listed = [row for row in rows(section("docs/operations.md", "## Logs")) if len(row) == 2]
    assert {name for row in listed for name in names(row[0])} == reasons


# -- metrics -----------------------------------------------------------------------------------------


async def test_metrics_catalogue_is_that_of_a_scrape(start: Start) -> None:
    service = await start(max_connections=1)
    stream = await service.open("/v1/app/sse", token=mint("42"))
    refused = await service.get("/v1/app/sse", token=mint("43"))
    assert refused.status == 429
    await service.publish(userId="42", data=1)
    stream.close()
    text = (await service.get("/metrics")).body.decode()
    scraped = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(text)
        if family.name.startswith("sse_push_")
    }
    listed = {next(iter(names(row[0]))): row[1] for row in rows(section("docs/operations.md", "## Metrics"))}
    assert listed == scraped


async def test_metric_labels_are_those_of_a_scrape(start: Start) -> None:
    service = await start(max_connections=1)
    await service.open("/v1/app/sse", token=mint("42"))
    await service.get("/v1/app/sse", token=mint("43"))
    await service.publish(userId="42", data=1)
    scraped: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families((await service.get("/metrics")).body.decode()):
        for sample in family.samples:
            scraped[family.name] |= sample.labels.keys() - {"le"}
    for metric, _, labels, _ in rows(section("docs/operations.md", "## Metrics")):
        [name] = names(metric)
        if name != "sse_push_closes_total":  # nothing was closed yet
            assert names(labels) == scraped[name.removesuffix("_total")], name


# -- streams and commands ----------------------------------------------------------------------------


def test_protocol_lists_every_stream() -> None:
    listed = {
        path.partition("?")[0]
        for row in rows(section("docs/protocol.md", "## Streams"))
        for path in names(row[0])
    }
    paths = {stream.path for stream in streams.STREAMS} | {"/v1/stream"}
    assert {path for path in listed if path.startswith("/")} == paths


def test_every_route_is_in_the_protocol(settings_for: SettingsFactory) -> None:
    text = (DOCS / "protocol.md").read_text()
    for route in build_app(settings_for()).router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        assert f"`{path}" in text or f" {path}" in text, path


# -- code blocks -------------------------------------------------------------------------------------

BLOCK = re.compile(r"^```python (file|line|name)=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {
    (page.relative_to(ROOT).as_posix(), kind, what): code
    for page in PAGES
    for kind, what, code in BLOCK.findall(page.read_text())
}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block[1] == "file"], ids=str)
def test_block_is_the_file(block: tuple[str, str, str]) -> None:
    assert BLOCKS[block] == (ROOT / block[2]).read_text()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block[1] == "line"], ids=str)
def test_block_is_a_line_of_the_file(block: tuple[str, str, str]) -> None:
    assert BLOCKS[block] in (ROOT / block[2]).read_text()


@pytest.fixture
def order_stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """The second example of adding-a-stream.md, in the registry."""
    module: dict[str, Any] = {"__name__": "service.streams.orders"}
    exec(BLOCKS["docs/adding-a-stream.md", "name", "orders"], module)
    stream: Stream = module["OrderStream"]()
    topics: dict[str, Topic] = {**streams.TOPICS, "orders": stream.topic}
    every = (*streams.STREAMS, stream)
    for place in ("service.streams", "handlers.streams", "service.samplers"):
        monkeypatch.setattr(f"{place}.STREAMS", every)
    monkeypatch.setattr("service.node.TOPICS", topics)
    monkeypatch.setattr("handlers.streams.BY_TOPIC", {**streams.BY_TOPIC, "orders": stream})
    return stream


async def test_example_stream_gives_what_is_published_to_it(order_stream: Stream, start: Start) -> None:
    service = await start()
    mine = await service.open("/orders/stream", token=mint("42"))
    many = await service.open("/v1/stream?topics=orders", token=mint("42"))
    data = {"orderId": "A-1", "state": "sent"}
    id_ = await service.publish(topic="orders", userId="42", data=data)
    assert (await mine.next()).id == id_
    assert (await many.next()).event == "orders"
    code = BLOCKS["docs/adding-a-stream.md", "name", "emit"]
    exec(code, {"node": service.node, "PushEvent": PushEvent})
    assert (await mine.next()).data == '{"orderId":"A-1","state":"sent"}'


async def test_readme_example_pushes_in_process(
    monkeypatch: pytest.MonkeyPatch, settings_for: SettingsFactory
) -> None:
    """The block runs as it stands, but that its port and data are a test's, and that it ends after one event."""
    emitted: list[object] = []
    module: dict[str, Any] = {}
    code = BLOCKS["README.md", "name", "in-process"].replace("asyncio.run(main())\n", "").replace("8000", "0")
    exec(code, module)
    app = build_app(settings_for(auth_mode="demo"))
    module["build_app"] = lambda _: app

    class Enough(Exception):
        pass

    async def sleep(_: float) -> None:
        raise Enough

    app[NODE].emitter.on("sse.push", lambda *pushes, **_: emitted.extend(pushes))
    runners: list[web.AppRunner] = []
    real = web.AppRunner

    def runner(app: web.Application) -> web.AppRunner:
        runners.append(real(app))
        return runners[-1]

    monkeypatch.setattr(module["web"], "AppRunner", runner)
    monkeypatch.setattr(module["asyncio"], "sleep", sleep)
    with pytest.raises(Enough):
        await module["main"]()
    monkeypatch.undo()
    await runners[0].cleanup()
    assert emitted == [PushEvent(user_id="test123", data={"message": "tick"})]


# -- links -------------------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert fragment in map(anchor, headings), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_exist(page: Path) -> None:
    """`events/window.py` and the like, in any page."""
    for path in re.findall(
        r"`((?:bench|cli|events|handlers|service|tests|docs)/[\w/.-]+)(?::\w+)?`", page.read_text()
    ):
        assert (ROOT / path).exists() or path in TO_BE_MADE, path
