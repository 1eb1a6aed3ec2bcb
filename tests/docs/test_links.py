"""Links lead somewhere, and the files that are named exist."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

# By the reader of adding-a-stream.md, by `make console`.
TO_BE_MADE = {"service/streams/orders.py", "handlers/console_dist"}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert fragment in map(anchor, headings), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_exist(page: Path) -> None:
    """`events/window.py` and the like, in any page."""
    for path in re.findall(
        r"`((?:bench|cli|events|handlers|service|tests|docs)/[\w/.-]+)(?::\w+)?`", page.read_text()
    ):
        assert (ROOT / path).exists() or path in TO_BE_MADE, path
