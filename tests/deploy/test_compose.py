"""deploy/compose.yaml: by its schema, by the service's settings, by a real Redis."""

import asyncio
import json
import re
import subprocess
import sys
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import yaml

from sse_push.handlers.http.guard import RESERVED_SOCKETS
from tests.deploy.nginx import CONFIG
from tests.deploy.settings import AFTER_A_DRAIN_S, DEPLOY, settings_of
from tests.docs.pages import rows, section
from tests.ports import HOST, is_free, reserve
from tests.process import eventually
from tests.redis_server import program

PATH = DEPLOY / "compose.yaml"
SECRETS = {"SSE_PUSH_JWT_SECRET": "5e" * 32, "REDIS_PASSWORD": "r" * 64, "POSTGRES_PASSWORD": "p" * 64}
REDIS = program()


def filled(value: Any) -> Any:
    """Variables as ``docker compose`` fills them in: ``${NAME:?...}``, ``${NAME:-default}``."""
    if isinstance(value, dict):
        return {name: filled(part) for name, part in value.items()}
    if isinstance(value, list):
        return [filled(part) for part in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: SECRETS[found[1]], value)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = filled(yaml.safe_load(PATH.read_text()))
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def nodes_of(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name.startswith("node-")}


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])


def test_file_is_what_compose_understands() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(PATH)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_variables_are_those_of_the_example() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", PATH.read_text()))
    example = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert used == example


def test_nodes_have_settings_that_can_be(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, node in nodes_of(services).items():
        settings = settings_of(node["environment"], monkeypatch)
        assert settings.node_id == name
        assert seconds(node["stop_grace_period"]) >= settings.shutdown_timeout_s + AFTER_A_DRAIN_S
        assert node["ulimits"]["nofile"] >= settings.socket_limit + RESERVED_SOCKETS + 100


def test_nginx_knows_the_nodes_and_they_believe_it(compose: dict[str, Any], services: dict[str, Any]) -> None:
    nodes = nodes_of(services)
    upstream = re.findall(r"^    server ([\w-]+):8000 ", (CONFIG / "sse-push.conf").read_text(), re.MULTILINE)
    assert upstream == list(nodes) and len(nodes) == 2
    [subnet] = compose["networks"]["front"]["ipam"]["config"]
    addresses = {
        name: service["networks"]["front"]["ipv4_address"]
        for name, service in services.items()
        if "front" in service["networks"]
    }
    assert addresses.keys() == {*nodes, "nginx", "worker"} and len(set(addresses.values())) == len(addresses)
    assert all(ip_address(address) in ip_network(subnet["subnet"]) for address in addresses.values())
    for node in nodes.values():
        assert node["environment"]["SSE_PUSH_TRUSTED_PROXIES"] == f"{addresses['nginx']}/32"
    mounted = [volume.split(":") for volume in services["nginx"]["volumes"]]
    for source, target, mode in mounted:
        assert mode == "ro" and target.startswith("/etc/nginx/")
        assert source == "./certs" or (DEPLOY / source).is_file()


def test_only_nginx_is_reached_from_outside(compose: dict[str, Any], services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]
    assert compose["networks"]["back"]["internal"]
    assert services["redis"]["networks"] == services["postgres"]["networks"] == ["back"]


def test_no_container_may_do_more_than_it_must(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["user"].startswith("0"), name
        assert service["mem_limit"], name
        assert re.fullmatch(r"[\w/-]+:[\w.-]+", service["image"]) and "latest" not in service["image"], name


def test_redis_is_set_as_operators_are_told(services: dict[str, Any]) -> None:
    """Each setting in the table of docs/operations.md, but those whose default it is, with a value that the table has."""
    told: dict[str, str] = {}
    settings = [row for row in rows(section("docs/operations.md", "### Redis")) if len(row) == 3]
    for names, values, _ in settings:
        told |= dict(zip(re.findall(r"`([^`]+)`", names), re.split("[;,]", values), strict=True))
    assert {"client-output-buffer-limit", "appendfsync", "maxmemory-policy", "tcp-keepalive"} <= told.keys()
    _, *arguments = services["redis"]["command"]
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    for name, value in told.items():
        if name == "maxmemory":
            assert f"--{name}" in given
        elif name != "timeout":
            assert given[f"--{name}"] in re.findall(r"`([^`]+)`", value), name


@pytest.mark.process
@pytest.mark.skipif(REDIS is None, reason="NOT TESTED: no Redis here, so its command was not tried")
async def test_redis_keeps_all_and_drops_nothing(services: dict[str, Any], tmp_path: Any) -> None:
    _, *arguments = services["redis"]["command"]
    port = reserve()
    place = ["--port", str(port), "--bind", HOST, "--dir", str(tmp_path)]
    assert REDIS is not None
    with subprocess.Popen([REDIS, *arguments, *place], stdout=subprocess.DEVNULL) as process:
        try:
            await eventually(lambda: not is_free(port), "redis listens")
            assert "NOAUTH" in await say(port, "PING")
            password = SECRETS["REDIS_PASSWORD"]
            wanted = {"appendonly": "yes", "maxmemory-policy": "noeviction", "save": ""}
            limits = await say(port, f"AUTH {password}", "CONFIG GET client-output-buffer-limit")
            assert limits.splitlines()[-1].endswith(f"pubsub {256 * 2**20} {64 * 2**20} 60")
            for name, value in wanted.items():
                assert (await say(port, f"AUTH {password}", f"CONFIG GET {name}")).splitlines()[-1] == value
        finally:
            process.terminate()


async def say(port: int, *lines: str) -> str:
    """What Redis answers to inline commands."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write("".join(f"{line}\r\n" for line in [*lines, "QUIT"]).encode())
    answer = (await reader.read()).decode().removesuffix("+OK\r\n")
    writer.close()
    return answer


def test_files_for_compose_are_not_in_the_repository() -> None:
    ignored = (DEPLOY.parent / ".gitignore").read_text().splitlines()
    assert {"/deploy/.env", "/deploy/certs/"} <= set(ignored)
    assert json.dumps(SECRETS) not in PATH.read_text()
