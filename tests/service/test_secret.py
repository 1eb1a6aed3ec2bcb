"""The secret of demo mode: made once in each data directory, whoever comes first."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sse_push.service.secret import FILE, kept_secret


def test_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    secret = kept_secret(folder)
    assert len(secret) == 64
    assert kept_secret(folder) == secret
    assert (folder / FILE).stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_secrets_of_two_folders_differ(tmp_path: Path) -> None:
    assert kept_secret(tmp_path / "a") != kept_secret(tmp_path / "b")


def test_many_who_come_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: kept_secret(tmp_path), range(32)))) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
