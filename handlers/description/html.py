"""HTML from Python calls: whatever is not :class:`Html` already is escaped, so nothing can slip in."""

import html
import re
from collections.abc import Iterable

_VOID = frozenset(["link", "meta"])
_MARK = re.compile(r"``(.+?)``|`([^`]+)`|\*(\w+)\*")


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


Child = str | Iterable[str] | None


def el(tag: str, *children: Child, **attributes: str | None) -> Html:
    """An element. A trailing ``_`` of an attribute's name is dropped, others become hyphens; ``None`` leaves it out."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    start = f"<{tag}{given}>"
    return Html(start if tag in _VOID else f"{start}{join(*children)}</{tag}>")


def join(*children: Child) -> Html:
    """*children* one after another."""
    return Html("".join(map(_text, children)))


def _text(child: Child) -> str:
    if child is None or isinstance(child, Html):
        return child or ""
    if isinstance(child, str):
        return html.escape(child)
    return "".join(map(_text, child))


def prose(text: str) -> Html:
    """Paragraphs of plain text, with code between backticks (one or two) and *names* between stars."""
    return join(el("p", inline(part)) for part in text.split("\n\n") if part.strip())


def inline(text: str) -> Html:
    parts = []
    end = 0
    for found in _MARK.finditer(text):
        parts += [join(text[end : found.start()]), el("code", found[1] or found[2] or found[3])]
        end = found.end()
    return join(parts, text[end:])
