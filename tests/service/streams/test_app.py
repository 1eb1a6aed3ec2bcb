"""Topic ``app``: one's own, or all of it for an admin."""

import pytest
from pydantic import ValidationError

from sse_push.events.errors import Forbidden, Unauthenticated
from sse_push.service.identity import ANONYMOUS, Caller
from sse_push.service.streams.app import AppMessage, AppStream, AppUserStream, UserParams
from sse_push.service.streams.base import Params
from tests.conftest import SettingsFactory

USER = Caller("42", frozenset(["user"]))
ADMIN = Caller("1", frozenset(["admin"]))
SERVICE = Caller("s", frozenset(["service"]))


def test_own_stream_is_keyed_by_its_user(settings_for: SettingsFactory) -> None:
    assert set(AppStream().filter(USER, Params(), settings_for()).keys) == {"app\x1f*", "app\x1f@42"}


def test_admins_stream_is_the_whole_topic_by_one_key(settings_for: SettingsFactory) -> None:
    assert AppStream().filter(ADMIN, Params(), settings_for()).keys == ("app",)


@pytest.mark.parametrize(
    ("caller", "user_id", "error"),
    [
        (USER, "42", None),
        (ADMIN, "42", None),
        (USER, "43", Forbidden),
        (SERVICE, "42", Forbidden),
        (ANONYMOUS, "42", Unauthenticated),
    ],
)
def test_stream_of_one_user_is_theirs_and_admins(
    settings_for: SettingsFactory, caller: Caller, user_id: str, error: type[Exception] | None
) -> None:
    stream, params = AppUserStream(), UserParams(user_id=user_id)
    if error is not None:
        with pytest.raises(error):
            stream.filter(caller, params, settings_for())
        return

    assert set(stream.filter(caller, params, settings_for()).keys) == {"app\x1f*", f"app\x1f@{user_id}"}


@pytest.mark.parametrize("user_id", ["", "x" * 129, "a\x1fb", "a\nb"])
def test_user_id_that_could_reach_other_keys_is_refused(user_id: str) -> None:
    with pytest.raises(ValidationError):
        UserParams(user_id=user_id)
    with pytest.raises(ValidationError):
        AppMessage.model_validate({"message": "m", "userId": user_id})
