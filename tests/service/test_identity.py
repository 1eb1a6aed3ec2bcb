"""Callers: what their roles and rooms allow."""

import pytest

from sse_push.events.errors import Forbidden, Unauthenticated
from sse_push.service.identity import ANONYMOUS, Caller, Role

USER = Caller("42", frozenset([Role.USER]))
ADMIN = Caller("1", frozenset([Role.ADMIN]))
SERVICE = Caller("s", frozenset([Role.SERVICE]))


def test_anonymous_is_nobody() -> None:
    assert ANONYMOUS.user_id is None
    assert not ANONYMOUS.is_admin
    assert not ANONYMOUS.is_publisher
    with pytest.raises(Unauthenticated):
        ANONYMOUS.require_user()
    with pytest.raises(Unauthenticated):
        ANONYMOUS.require_publisher()


@pytest.mark.parametrize(
    ("caller", "admin", "publisher"),
    [
        (USER, False, False),
        (ADMIN, True, True),
        (SERVICE, False, True),
        (Caller("x", frozenset(["ADMIN", "root"])), False, False),
    ],
)
def test_roles_say_who_is_an_admin_and_who_publishes(caller: Caller, admin: bool, publisher: bool) -> None:
    assert (caller.is_admin, caller.is_publisher) == (admin, publisher)


def test_publisher_is_required_by_name() -> None:
    assert SERVICE.require_publisher() == "s"
    with pytest.raises(Forbidden):
        USER.require_publisher()


def _with(*rooms: str) -> Caller:
    return Caller("42", frozenset(["user"]), rooms=frozenset(rooms))


@pytest.mark.parametrize(
    ("caller", "room", "open_rooms", "may"),
    [
        (USER, "general", {"general"}, True),
        (USER, "staff", {"general"}, False),
        (USER, "staff", {"*"}, True),
        (USER, "general", set(), False),
        (_with("staff"), "staff", {"general"}, True),
        (_with("staff"), "general", {"general"}, False),
        (_with("staff"), "general", {"*"}, False),
        (_with(), "general", {"*"}, False),
        (_with("*"), "general", set(), False),
        (ADMIN, "staff", set(), True),
        (SERVICE, "staff", set(), True),
        (Caller("1", frozenset(["admin"]), rooms=frozenset()), "staff", set(), True),
    ],
)
def test_rooms_open_by_claim_by_setting_or_by_role(
    caller: Caller, room: str, open_rooms: set[str], may: bool
) -> None:
    assert caller.may_enter(room, frozenset(open_rooms)) is may
