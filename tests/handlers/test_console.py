"""The console's files: what is built is served with its headers and caches; without a build a page says so."""

import gzip
import re
from pathlib import Path

import pytest

from sse_push.handlers import console
from tests.conftest import Start

PAGE = '<!doctype html><script type="module" src="./assets/index-a1b2.js"></script>'
SCRIPT = "console.log('the console')\n" * 100
SECURE = {
    "Content-Security-Policy": console.POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build of a page and a script, the script gzipped too."""
    folder = tmp_path / "console_dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "assets" / "index-a1b2.js").write_text(SCRIPT)
    (folder / "assets" / "index-a1b2.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    monkeypatch.setattr(console, "DIST", folder)
    return folder


@pytest.mark.usefixtures("built")
async def test_page_is_served_and_asked_for_anew_each_time(start: Start) -> None:
    service = await start()
    answer = await service.get("/")

    assert (answer.status, answer.body.decode()) == (200, PAGE)
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert SECURE.items() <= dict(answer.headers).items()
    again = await service.get("/", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.usefixtures("built")
async def test_asset_is_kept_for_good(start: Start) -> None:
    service = await start()
    answer = await service.get("/assets/index-a1b2.js", headers={"Accept-Encoding": "identity"})

    assert answer.body.decode() == SCRIPT
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert SECURE.items() <= dict(answer.headers).items()


@pytest.mark.usefixtures("built")
async def test_asset_is_sent_gzipped_to_who_takes_that(start: Start) -> None:
    service = await start()
    plain = await service.get("/assets/index-a1b2.js", headers={"Accept-Encoding": "identity"})
    zipped = await service.get("/assets/index-a1b2.js", headers={"Accept-Encoding": "gzip, br"})

    assert zipped.headers["Content-Encoding"] == "gzip"
    assert int(zipped.headers["Content-Length"]) < len(SCRIPT) / 10
    assert zipped.body.decode() == SCRIPT  # the client has unpacked it
    assert zipped.headers["ETag"] != plain.headers["ETag"]


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    "path", ["/assets/index-0000.js", "/assets/index-a1b2.js.gz", "/assets/..%2findex.html", "/assets/"]
)
async def test_what_was_not_built_is_not_found(start: Start, path: str) -> None:
    answer = await (await start()).get(path)

    assert answer.status == 404
    assert answer.json["title"] == "Not Found"


async def test_build_made_anew_leaves_the_running_one_whole(start: Start, built: Path) -> None:
    service = await start()
    (built / "assets" / "index-a1b2.js").unlink()
    (built / "assets" / "index-a1b2.js.gz").unlink()

    assert (await service.get("/assets/index-a1b2.js")).body.decode() == SCRIPT


def test_policy_makes_no_exception() -> None:
    sources = set(re.findall(r"(?<= )(?:'[^']+'|[^' ;]+:)", console.POLICY))

    assert sources == {"'self'", "'none'"}
    assert console.POLICY.startswith("default-src 'none'; ")


async def test_without_a_build_a_page_says_how_to_get_it(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "DIST", tmp_path / "none")
    service = await start()
    answer = await service.get("/")

    assert answer.status == 200
    assert "make console" in answer.body.decode() and 'href="docs"' in answer.body.decode()
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert (await service.get("/docs")).status == 200


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip, br", True),
        ("GZIP;q=0.5", True),
        ("br, *", True),
        ("x-gzip", True),
        ("gzip;q=0.001", True),
        ("", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_taken_by_name_and_weight(accepted: str, takes: bool) -> None:
    assert console.takes_gzip(accepted) is takes
