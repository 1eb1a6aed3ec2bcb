"""Node and its BullMQ for tests: installed once into a cached folder, then used from there. Knows npm; knows nothing of jobs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

VERSION = "6.7.0"
IOREDIS = "6.0.0"
INSTALLS_WITHIN_S = 120


def folder() -> Path | str:
    """A folder in whose ``node_modules`` BullMQ is; text that says why there is none."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "NO NODE HERE: that workers may be written in it goes untested (apt-get install nodejs npm)"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    place = cache / "sse-push-tests" / f"bullmq-{VERSION}"
    if not _is_there(place):
        place.mkdir(parents=True, exist_ok=True)
        npm = [
            str(shutil.which("npm")),
            "install",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
            str(place),
        ]
        done = subprocess.run(
            [*npm, f"bullmq@{VERSION}", f"ioredis@{IOREDIS}"],
            capture_output=True,
            text=True,
            timeout=INSTALLS_WITHIN_S,
            check=False,
        )
        if done.returncode or not _is_there(place):
            return f"BULLMQ CAN'T BE INSTALLED: that workers may be written in Node goes untested ({done.stderr.strip()[:200]})"
    return place


def _is_there(place: Path) -> bool:
    modules = place / "node_modules"
    return _version(modules / "bullmq") == VERSION and _version(modules / "ioredis") == IOREDIS


def _version(module: Path) -> str | None:
    package = module / "package.json"
    return json.loads(package.read_text())["version"] if package.exists() else None
