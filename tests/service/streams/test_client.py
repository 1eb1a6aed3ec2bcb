"""Topic ``client``: for the client that a user is, for admins, in demo mode for anyone."""

import pytest

from sse_push.events.errors import Forbidden, Unauthenticated
from sse_push.service.identity import ANONYMOUS, Caller
from sse_push.service.streams.client import ClientParams, ClientStream
from tests.conftest import SettingsFactory

USER = Caller("42", frozenset(["user"]))
ADMIN = Caller("1", frozenset(["admin"]))


@pytest.mark.parametrize(
    ("mode", "caller", "error"),
    [
        ("jwt", USER, None),
        ("jwt", ADMIN, None),
        ("jwt", Caller("43"), Forbidden),
        ("jwt", ANONYMOUS, Unauthenticated),
        ("demo", ANONYMOUS, None),
        ("demo", Caller("43"), Forbidden),
        ("demo", USER, None),
    ],
)
def test_client_is_its_users(
    settings_for: SettingsFactory, mode: str, caller: Caller, error: type[Exception] | None
) -> None:
    stream, params, settings = ClientStream(), ClientParams(client_id="42"), settings_for(auth_mode=mode)
    if error is not None:
        with pytest.raises(error):
            stream.filter(caller, params, settings)
        return

    where = stream.filter(caller, params, settings)
    assert (where.user, set(where.keys)) == ("42", {"client\x1f*", "client\x1f@42"})


def test_many_opens_the_client_of_its_caller() -> None:
    assert ClientStream().params_for(USER, None) == ClientParams(client_id="42")
