"""Text of others, made safe to show in a terminal."""

import re

# C0, C1, and what breaks a line or changes its order: a terminal would obey some, and a line would no longer be one.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """*text* on one line, its control characters and half surrogates written as escapes."""
    return _CONTROL.sub(lambda found: _SHORT.get(found[0]) or _escape(found[0]), text)


def _escape(sign: str) -> str:
    return f"\\x{ord(sign):02x}" if sign < "\u0100" else f"\\u{ord(sign):04x}"
