"""Fingerprints: a short text that says what an idempotency key was used for.

The same key with another fingerprint is a publisher's mistake, not a retry. Pure; knows no event and no request.
"""

import json
from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Any

from pydantic_core import from_json

_BYTES = 12  # 96 bits, 16 characters: two requests of one publisher do not share them by chance


def fingerprint_of(*parts: Any) -> str:
    """The fingerprint of *parts*, which are what JSON can say; bytes are JSON already.

    White space, the order of an object's fields, and how a text is escaped make no difference.
    """
    text = json.dumps([_parsed(part) for part in parts], sort_keys=True, separators=(",", ":"))
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=_BYTES).digest()).decode()


def _parsed(part: Any) -> Any:
    if not isinstance(part, bytes):
        return part
    try:
        value = from_json(part)
        json.dumps(value, allow_nan=False)
    except (
        ValueError,
        RecursionError,
    ):  # numbers past any float or of thousands of digits, or nested too deep: as it came
        return part.decode(errors="replace")
    return value
