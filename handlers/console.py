"""``GET /``: the console, a page built from ``web/console`` into ``console_dist/`` beside this file.

Knows files, headers and caches. What the page does is the page's; without a build a small page says how to
get one, and everything else of the service runs all the same.
"""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aiohttp import web

from sse_push.handlers.openapi import Representation, representation, served

DIST = Path(__file__).parent / "console_dist"
# Nothing is loaded or run but what this origin serves, and that by file; nothing in the page may be a script or a
# style.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
# Not the system's table of types, which may call a script what browsers then refuse to run.
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_GOOD = "public, max-age=31536000, immutable"  # a built file's name holds the hash of what is in it
_STYLE = "body{max-width:38rem;margin:12vh auto;padding:0 1.5rem;font:1rem/1.6 system-ui,sans-serif;color-scheme:light dark}"
_NOT_BUILT = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>sse-push</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>sse-push runs</h1>
<p>Its console is not built here. With <a href="https://nodejs.org">Node.js</a> 20.19 or newer on this machine,
<code>make console</code> builds it; then start the service again.</p>
<p>All else is there: see the <a href="docs">API description</a> and the <a href="system/status">status</a>.</p>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Asset:
    """A built file, as it is and with gzip."""

    plain: Representation
    gzipped: Representation | None

    def for_request(self, request: web.Request) -> Representation:
        if self.gzipped is not None and takes_gzip(request.headers.get("Accept-Encoding", "")):
            return self.gzipped
        return self.plain


Build = Mapping[str, Asset]
BUILD = web.AppKey("BUILD", Build)


def takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` (RFC 9110, section 12.5.3) takes gzip: by its name, else by ``*``."""
    weights: dict[str, str] = {}
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        weights[name.strip()] = weight.replace(" ", "")
    wanted = weights.get("gzip", weights.get("x-gzip", weights.get("*")))
    return wanted is not None and not re.fullmatch(r"q=0(\.0*)?", wanted)


def routes() -> list[web.RouteDef]:
    return [web.get("/", page), web.get("/assets/{name}", asset)]


async def page(request: web.Request) -> web.Response:
    built = request.app[BUILD].get("index.html")
    return served(request, built.for_request(request) if built is not None else _not_built())


async def asset(request: web.Request) -> web.Response:
    built = request.app[BUILD].get(f"assets/{request.match_info['name']}")
    if built is None:
        raise web.HTTPNotFound
    return served(request, built.for_request(request))


async def read_build(app: web.Application) -> AsyncIterator[None]:
    """Read into memory, so that a new build does not remove files that open pages need."""
    app[BUILD] = await asyncio.to_thread(build_in, DIST)
    yield


@lru_cache(maxsize=1)
def build_in(folder: Path) -> Build:
    """The files of a build by their names, or nothing where none is."""
    if not folder.joinpath("index.html").is_file():
        return {}
    found = {f"assets/{one.name}": one for one in folder.joinpath("assets").iterdir()}
    found["index.html"] = folder.joinpath("index.html")
    return {name: _asset(name, one, folder) for name, one in found.items() if not name.endswith(".gz")}


def _asset(name: str, file: Path, folder: Path) -> Asset:
    headers = dict(_SECURITY)
    if name != "index.html":
        headers["Cache-Control"] = _FOR_GOOD
    content_type = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    packed = folder.joinpath(f"{name}.gz")
    if not packed.is_file():
        return Asset(representation(file.read_bytes(), content_type, **headers), None)
    headers["Vary"] = "Accept-Encoding"
    plain = representation(file.read_bytes(), content_type, **headers)
    zipped = representation(packed.read_bytes(), content_type, **headers, **{"Content-Encoding": "gzip"})
    return Asset(plain, zipped)


@lru_cache(maxsize=1)
def _not_built() -> Representation:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return representation(
        _NOT_BUILT.encode(), "text/html; charset=utf-8", **{**_SECURITY, "Content-Security-Policy": policy}
    )
