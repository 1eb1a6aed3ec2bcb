"""Builds the wheel, installs it into an empty environment outside the checkout, and runs it there.

What an import finds only because it runs inside the checkout is missing there; a file left out of the package too.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sse_push"
FOLDERS = ("cli", "events", "handlers", "service")  # of the package, links to the folders of the checkout
PAGES = ("/", "/docs", "/openapi.json", "/metrics", "/readyz", "/system/status")
WITHIN_S = 30.0  # seconds for each step of the service; it takes one or two
USER = "42"
EVENT = {"message": "it works", "userId": 42}

Found = TypeVar("Found")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="sse-push-wheel-") as name:
        folder = Path(name)
        wheel = _build(folder / "dist")
        _look_into(wheel)
        command = _install(folder / "venv", wheel)
        _import_beside_namesakes(command.parent / "python", folder)
        _try_out(command, folder)
    print(
        f"{wheel.name}: one package; built, installed elsewhere, started; its pages are there; an event arrived; SIGTERM ended it",
        flush=True,
    )
    return 0


def _build(folder: Path) -> Path:
    # By way of an sdist, so that nothing of an earlier build/ slips in.
    _run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    [wheel] = folder.glob("*.whl")
    return wheel


def _look_into(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    found = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    if found != {PACKAGE}:
        raise SystemExit(f"the wheel installs {sorted(found)}, not {PACKAGE} alone")
    if not (ROOT / "handlers" / "console_dist" / "index.html").exists():
        print("THE WHEEL LACKS THE CONSOLE: it is not built here (make console)", file=sys.stderr)
    if missing := sorted(_sources() - names):
        raise SystemExit(f"the wheel lacks {', '.join(missing)}")


def _sources() -> set[str]:
    """The files of the packages as the checkout has them, the pages' style sheets and scripts among them."""
    files = (path for name in FOLDERS for path in (ROOT / name).rglob("*.*") if path.is_file())
    return {f"{PACKAGE}/{path.relative_to(ROOT)}" for path in files if path.suffix != ".pyc"}


def _install(folder: Path, wheel: Path) -> Path:
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    _run(*pip, "check")
    return folder / "bin" / "sse-push"


def _import_beside_namesakes(python: Path, folder: Path) -> None:
    """Import the package in a project with modules that have the names of its folders; these stay in *folder*."""
    for name in ("handlers", "events"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("OWNER = 'project'\n")
    (folder / "service.py").write_text("OWNER = 'project'\n")
    code = (
        "import events, handlers, service\n"
        "from sse_push.handlers.app import build_app\n"
        "owners = {events.OWNER, handlers.OWNER, service.OWNER}\n"
        "assert owners == {'project'}, owners\n"
    )
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"it can't be used beside a project's own handlers, events and service:\n{done.stderr}"
        )


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def _try_out(command: Path, folder: Path) -> None:
    """Serve, open a stream, publish, see it arrive, end it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SSE_PUSH_", "PYTHON"))}
    demo = {"AUTH_MODE": "demo", "PORT": "0", "DATA_DIR": str(folder / "data"), "LOG_FORMAT": "json"}
    environment = kept | {f"SSE_PUSH_{name}": value for name, value in demo.items()}
    log = folder / "log"
    with _process([command, "serve"], log, folder, environment) as server:
        url = _until(lambda: _logged(log, "server.listening"), server, log)["url"]
        environment["SSE_PUSH_URL"] = url
        for page in PAGES:
            with urlopen(url + page, timeout=WITHIN_S) as answer:  # an error status is raised
                answer.read()
        seen = folder / "seen"
        listen = [command, "listen", "--user", USER, "--json", "--count", "1", "/v1/app/sse"]
        with _process(listen, seen, folder, environment) as listener:
            _until(lambda: _logged(log, "stream.opened"), listener, seen)
            publish = [command, "publish", "--user", USER, json.dumps(EVENT)]
            subprocess.run(
                publish, cwd=folder, env=environment, check=True, timeout=WITHIN_S, stdout=subprocess.DEVNULL
            )
            if listener.wait(WITHIN_S) != 0:
                raise SystemExit(f"listen ended with {listener.returncode}\n{seen.read_text()}")
        _compare(seen)
        server.send_signal(signal.SIGTERM)
        if server.wait(WITHIN_S) != 0:
            raise SystemExit(f"SIGTERM ended it with {server.returncode}\n{log.read_text()}")


def _compare(seen: Path) -> None:
    [line] = [line for line in seen.read_text().splitlines() if line.startswith("{")]
    data = json.loads(json.loads(line)["data"])
    if data != EVENT:
        raise SystemExit(f"arrived: {data}, not {EVENT}")


@contextmanager
def _process(
    command: list[str | Path], out: Path, folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with out.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _logged(log: Path, event: str) -> dict[str, Any] | None:
    for line in log.read_text().splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n") and json.loads(line)["event"] == event:
            return json.loads(line)
    return None


def _until(look: Callable[[], Found | None], process: "subprocess.Popen[bytes]", out: Path) -> Found:
    """What *look* finds at last, while *process* runs."""
    deadline = time.monotonic() + WITHIN_S
    while (found := look()) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args}: ended or nothing happened\n{out.read_text()}")
        time.sleep(0.02)
    return found


if __name__ == "__main__":
    sys.exit(main())
