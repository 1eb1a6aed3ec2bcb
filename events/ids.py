"""The form of event ids: ``EPOCH-SEQ``, as in ``k7f3q2xa-1024``.

The epoch names the store that gave the id, the number its place in the one order of that store.
Knows no store; reads and writes the text only.
"""

import re
import secrets

EPOCH_CHARS = 8  # 32^8 ≈ 10^12 stores before two are likely to share a name
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
# 19 digits: the largest SQLite rowid, 2^63 - 1. No leading zero, so that an id has one form only.
_FORM = re.compile(rf"([{_ALPHABET}]{{{EPOCH_CHARS}}})-(0|[1-9][0-9]{{0,18}})", re.ASCII)


def new_epoch() -> str:
    """A name for a new store."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(EPOCH_CHARS))


def format_id(epoch: str, seq: int) -> str:
    return f"{epoch}-{seq}"


def parse_id(text: str) -> tuple[str, int] | None:
    """The epoch and number of *text*, or ``None`` when it was never an id of ours."""
    found = _FORM.fullmatch(text)
    return (found[1], int(found[2])) if found else None
