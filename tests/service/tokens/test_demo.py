"""Demo tokens: their form, and JWTs beside them."""

import base64

import pytest

from sse_push.events.errors import Unauthenticated
from sse_push.service.identity import Caller
from sse_push.service.tokens import Tokens, demo_caller, demo_token
from tests.conftest import SECRET, SettingsFactory, mint
from tests.service.tokens.forgery import EXAMPLE, is_refused, signed_token


def _demo(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_demo_token_of_the_contract() -> None:
    assert demo_caller(EXAMPLE) == Caller(
        "test123", frozenset(["user", "admin"]), "testuser", "test@example.com"
    )


def test_bad_demo_token_says_what_a_good_one_is() -> None:
    with pytest.raises(Unauthenticated, match=r"not valid: a demo token is base64 of id:username"):
        demo_caller("eyJhbGciOiJIUzI1NiJ9.e30.x")


@pytest.mark.parametrize(
    "token",
    [
        EXAMPLE.rstrip("="),  # as some clients write it
        base64.urlsafe_b64encode(b"test123:testuser:test@example.com:user,admin").decode(),
    ],
)
def test_demo_token_may_lack_its_padding_or_be_url_safe(token: str) -> None:
    assert demo_caller(token).user_id == "test123"


def test_demo_token_of_other_scripts() -> None:
    text = "7:Änne ÿ>?:a@b.c:user"

    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert demo_caller(encode(text.encode()).decode()).name == "Änne ÿ>?"


def test_demo_token_may_have_no_role() -> None:
    assert demo_caller(_demo("1:a:b:")).roles == frozenset()


@pytest.mark.parametrize(
    "token",
    [
        "", "=", "====", "!!!!", "a", "é", "\x00", " " + EXAMPLE, EXAMPLE + "\n", EXAMPLE[:10] + "\n" + EXAMPLE[10:],
        "AA=A", _demo(""), _demo("1"), _demo("1:a"), _demo("1:a:b"), _demo("1:a:b:user:more"), _demo(":a:b:user"),
        _demo("1\n:a:b:user"), _demo("x" * 129 + ":a:b:user"), _demo("1:a:b:root"), _demo("1:a:b:user,root"),
        _demo("1:a:b:USER"), _demo("1:a:b:user, admin"), base64.b64encode(b"1:a:b:\xff").decode(),
        base64.b64encode(b"\xff:a:b:user").decode(), "-_+/", "1:a:b:user",
    ],
)  # fmt: skip
def test_demo_token_of_another_form_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        demo_caller(token)


def test_demo_token_that_was_minted_is_read() -> None:
    caller = demo_caller(demo_token("42", ("user", "service"), "Ann", "a@b.c"))

    assert caller == Caller("42", frozenset(["user", "service"]), "Ann", "a@b.c")
    assert caller.expires is None


async def test_demo_token_is_refused_outside_demo_mode(tokens: Tokens) -> None:
    await is_refused(tokens, EXAMPLE)


# -- beside JWTs -----------------------------------------------------------------------------------


async def test_jwt_works_beside_demo_tokens_where_a_secret_is_set(settings_for: SettingsFactory) -> None:
    tokens = Tokens(settings_for(auth_mode="demo", jwt_secret=SECRET), None)

    assert (await tokens.verify(mint("42"))).user_id == "42"
    assert (await tokens.verify(EXAMPLE)).user_id == "test123"
    await is_refused(tokens, mint("42", secret="another secret of more than 32 bytes!"))


async def test_jwt_means_nothing_in_demo_mode_without_a_secret(settings_for: SettingsFactory) -> None:
    tokens = Tokens(settings_for(auth_mode="demo"), None)

    await is_refused(tokens, mint("42"))
    await is_refused(tokens, signed_token('{"sub":"42","exp":4000000000}', secret=b""))
