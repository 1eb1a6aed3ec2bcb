"""The pages of the documentation, and what is in them: sections, tables, names."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])


def section(page: str, title: str) -> str:
    """What stands under a heading, up to the next of the same level or above."""
    level, _, _ = title.partition(" ")
    lines: list[str] = []
    inside = fenced = False
    for line in (ROOT / page).read_text().splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith("#") and len(line) - len(line.lstrip("#")) <= len(level):
            inside = line == title
        elif inside:
            lines.append(line)
    assert lines, f"{page} has no {title}"
    return "\n".join(lines)


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in *text*, without their heads."""
    found = []
    for line in text.splitlines():
        if line.startswith("|---"):
            found.pop()
        elif line.startswith("|"):
            found.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))
