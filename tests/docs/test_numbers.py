"""The tables of settings and limits say what the code does, in both directions: neither side can grow alone."""

import importlib
import re
from typing import Any

import pytest
from pydantic import SecretStr

from sse_push.service.settings import PREFIX, Settings, variable
from tests.docs.pages import PAGES, ROOT, names, rows, section


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


def test_settings_named_anywhere_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {f"{PREFIX}URL", f"{PREFIX}TOKEN"}
    for page in PAGES:
        named = set(re.findall(rf"{PREFIX}[A-Z0-9_]*[A-Z0-9]", page.read_text()))
        assert named <= known, page


def value_of(where: str) -> Any:
    """The number that stands in the code at *where*."""
    if where.startswith(PREFIX):
        return Settings.model_fields[where.removeprefix(PREFIX).lower()].get_default()
    if where == "Settings.socket_limit":
        settings = Settings(auth_mode="demo", max_connections=5)
        return settings.socket_limit - settings.max_connections
    path, _, name = where.partition(":")
    return getattr(importlib.import_module("sse_push." + path.removesuffix(".py").replace("/", ".")), name)


LIMITS = rows(section("docs/limits.md", "## Limits"))


@pytest.mark.parametrize("row", LIMITS, ids=[row[0] for row in LIMITS])
def test_limit_is_the_number_in_the_code(row: list[str]) -> None:
    [where] = names(row[4])
    assert float(row[1].replace(",", "")) == float(value_of(where))


def test_limits_table_has_every_setting_that_limits() -> None:
    named = {where for row in LIMITS for where in names(row[4])}
    limiting = re.compile(
        r"^(max_|.*_bytes$|.*_commands_per_s$|history_max|peer_timeout_s|request_timeout_s|idempotency_ttl_s|shutdown_timeout_s)"
    )
    for name in Settings.model_fields:
        if limiting.match(name) and name != "max_sockets":  # Settings.socket_limit is its row
            assert variable(name) in named, name


# Numbers that limit nothing: what clients are told to wait, how long a name is, how often something is looked at.
NO_LIMITS = {
    "RETRY_AFTER_S",
    "CLIENT_GONE",
    "KEY_BYTES",
    "DRAIN_LOOKS_S",
    "EPOCH_CHARS",
    "CHORES_EVERY_S",
    "CHECK_EVERY_S",
    "PREFLIGHT_MAX_AGE_S",
    "PRUNE_EVERY_S",
    "SWEEP_EVERY_S",
    "OWN_NODE_FIRST_S",
    "TRY_AGAIN_MS",
    "CANCEL_AGAIN_S",
    "CANCEL_RETRY_S",
    "IDLE_WAIT_S",
}


def test_limits_table_has_every_number_of_the_service() -> None:
    named = {where for row in LIMITS for where in names(row[4])}
    for package in ("events", "service", "handlers"):
        for path in (ROOT / package).rglob("*.py"):
            for name in re.findall(r"^([A-Z][A-Z_]+)(?:: Final)? = \d", path.read_text(), re.MULTILINE):
                assert name in NO_LIMITS or f"{path.relative_to(ROOT).as_posix()}:{name}" in named
