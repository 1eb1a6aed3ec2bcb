"""The catalogue of log events is what the sources log, name, level and fields: neither side can grow alone."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.docs.pages import ROOT, names, rows, section

PACKAGES = ("events", "service", "handlers", "cli")
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
        for name in ("account_checks", "connection", "connections", "node", "group_chat/turns")
    )
    reasons: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "end",
            "abort",
            "_leave",
            "revoke",
        ):
            texts = ast.walk(node.args[0]) if node.args else []
            reasons |= {
                part.value for part in texts if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
    listed = [row for row in rows(section("docs/operations.md", "## Logs")) if len(row) == 2]
    assert {name for row in listed for name in names(row[0])} == reasons
