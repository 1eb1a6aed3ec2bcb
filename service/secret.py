"""The secret that signs tokens in demo mode, where none is set: made once, kept in the data directory."""

import os
import secrets
from pathlib import Path

from sse_push.events.private_files import make_private

FILE = "jwt-secret"  # in DATA_DIR
_BYTES = 32  # what HS256 wants (RFC 7518, section 3.2)


def kept_secret(data_dir: Path) -> str:
    """The secret of *data_dir*. Of many processes that come at once all get the same.

    Raises:
        OSError: It can't be read or made.
    """
    path = data_dir / FILE
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = data_dir / f"{FILE}.{secrets.token_hex(8)}"
        with open(os.open(made, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123 - a descriptor
            file.write(secrets.token_hex(_BYTES))
        try:
            os.link(made, path)  # whole, or not at all; the first stays
        except FileExistsError:
            pass
        finally:
            made.unlink()
    make_private(path)
    return path.read_text()
