"""What the files of deploy/ name is there."""

from pathlib import Path

import pytest

from sse_push.service.settings import PREFIX, Settings
from tests.deploy.settings import DEPLOY, named_in

FILES = sorted(
    path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pem" and path.name != ".env"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_named_exist(path: Path) -> None:
    assert named_in(path) <= {PREFIX + name.upper() for name in Settings.model_fields}


def test_settings_are_named_at_all() -> None:
    assert sum(bool(named_in(path)) for path in FILES) >= 5
