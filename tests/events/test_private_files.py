"""What is kept is for its owner's eyes, however the files came to be."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sse_push.events.private_files import make_private_database
from sse_push.service.tokens import demo_token
from tests.conftest import Start


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_open_umask")
@pytest.mark.parametrize("loose", [False, True])
async def test_files_of_a_node_are_read_by_no_other_user(start: Start, tmp_path: Path, loose: bool) -> None:
    folder = tmp_path / "a" / "data"
    if loose:
        folder.mkdir(parents=True)
        for name in ("events.db", "events.db-wal", "accounts.db", "lock", "accounts.db.lock"):
            (folder / name).touch(0o666)
    service = await start(data_dir=folder, auth_mode="demo", jwt_secret="")
    token = demo_token("1", ("service", "admin"), "", "")
    event = await service.post("/v1/events", token=token, json={"userId": "42", "data": 1})
    users = await service.get("/api/users", token=token)
    assert (event.status, users.status) == (200, 200)
    found = {path.name: _mode(path) for path in folder.iterdir()}
    assert {"events.db", "events.db-wal", "jwt-secret", "lock", "accounts.db"} <= found.keys()
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o007} == {}
    assert loose or _mode(folder) == 0o700


def test_rights_of_a_group_stay(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    path.chmod(0o644)
    make_private_database(path)
    assert _mode(path) == 0o640
