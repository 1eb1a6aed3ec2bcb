"""What is said about people: numbers, addresses, names and passwords that are some, and that are none."""

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from sse_push.service.people import Email, NewUser, Password, UserName, plain_email, user_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("2147483647", 2147483647), ("2147483648", None), ("0", None), ("01", None), ("-1", None), ("1.0", None),
     ("", None), ("ada", None), ("١", None), (" 1", None), ("1\n", None), ("9" * 128, None)],
)  # fmt: skip
def test_user_number_is_that_of_an_account(text: str, number: int | None) -> None:
    assert user_number(text) == number


def test_addresses_that_differ_in_case_are_one() -> None:
    assert (
        plain_email(" Ada@Example.COM ")
        == TypeAdapter(Email).validate_python("ada@EXAMPLE.com")
        == "ada@example.com"
    )


@pytest.mark.parametrize(
    "text", ["", "ada", "@", "a@", "@b", "a@b@c", "a b@c", "a\n@b", "a" * 250 + "@b.org", "a@\ud800"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Email).validate_python(text)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x7f", "x" * 129])
def test_name_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(UserName).validate_python(text)


def test_name_may_be_in_any_script() -> None:
    assert TypeAdapter(UserName).validate_python(" José 安 ") == "José 安"


@pytest.mark.parametrize("text", ["", "x" * 257, "half \ud800"])
def test_password_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Password).validate_python(SecretStr(text))


def test_new_user_does_not_show_the_password() -> None:
    new = NewUser(email="ada@example.com", password="the secret", name="Ada")  # type: ignore[arg-type]
    assert "the secret" not in repr(new)
    assert "the secret" not in new.model_dump_json()
