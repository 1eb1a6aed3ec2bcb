"""A real nginx with the configuration of deploy/nginx, before nodes of the test's own.

The configuration is taken as it stands but for what names a place: ports, nodes, paths; and where a test says so,
a time that would be too long to wait for. Knows nothing of HTTP.
"""

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
from pathlib import Path
from typing import Any

import trustme

from tests.ports import HOST, reserve
from tests.process import ROOT, eventually

CONFIG = ROOT / "deploy" / "nginx"
# Debian's sbin is not on everybody's PATH.
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


class Nginx:
    """One nginx over *nodes*, the ports of services on this machine.

    Args:
        folder: For its configuration, certificates, logs and temporary files.
        changes: What stands in the configuration, and what shall stand there instead.
    """

    def __init__(self, folder: Path, nodes: list[int], changes: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = self.plain_port = 0
        self._nodes = nodes
        self._changes = changes or {}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self._authority = trustme.CA()
        certificate = self._authority.issue_cert(HOST)
        (folder / "certs").mkdir()
        certificate.private_key_pem.write_to_path(folder / "certs" / "privkey.pem")
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(folder / "certs" / "fullchain.pem", append=True)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """Trusts its certificate, and nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._authority.configure_trust(context)
        return context

    def write_configuration(self) -> None:
        for path in CONFIG.glob("*.conf"):
            (self.folder / path.name).write_text(self._placed(path.read_text()))

    def _placed(self, text: str) -> str:
        log = self.folder / "access.jsonl"
        servers = "".join(f"    server {HOST}:{port} max_fails=0;\n" for port in self._nodes)
        places = {
            "    server node-1:8000 max_fails=0;\n    server node-2:8000 max_fails=0;\n": servers,
            "listen 80;": f"listen {HOST}:{self.plain_port};",
            "listen 443 ssl http2;": f"listen {HOST}:{self.port} ssl http2;",
            "listen [::]:80;": "",
            "listen [::]:443 ssl http2;": "",
            "access_log /dev/stdout sse_push;": f"access_log {log} sse_push;",
            "error_log stderr": f"error_log {self.folder}/error.log",
            "worker_processes auto;": "worker_processes 2;",
            "worker_connections 32768;": "worker_connections 1024;",
            "worker_rlimit_nofile 65536;": "",
        }
        for old, new in {**places, **self._changes}.items():
            text = text.replace(old, new)
        return text

    # -- life and death ----------------------------------------------------------------------------

    @property
    def command(self) -> list[str]:
        assert NGINX is not None
        return [NGINX, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;"]

    async def start(self) -> None:
        """Start it; returns when it listens."""
        self.plain_port, self.port = reserve(), reserve()
        self.write_configuration()
        with (self.folder / "output.txt").open("wb") as output:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        await eventually(lambda: self.workers or not self.runs, "nginx has workers")
        assert self.runs, f"nginx did not start: {self.output}"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers that accept connections or still serve some."""
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in listed.read_text().split()] if self.runs else []

    async def reload(self) -> list[int]:
        """Let it read its configuration again; the workers that it had."""
        assert self._process is not None
        before = self.workers
        self._process.send_signal(signal.SIGHUP)
        await eventually(lambda: len(set(self.workers) - set(before)) >= 2, "nginx has new workers")
        await eventually(lambda: not any(map(_accepts, before)), "the old workers take nothing new")
        return before

    def clean_up(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    # -- what can be seen of it --------------------------------------------------------------------

    @property
    def output(self) -> str:
        """All that it wrote: its log of errors, and what stood on its standard output and error."""
        files = [self.folder / name for name in ("error.log", "output.txt", "access.jsonl")]
        return "".join(path.read_text() for path in files if path.exists())

    @property
    def answered(self) -> list[dict[str, Any]]:
        """The lines of its access log."""
        log = self.folder / "access.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _accepts(worker: int) -> bool:
    title = Path(f"/proc/{worker}/cmdline")
    return title.exists() and "shutting down" not in title.read_text()


async def check(nginx: Nginx) -> str:
    """What ``nginx -t`` says of its configuration; empty where it finds nothing to say."""
    process = await asyncio.create_subprocess_exec(*nginx.command, "-t", "-q", stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    return said.decode()
