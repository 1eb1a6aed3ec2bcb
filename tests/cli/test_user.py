"""``sse-push user``: what each action prints, takes from whom, and refuses."""

import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Start

ADA = ("user", "add", "--email", "Ada@example.com", "--name", "Ada")


@pytest.fixture(autouse=True)
def _database(_no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSE_PUSH_DATABASE_URL", f"sqlite:///{tmp_path / 'accounts.db'}")


def add(run: Run, name: str) -> int:
    done = run("user", "add", "--email", f"{name}@example.com", "--name", name, "--password", "a password")
    assert done.status == 0, done.err
    return int(json.loads(done.out)["id"])


def test_user_add_prints_the_new_user_as_json(run: Run) -> None:
    done = run(*ADA, "--password", "a password", "--role", "admin")
    assert (done.status, done.err) == (0, "")
    user = json.loads(done.out)
    assert user.pop("created_at").endswith("Z")
    assert user == {"id": 1, "email": "ada@example.com", "name": "Ada", "role": "admin", "active": True}


def test_user_add_takes_the_password_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a password\r\nmore"))
    assert run(*ADA).status == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    done = run("user", "password", "1")
    assert (done.status, done.out) == (1, "")
    assert "password: must have 1" in done.err


@pytest.mark.parametrize(
    ("change", "says"),
    [(("--email", "ada"), "e-mail address"), (("--name", " "), "name"), (("--password", ""), "password")],
)
def test_user_add_says_what_cannot_be(run: Run, change: tuple[str, ...], says: str) -> None:
    done = run(*ADA, "--password", "a secret", *change)
    assert (done.status, done.out) == (1, "")
    assert says in done.err
    assert "a secret" not in done.err


def test_user_add_makes_an_address_one_users(run: Run) -> None:
    add(run, "ada")
    done = run(*ADA, "--password", "a password")
    assert (done.status, done.err) == (1, "sse-push: another user has this e-mail address\n")


def test_user_befriend_makes_friends(run: Run) -> None:
    one, other = add(run, "ada"), add(run, "ben")
    for _ in range(2):
        done = run("user", "befriend", str(one), str(other))
        assert (done.status, json.loads(done.out)) == (
            0,
            {"user_id": other, "name": "ben", "state": "accepted"},
        )
    done = run("user", "befriend", str(one), "77")
    assert (done.status, done.err) == (1, "sse-push: User not found\n")


def test_user_is_changed_shut_out_let_in_and_removed(run: Run) -> None:
    add(run, "ada")
    assert (
        json.loads(run("user", "change", "1", "--name", "A.", "--role", "service").out)["role"] == "service"
    )
    assert json.loads(run("user", "disable", "1").out)["active"] is False
    assert json.loads(run("user", "enable", "1").out)["active"] is True
    assert json.loads(run("user", "password", "1", "--password", "another").out)["name"] == "A."
    assert run("user", "remove", "1").status == 0
    assert run("user", "remove", "1").status == 1


def test_user_list_prints_one_a_line(run: Run) -> None:
    assert run("user", "list").out == ""
    numbers = [add(run, name) for name in ("ada", "ben")]
    assert [json.loads(line)["id"] for line in run("user", "list").lines] == numbers


@pytest.mark.parametrize("number", ["ada", "0", "-1", "99999999999"])
def test_user_number_that_is_none_is_refused(run: Run, number: str) -> None:
    assert run("user", "remove", "--", number).status == 2


def test_user_says_when_the_database_cannot_be_opened(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SSE_PUSH_DATABASE_URL", f"sqlite:///{tmp_path}/file/accounts.db")
    done = run("user", "list")
    assert (done.status, done.out) == (1, "")
    assert "can't be opened" in done.err


@pytest.mark.process
def test_user_add_prints_nothing_else_where_it_makes_the_database(start: Start, tmp_path: Path) -> None:
    command = start(*ADA, DATABASE_URL=f"sqlite:///{tmp_path / 'new.db'}")
    out, err = command.communicate("a password\n", timeout=20)
    assert (command.returncode, err, json.loads(out)["id"]) == (0, "", 1)
