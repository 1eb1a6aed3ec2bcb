"""deploy/Dockerfile: by a linter, by what it copies, by its health check against a real service."""

import json
import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.deploy.settings import DEPLOY
from tests.e2e.conftest import Serve, serve  # noqa: F401 - a fixture
from tests.process import ROOT, ServerProcess

PATH = DEPLOY / "Dockerfile"
LINES = re.sub(r"\\\n", "", PATH.read_text()).splitlines()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{name} ")]


def copied() -> list[str]:
    """What is copied out of the checkout."""
    found = [
        shlex.split(arguments) for arguments in instructions("COPY") if not arguments.startswith("--from")
    ]
    return [source for *sources, _ in found for source in sources]


def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, PATH], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == "" and done.returncode == 0


def test_what_is_copied_is_there_and_is_let_in() -> None:
    let_in = {line[1:] for line in IGNORED if line.startswith("!")}
    assert "*" in IGNORED
    assert {source.split("/")[0] if source.startswith("web/") else source for source in copied()} == let_in
    for source in copied():
        assert (ROOT / source).exists(), source


def test_wheel_is_built_from_all_that_it_needs() -> None:
    config = setup()
    packages = {name.rstrip("*") for name in config["options.packages.find"]["include"].split()}
    described = [
        config["metadata"]["license_files"],
        config["metadata"]["long_description"].partition(": ")[2],
    ]
    assert packages | {*described, "setup.cfg", "pyproject.toml", "constraints.txt"} <= set(copied())


def test_extras_are_those_that_there_are() -> None:
    [wanted] = re.findall(r"\.whl\)\[([\w,]+)\]", PATH.read_text())
    assert set(wanted.split(",")) == set(setup()["options.extras_require"]) - {"dev"}


def test_python_is_one_that_was_tried() -> None:
    [version] = re.findall(r"^ARG PYTHON=(.*)$", PATH.read_text(), re.MULTILINE)
    assert f":: {version}\n" in setup()["metadata"]["classifiers"] + "\n"


def test_service_is_nobody_and_stops_as_it_should() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("ENTRYPOINT") == ['["sse-push"]'], "a shell between would keep the signal to itself"


@pytest.mark.process
async def test_health_check_tells_a_service_that_answers_from_one_that_does_not(serve: Serve) -> None:  # noqa: F811
    server = await serve()
    assert health(server) == (0, "")
    await server.terminate()
    status, said = health(server)
    assert status == 1 and said.startswith("no answer: ")


def health(server: ServerProcess) -> tuple[int, str]:
    environment = {"SSE_PUSH_HOST": "0.0.0.0", "SSE_PUSH_PORT": str(server.port)}
    command = [sys.executable, DEPLOY / "healthcheck.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_console_is_built_where_the_wheel_takes_it_from() -> None:
    [built] = re.findall(r"--from=web (\S+) (\S+)", PATH.read_text())
    assert built == ("/src/handlers/console_dist", "handlers/console_dist")
    assert 'here("../../handlers/console_dist")' in (ROOT / "web/console/vite.config.ts").read_text()
    config = json.loads((ROOT / "web/package.json").read_text())
    assert {f"web/{name}/package.json" for name in config["workspaces"]} <= set(copied())
    console = json.loads((ROOT / "web/console/package.json").read_text())
    assert f"RUN npm run build --workspace {console['name']}\n" in PATH.read_text()
