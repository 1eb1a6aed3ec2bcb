"""The catalogues of metrics, commands, streams and routes are those of a running service."""

import shlex
from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from sse_push.cli import main
from sse_push.handlers.app import build_app
from sse_push.service import streams
from tests.conftest import SettingsFactory, Start, mint
from tests.docs.pages import DOCS, names, rows, section


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
        if name != "sse_push_connections_closed_total":  # nothing was closed yet
            assert names(labels) == scraped[name.removesuffix("_total")], name


def test_table_of_commands_names_them_all() -> None:
    found = {
        shlex.split(row[0].strip("`"))[1] for row in rows(section("docs/operations.md", "## Start and stop"))
    }
    assert found == set(main.COMMANDS)


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
