"""Settings: read from the environment, checked, frozen; their messages never show a secret."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sse_push.service.settings import (
    PREFIX,
    BadSettings,
    Settings,
    load_settings,
    renamed_variables,
    unknown_variables,
)
from tests.conftest import SECRET

JWKS = "https://issuer.example.com/jwks.json"


def _load(**settings: Any) -> Settings:
    usual = {} if {"jwks_url", "auth_mode", "jwt_secret"} & settings.keys() else {"jwt_secret": SECRET}
    return load_settings(**{**usual, **settings})


def _refusal(**settings: Any) -> str:
    with pytest.raises(BadSettings) as caught:
        _load(**settings)
    return str(caught.value)


# -- from the environment -------------------------------------------------------------------------


def test_settings_come_from_the_environment_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_JWT_SECRET", SECRET)
    monkeypatch.setenv("SSE_PUSH_PORT", "3090")
    monkeypatch.setenv("SSE_PUSH_HEARTBEAT_S", "2.5")
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("HOST", "192.0.2.1")

    settings = load_settings()

    assert (settings.port, settings.heartbeat_s, settings.host) == (3090, 2.5, "127.0.0.1")
    assert settings.jwt_secret.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("text", "values"),
    [("a,b", ("a", "b")), (" a , b ,", ("a", "b")), ("a", ("a",)), (",", ()), ("*", ("*",))],
)
def test_lists_are_comma_separated(
    monkeypatch: pytest.MonkeyPatch, text: str, values: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SSE_PUSH_OPEN_ROOMS", text)

    assert _load().open_rooms == values


def test_variable_that_nothing_reads_is_found_with_what_may_be_meant() -> None:
    environment = dict.fromkeys(
        [
            "SSE_PUSH_MAX_CONECTIONS",
            "SSE_PUSH_SHOE_SIZE",
            "SSE_PUSH_PORT",
            "sse_push_host",
            "SSE_PUSH_URL",
            "PATH",
        ],
        "1",
    )
    assert unknown_variables(environment) == {
        "SSE_PUSH_MAX_CONECTIONS": "SSE_PUSH_MAX_CONNECTIONS",
        "SSE_PUSH_SHOE_SIZE": "",
    }


def test_variables_that_tell_of_a_service_of_this_name_are_nobodys_mistake() -> None:
    links = ["SSE_PUSH_SERVICE_HOST", "SSE_PUSH_SERVICE_PORT_HTTP", "SSE_PUSH_PORT_8000_TCP_ADDR"]
    assert unknown_variables(dict.fromkeys(links, "x")) == {}


def test_empty_variable_is_as_if_it_were_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "OPEN_ROOMS", "JWKS_URL", "ALLOW_PUBLIC_DEMO"):
        monkeypatch.setenv(PREFIX + name, "")

    settings = _load()

    assert (settings.port, settings.open_rooms, settings.jwks_url) == (8000, None, "")


def test_settings_of_others_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_OF_A_LATER_VERSION", "1")

    _load()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        _load().port = 1


def test_defaults_are_those_of_the_contract() -> None:
    settings = _load()

    assert (settings.host, settings.port, settings.auth_mode) == ("127.0.0.1", 8000, "jwt")
    assert settings.engine_url == "embedded:"
    limits = (
        settings.max_connections,
        settings.max_connections_per_user,
        settings.max_connections_per_address,
    )
    assert limits == (1000, 20, 200)
    assert (settings.heartbeat_s, settings.peer_timeout_s) == (15, 60)
    assert (settings.custom_interval_s, settings.status_interval_s) == (1, 5)
    assert settings.idempotency_ttl_s == 600
    assert settings.redirect_origins == settings.cors_origins == settings.trusted_proxies == ()


@pytest.mark.parametrize(
    "name",
    [
        "HOST",
        "PORT",
        "DATA_DIR",
        "ENGINE_URL",
        "AUTH_MODE",
        "JWT_SECRET",
        "JWKS_URL",
        "MAX_CONNECTIONS",
        "MAX_CONNECTIONS_PER_USER",
        "MAX_CONNECTIONS_PER_ADDRESS",
        "REDIRECT_ORIGINS",
        "OPEN_ROOMS",
        "FUNCTION_SIGNING_KEY",
        "CORS_ORIGINS",
        "HEARTBEAT_S",
        "CUSTOM_INTERVAL_S",
        "ALLOW_PUBLIC_DEMO",
        "JWT_ALGORITHMS",
        "JWT_ISSUER",
        "JWT_AUDIENCE",
        "HISTORY_MAX_EVENTS",
        "HISTORY_MAX_AGE_S",
        "SLOW_READER_BYTES",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "STATUS_INTERVAL_S",
    ],
)
def test_setting_that_operators_were_promised_is_there(name: str) -> None:
    assert Settings.model_fields[name.lower()].description


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


# -- what goes together ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"jwt_secret": ""}, "JWT_SECRET"),
        ({"jwt_secret": SECRET, "jwks_url": JWKS}, "exclude"),
        ({"jwt_secret": "x" * 31}, "32 bytes"),
        ({"jwks_url": "ftp://issuer/jwks"}, "JWKS_URL"),
        ({"jwks_url": "issuer/jwks"}, "JWKS_URL"),
        ({"jwks_url": JWKS, "jwt_algorithms": "HS256"}, "HS256"),
        ({"jwks_url": JWKS, "jwt_algorithms": "RS256,HS256"}, "HS256"),
        ({"jwks_url": JWKS, "jwt_algorithms": "none"}, "none"),
        ({"jwt_algorithms": "none"}, "none"),
        ({"jwt_algorithms": "RS256"}, "RS256"),
        ({"jwt_algorithms": "HS256,ES256"}, "ES256"),
        ({"auth_mode": "demo", "host": "0.0.0.0"}, "ALLOW_PUBLIC_DEMO"),
        ({"auth_mode": "demo", "host": "::"}, "ALLOW_PUBLIC_DEMO"),
        ({"auth_mode": "demo", "host": "192.0.2.1"}, "ALLOW_PUBLIC_DEMO"),
        ({"auth_mode": "demo", "host": "example.com"}, "ALLOW_PUBLIC_DEMO"),
        ({"auth_mode": "demo", "host": "localhost.example.com"}, "ALLOW_PUBLIC_DEMO"),
        ({"auth_mode": "none"}, "SSE_PUSH_AUTH_MODE"),
        ({"heartbeat_s": 60}, "PEER_TIMEOUT_S"),
        ({"heartbeat_s": 10, "peer_timeout_s": 10}, "PEER_TIMEOUT_S"),
        ({"slow_reader_bytes": 65536, "max_event_bytes": 65536}, "SLOW_READER_BYTES"),
        ({"open_rooms": "a\x00b"}, "OPEN_ROOMS"),
        ({"open_rooms": "x" * 129}, "OPEN_ROOMS"),
        ({"cors_origins": "example.com"}, "SSE_PUSH_CORS_ORIGINS"),
        ({"cors_origins": "https://example.com/path"}, "SSE_PUSH_CORS_ORIGINS"),
        ({"cors_origins": "*"}, "SSE_PUSH_CORS_ORIGINS"),
        ({"redirect_origins": "https://example.com,ftp://example.com"}, "SSE_PUSH_REDIRECT_ORIGINS"),
        ({"redirect_origins": "*"}, "SSE_PUSH_REDIRECT_ORIGINS"),
        ({"trusted_proxies": "10.0.0.0/33"}, "SSE_PUSH_TRUSTED_PROXIES"),
        ({"trusted_proxies": "proxy.example.com"}, "SSE_PUSH_TRUSTED_PROXIES"),
        ({"function_signing_key": "xyz"}, "SSE_PUSH_FUNCTION_SIGNING_KEY"),
        ({"function_signing_key": "abc"}, "SSE_PUSH_FUNCTION_SIGNING_KEY"),
        ({"port": 65536}, "SSE_PUSH_PORT"),
        ({"port": -1}, "SSE_PUSH_PORT"),
        ({"port": "http"}, "SSE_PUSH_PORT"),
        ({"max_connections": 0}, "SSE_PUSH_MAX_CONNECTIONS"),
        ({"max_connections_per_user": 0}, "SSE_PUSH_MAX_CONNECTIONS_PER_USER"),
        ({"heartbeat_s": 0}, "SSE_PUSH_HEARTBEAT_S"),
        ({"custom_interval_s": 0}, "SSE_PUSH_CUSTOM_INTERVAL_S"),
        ({"history_max_events": 0}, "SSE_PUSH_HISTORY_MAX_EVENTS"),
        ({"history_sync": "off"}, "SSE_PUSH_HISTORY_SYNC"),
        ({"log_level": "loud"}, "SSE_PUSH_LOG_LEVEL"),
        ({"log_format": "xml"}, "SSE_PUSH_LOG_FORMAT"),
        ({"allow_public_demo": "perhaps"}, "SSE_PUSH_ALLOW_PUBLIC_DEMO"),
        ({"engine_url": "mysql://localhost"}, "ENGINE_URL"),
    ],
)
def test_setting_that_cannot_be_is_refused_by_its_name(settings: dict[str, Any], named: str) -> None:
    assert named in _refusal(**settings)


@pytest.mark.parametrize("value", ["inf", "nan", "-1"])
@pytest.mark.parametrize(
    "name", [name for name, field in Settings.model_fields.items() if field.annotation is float]
)
def test_duration_that_has_no_end_is_refused(name: str, value: str) -> None:
    assert name.upper() in _refusal(**{name: value})


def test_every_fault_has_a_line() -> None:
    assert len(_refusal(port=-1, heartbeat_s=0, log_level="loud").splitlines()) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"jwt_secret": "very-secret"},
        {"jwt_secret": "very-secret" * 5, "jwks_url": JWKS},
        {"jwt_secret": "very-secret" * 5, "jwt_algorithms": "none"},
        {"jwt_secret": "very-secret" * 5, "port": -1, "heartbeat_s": 0},
        {"jwt_secret": "very-secret" * 5, "peer_timeout_s": 5},
        {"function_signing_key": "very-secret"},
        {"jwks_url": "ftp://user:very-secret@issuer/jwks"},
        {"jwt_secret": "very-secret" * 5, "engine_url": "nosuch://user:very-secret@host"},
    ],
)
def test_messages_never_show_a_secret(settings: dict[str, Any]) -> None:
    assert "very-secret" not in _refusal(**settings)


def test_settings_as_text_never_show_a_secret() -> None:
    settings = _load(jwt_secret="very-secret" * 5, function_signing_key="c0ffee")

    for text in (repr(settings), str(settings), str(settings.model_dump())):
        assert "very-secret" not in text
        assert "c0ffee" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_demo_may_listen_on_loopback(host: str) -> None:
    assert _load(auth_mode="demo", host=host).demo


def test_demo_may_listen_in_public_where_that_is_wanted() -> None:
    assert _load(auth_mode="demo", host="0.0.0.0", allow_public_demo="true").demo


def test_jwt_may_listen_in_public() -> None:
    assert _load(host="0.0.0.0").host == "0.0.0.0"


def test_demo_may_have_a_secret_or_keys_beside_it() -> None:
    assert _load(auth_mode="demo", jwt_secret=SECRET).algorithms == ("HS256",)
    assert _load(auth_mode="demo", jwks_url=JWKS).algorithms == ("RS256", "ES256", "EdDSA")


# -- what follows from them -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "algorithms"),
    [
        ({}, ("HS256",)),
        ({"jwt_algorithms": "HS256"}, ("HS256",)),
        ({"jwks_url": JWKS}, ("RS256", "ES256", "EdDSA")),
        ({"jwks_url": JWKS, "jwt_algorithms": "ES256"}, ("ES256",)),
    ],
)
def test_algorithms_follow_the_kind_of_key(settings: dict[str, Any], algorithms: tuple[str, ...]) -> None:
    assert _load(**settings).algorithms == algorithms


@pytest.mark.parametrize(
    ("settings", "rooms"),
    [
        ({}, {"general"}),
        ({"auth_mode": "demo"}, {"*"}),
        ({"open_rooms": "a,b"}, {"a", "b"}),
        ({"open_rooms": "a", "auth_mode": "demo"}, {"a"}),
        ({"open_rooms": "*"}, {"*"}),
        ({"open_rooms": ()}, set()),
    ],
)
def test_open_rooms_default_by_mode(settings: dict[str, Any], rooms: set[str]) -> None:
    assert _load(**settings).rooms_open_to_all == rooms


def test_socket_limit_leaves_room_beside_the_streams() -> None:
    assert _load(max_connections=5000).socket_limit == 6000
    assert _load(max_sockets=77).socket_limit == 77


def test_data_dir_is_a_path() -> None:
    assert _load(data_dir="/somewhere/else").data_dir == Path("/somewhere/else")


def test_one_setting_has_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_WORKER_CONCURRENCY", "7")
    assert Settings(auth_mode="demo").ai_worker_concurrency == 7

    monkeypatch.setenv("AI_WORKER_CONCURRENCY", "many")
    with pytest.raises(BadSettings, match=r"^AI_WORKER_CONCURRENCY: "):
        load_settings(auth_mode="demo")


@pytest.mark.parametrize(
    ("url", "on_redis"), [("embedded:", False), ("redis://h", True), ("unix:///run/r", True)]
)
def test_queue_goes_with_the_engine(url: str, on_redis: bool) -> None:
    assert Settings(auth_mode="demo", engine_url=url).on_redis is on_redis


def test_model_is_asked_where_one_is_named() -> None:
    assert not Settings(auth_mode="demo", ai_model="m").asks_a_model
    assert Settings(auth_mode="demo", ai_base_url="http://h/v1").asks_a_model
    assert Settings(auth_mode="demo", ai_api_key="k").asks_a_model
    with pytest.raises(BadSettings, match="SSE_PUSH_AI_BASE_URL: must begin with"):
        load_settings(auth_mode="demo", ai_base_url="localhost:11434")


# -- words as people write them --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LOG_LEVEL", "INFO", "info"),
        ("LOG_LEVEL", " Warn\n", "warning"),
        ("AUTH_MODE", "Demo ", "demo"),
        ("IO_URING", "OFF", "off"),
        ("HISTORY_SYNC", "Full", "full"),
        ("LOG_FORMAT", "JSON", "json"),
        ("LOG_FORMAT", "  ", "auto"),
        ("PORT", " 80 ", 80),
        ("PORT", " ", 8000),
        ("HOST", " 127.0.0.1 ", "127.0.0.1"),
        ("ENGINE_URL", " embedded: ", "embedded:"),
        ("JWT_ALGORITHMS", "hs256", ("HS256",)),
        ("ALLOW_PUBLIC_DEMO", " On", True),
        ("ALLOW_PUBLIC_DEMO", "disabled", False),
        ("ALLOW_PUBLIC_DEMO", "NO", False),
        ("ALLOW_PUBLIC_DEMO", "", False),
    ],
)
def test_setting_is_read_as_people_write_it(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv("SSE_PUSH_AUTH_MODE", "demo")
    monkeypatch.setenv(f"SSE_PUSH_{name}", text)
    assert getattr(load_settings(), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"), [("LOG_LEVEL", "loud"), ("ALLOW_PUBLIC_DEMO", "maybe"), ("IO_URING", "on")]
)
def test_word_that_is_none_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"SSE_PUSH_{name}", text)
    assert f"SSE_PUSH_{name}: " in _refusal()


def test_secret_stays_as_it_is() -> None:
    secret = f" {SECRET}\n"
    assert _load(jwt_secret=secret).jwt_secret.get_secret_value() == secret


def test_former_name_of_a_setting_is_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_AUTH_MODE", "demo")
    monkeypatch.setenv("SSE_PUSH_DEAD_PEER_S", "90")
    assert load_settings().peer_timeout_s == 90

    monkeypatch.setenv("SSE_PUSH_PEER_TIMEOUT_S", "80")
    assert load_settings().peer_timeout_s == 80


def test_former_name_with_a_bad_value_is_refused_by_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_PUSH_SHUTDOWN_S", "soon")
    with pytest.raises(BadSettings, match="SSE_PUSH_SHUTDOWN_TIMEOUT_S"):
        load_settings(auth_mode="demo")


def test_former_names_are_found_and_are_not_unknown() -> None:
    environment = {"SSE_PUSH_IDEMPOTENCY_S": "60", "sse_push_shutdown_s": "5", "SSE_PUSH_PORT": "8000"}
    assert renamed_variables(environment) == {
        "SSE_PUSH_IDEMPOTENCY_S": "SSE_PUSH_IDEMPOTENCY_TTL_S",
        "sse_push_shutdown_s": "SSE_PUSH_SHUTDOWN_TIMEOUT_S",
    }
    assert unknown_variables(environment) == {}
