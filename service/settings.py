"""The settings: environment variables with the prefix SSE_PUSH_, read once, checked, then frozen.

Each has its unit in its name and its reason in its description; ``sse-push serve --help`` prints them.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sse_push.events.engines import check_engine_url
from sse_push.events.topics import is_name
from sse_push.service.addresses import IPV6_PREFIX, UNIX_PEER, parse_network
from sse_push.service.database import check_database_url
from sse_push.service.hosts import is_of_this_machine, split_hosts
from sse_push.service.origins import OriginPattern, check_app_origin, origin_of, parse_origin

PREFIX = "SSE_PUSH_"
MIN_SECRET_BYTES = 32  # bytes of a secret that signs tokens (RFC 7518, section 3.2)
MAX_SECRETS = 4  # secrets at once: a token that none has signed is tried with each


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part for part in (part.strip() for part in value.split(",")) if part)
    return value


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parse_origin(value)
    return values


def _callers(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        check_app_origin(value)
    return values


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value != UNIX_PEER:
            parse_network(value)
    return values


def _listening(value: str) -> str:
    return ",".join(split_hosts(value))


def _hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        origin = origin_of(f"https://{value}")
        if origin is None or origin.host != value.lower():
            raise ValueError(f"{value!r} is no host name; write it without scheme and port")
    return tuple([value.lower() for value in values])


def _hex(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"([0-9a-fA-F]{2})*", value.get_secret_value()):
        raise ValueError("must be hex digits, two for each byte")
    return value


def _engine(value: str) -> str:
    check_engine_url(value)
    return value


def _http(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with https:// or http://")
    return value


def _secrets(value: SecretStr) -> SecretStr:
    secrets = split_secrets(value.get_secret_value())
    if len(secrets) > MAX_SECRETS:
        raise ValueError(f"lists more than {MAX_SECRETS} secrets")
    if any(map(_is_short, secrets)):
        shorter = "is shorter" if len(secrets) == 1 else "lists a secret that is shorter"
        raise ValueError(
            f"{shorter} than the {MIN_SECRET_BYTES} bytes that HS256 wants (RFC 7518, section 3.2)"
        )
    return value


def split_secrets(text: str) -> tuple[str, ...]:
    """The secrets that *text* lists: separated by commas, or as a JSON list of texts.

    One secret that holds a comma is taken as it is, unless one of its parts is long enough to be a secret.
    """
    try:
        listed = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        listed = None
    if not (isinstance(listed, list) and listed and all(isinstance(item, str) for item in listed)):
        parts = [part.strip() for part in text.split(",")]
        listed = parts if len(parts) > 1 and not all(map(_is_short, parts)) else [text] if text else []
    return tuple(listed)


def _is_short(secret: str) -> bool:
    return len(secret.encode(errors="replace")) < MIN_SECRET_BYTES


def _database(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        check_database_url(value.get_secret_value())
    return value


def _algorithms(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_ALGORITHMS.get(value.lower(), value) for value in values)


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[Texts, AfterValidator(_origins)]
Callers = Annotated[Texts, AfterValidator(_callers)]
Networks = Annotated[Texts, AfterValidator(_networks)]
_ASYMMETRIC = {"RS256", "ES256", "EdDSA"}
_ALGORITHMS = {name.lower(): name for name in ("HS256", *_ASYMMETRIC)}
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on", "y", "t", "enabled"), True),
    **dict.fromkeys(("0", "false", "no", "off", "n", "f", "disabled"), False),
}
_OTHER_WORDS = {"warn": "warning"}
_OF_COMMANDS = ("URL", "TOKEN")  # what `publish` and `listen` read beside the settings
# What Kubernetes and Docker tell of a service that is named as this one.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP)")


class BadSettings(Exception):
    """The environment holds settings that can't be; the message has a line for each."""


class Settings(BaseSettings):
    """Everything that can be set. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        allow_inf_nan=False,
        populate_by_name=True,
    )

    # Where it listens and keeps its things
    host: Annotated[str, AfterValidator(_listening)] = Field("127.0.0.1", description="Addresses to listen on; :: takes IPv4 too, unix:/path is a Unix socket.")  # fmt: skip
    socket_mode: str = Field("660", pattern="^0?[0-7]{3}$", description="Mode of that socket: who may write to it may connect.")  # fmt: skip
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    data_dir: Path = Field(
        Path("sse-push-data"),
        description="Folder of what is kept: events, accounts. Made for its owner alone where there is none.",
    )
    engine_url: Annotated[str, AfterValidator(_engine)] = Field(
        "embedded:",
        description="Where events are kept: embedded: (in DATA_DIR), or redis://host:port/db (rediss:, unix:).",
    )
    database_url: Annotated[SecretStr, AfterValidator(_database)] = Field(SecretStr(""), description="Database of accounts, sqlite:///path or postgresql://user:password@host/name; by default accounts.db in DATA_DIR.")  # fmt: skip
    node_id: str = Field("", description="Name of this node in logs and status; made up when empty.")

    # Who may ask
    auth_mode: Literal["jwt", "demo"] = Field("jwt", description="demo accepts unsigned demo tokens.")
    allow_public_demo: bool = Field(False, description="Lets demo mode listen on other than loopback.")
    demo_hosts: Annotated[Texts, AfterValidator(_hosts)] = Field((), description="Host names by which demo mode may be called, beside localhost, addresses and names without a dot: by any other a page of another site may command.")  # fmt: skip
    jwt_secret: Annotated[SecretStr, AfterValidator(_secrets)] = Field(SecretStr(""), description="Shared secrets for HS256, each of 32 bytes or more: the first signs, all verify. One of which a part between commas is that long too is written in a JSON list.")  # fmt: skip
    jwks_url: Annotated[str, AfterValidator(_http)] = Field("", repr=False, description="JWKS document for RS256, ES256, EdDSA (http, https).")  # fmt: skip
    jwks_refresh_s: float = Field(300, ge=1, description="The JWKS document is fetched again this often; a key that left it is trusted that long.")  # fmt: skip
    jwt_leeway_s: float = Field(10, ge=0, le=300, description="An issuer's clock may be ahead of this one by so much (`iat`, `nbf`).")  # fmt: skip
    jwt_algorithms: Annotated[Texts, AfterValidator(_algorithms)] = Field((), description="Accepted algorithms; by default HS256, or with JWKS_URL RS256,ES256,EdDSA.")  # fmt: skip
    jwt_issuer: str = Field("", description="Required `iss`, checked where set.")
    jwt_audience: str = Field("", description="Required `aud`, checked where set.")
    token_ttl_s: int = Field(28_800, ge=1, description="A token that a login gives is good this long: a working day.")  # fmt: skip
    open_rooms: Texts | None = Field(None, description="Rooms for users whose token names none; * is all. Default general, in demo mode *.")  # fmt: skip
    cors_origins: Callers = Field((), description="Origins whose pages may call, with credentials: https://host, https://*.example.com, of apps capacitor://localhost, chrome-extension://ID, moz-extension://*; null (without credentials).")  # fmt: skip
    trusted_proxies: Networks = Field(
        (),
        description="Networks of the proxies whose X-Forwarded-For or Forwarded is believed; unix: for those on a Unix socket.",
    )

    # Channel functions
    redirect_origins: Origins = Field((), description="Origins a client may be sent to; https://*.example.com for subdomains.")  # fmt: skip
    function_signing_key: Annotated[SecretStr, AfterValidator(_hex)] = Field(SecretStr(""), description="Hex key of X-Signature on PUT /functions.")  # fmt: skip

    # Limits of connections
    max_connections: int = Field(1000, ge=1, description="Open streams on this node.")
    max_connections_per_user: int = Field(20, ge=1, description="Open streams of one user on this node: a browser's tabs, some devices.")  # fmt: skip
    max_connections_per_address: int = Field(200, ge=1, description="Open streams from one address on this node, an office behind one NAT; IPv6 counts by IPV6_PREFIX.")  # fmt: skip
    ipv6_prefix: int = Field(IPV6_PREFIX, ge=32, le=128, description="Bits of an IPv6 address that count as one address in all limits: 64 is a network, 56 all that many homes have.")  # fmt: skip
    anonymous_share: float = Field(0.5, gt=0, le=1, description="Share of MAX_CONNECTIONS, and of MAX_CONNECTIONS_PER_ADDRESS, that streams without a token may take; the rest is kept for users.")  # fmt: skip
    opens_per_user_per_minute: float = Field(300, ge=0, description="Streams opened by one user on this node, that many at once at the most: 20 tabs that are reloaded, or come back after each of some restarts; 0 is no limit.")  # fmt: skip
    opens_per_address_per_minute: float = Field(1200, ge=0, description="The same without a token from one address: all streams that it may have, after each of some restarts.")  # fmt: skip
    max_sockets: int = Field(0, ge=0, description="Open sockets on this node, streams and requests; 0 is MAX_CONNECTIONS + 1000.")  # fmt: skip
    max_topics: int = Field(32, ge=1, description="Topics of one /v1/stream.")
    slow_reader_bytes: int = Field(2**20, ge=16 * 1024, description="Bytes that may wait for one stream; past it the stream is closed and resumes.")  # fmt: skip
    send_buffer_bytes: int = Field(128 * 1024, ge=64 * 1024, description="Kernel send buffer of a socket, which a reader that stopped fills first.")  # fmt: skip
    dead_peer_s: float = Field(60, ge=5, description="A peer that vanished without a word loses its slot within this.")  # fmt: skip

    # Limits of requests
    max_body_bytes: int = Field(2 * 2**20, ge=1024, description="Body of a list of events (NDJSON has no end, only lines).")  # fmt: skip
    max_event_bytes: int = Field(64 * 1024, ge=64, description="Encoded data of one event.")
    max_batch_events: int = Field(1000, ge=1, description="Events in one list.")
    max_routing_keys: int = Field(10_000, ge=4000, description="Routing keys in one list, one for each user of each event at the least: Redis does nothing else while it keeps them, some 3 us each.")  # fmt: skip
    request_timeout_s: float = Field(10, gt=0, description="A connection that has not sent its whole request by then is closed.")  # fmt: skip
    user_commands_per_s: float = Field(10, ge=0, description="Commands of one user, with a burst of twice as many; 0 is no limit.")  # fmt: skip
    service_commands_per_s: float = Field(0, ge=0, description="The same for one service or admin: trusted, so unlimited by default.")  # fmt: skip
    logins_per_account_per_minute: float = Field(10, ge=0, description="Wrong passwords for one account from one network address, that many at once at the most; 0 is no limit.")  # fmt: skip
    logins_per_account_everywhere_per_minute: float = Field(60, ge=0, description="The same from all addresses; past it only those go on from which the account logged in before.")  # fmt: skip
    logins_per_address_per_minute: float = Field(60, ge=0, description="Logins tried from one network address: an office in the morning.")  # fmt: skip
    idempotency_s: float = Field(600, gt=0, description="An idempotency key is remembered this long.")

    # Streams
    heartbeat_s: float = Field(15, gt=0, description="A comment goes out this often, below proxies' usual 30 to 60.")  # fmt: skip
    retry_ms: int = Field(3000, ge=0, description="Reconnection time told to clients, give or take half.")
    custom_interval_s: float = Field(1, gt=0, description="/custom/stream sends this often.")
    status_interval_s: float = Field(5, gt=0, description="/system/status/stream sends this often.")
    presence_heartbeat_s: float = Field(30, gt=0, description="A presence stream's heartbeat event goes out this often, and the user is active then.")  # fmt: skip
    presence_grace_s: float = Field(3, ge=0, description="A user without a stream stays online this long: a page that is loaded again shows no flicker.")  # fmt: skip
    presence_timeout_s: float = Field(45, ge=3, description="The users of a node that died without a word are offline within this.")  # fmt: skip
    io_uring: Literal["auto", "off"] = Field("auto", description="auto writes to many streams with one system call where Linux' io_uring is to be had; off never asks for it.")  # fmt: skip
    shutdown_s: float = Field(10, ge=0, description="After SIGTERM streams get this long to take what is theirs.")  # fmt: skip

    # Group chat with AI members
    personas_file: Path | None = Field(None, description="TOML file of the AI members of rooms; without one two sit in every room.")  # fmt: skip
    ai_base_url: Annotated[str, AfterValidator(_http)] = Field("", description="Chat-completions interface of OpenAI's form that personas speak by, https://host/v1; with none, and no key, they are scripted.")  # fmt: skip
    ai_api_key: SecretStr = Field(SecretStr(""), description="Its key.")
    ai_model: str = Field("", description="The model, for personas that name none.")
    ai_timeout_s: float = Field(25, gt=0, description="A model's whole answer may take this long.")
    ai_cache_s: float = Field(0, ge=0, description="Equal questions to one persona in one room are answered alike for this long; 0 is never, for an answer hangs on what was said before.")  # fmt: skip
    ai_history_messages: int = Field(20, ge=0, le=100, description="Earlier messages of the room that a persona is told.")  # fmt: skip
    ai_worker_concurrency: int = Field(4, ge=0, validation_alias="AI_WORKER_CONCURRENCY", description="Answers worked on at once by this process; 0 leaves all to `sse-push worker`. The one setting without prefix.")  # fmt: skip
    max_waiting_jobs: int = Field(1000, ge=1, description="Answers that wait for a worker; past it AI members can't be asked.")  # fmt: skip
    ai_jobs_per_user: int = Field(16, ge=8, description="Answers that one user may wait for, on all nodes together: two turns in a room full of AI members.")  # fmt: skip
    turns_per_user_per_minute: float = Field(30, ge=0, description="Messages of one user to AI members on this node, that many at once at the most; each asks a model for every member. 0 is no limit.")  # fmt: skip
    ai_lock_s: float = Field(10, ge=1, description="A worker that gives no sign of life for this long loses its job to another.")  # fmt: skip
    group_chat_timeout_s: float = Field(30, gt=0, description="A caller waits this long for all AI members.")

    # History
    history_max_events: int = Field(1_000_000, ge=1, description="Newest events that can be replayed; about 300 bytes of disk each.")  # fmt: skip
    history_max_bytes: int = Field(2**30, ge=2**20, description="Bytes that the history takes, its indexes with it; past it the oldest events go. On Redis no more than half of its maxmemory.")  # fmt: skip
    history_max_age_s: float = Field(86_400, gt=0, description="An event can be replayed this long.")
    history_user_share: float = Field(0.05, ge=0, le=1, description="Share of the history that one user may fill through this node within HISTORY_MAX_AGE_S, half of it at once; 0 is no limit.")  # fmt: skip
    history_service_share: float = Field(0, ge=0, le=1, description="The same for one service or admin: trusted, so unlimited by default.")  # fmt: skip
    history_sync: Literal["normal", "full"] = Field("normal", description="full also survives the death of the machine: a disk flush a commit.")  # fmt: skip

    # Logs
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto is console on a terminal.")  # fmt: skip
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")  # fmt: skip

    @field_validator("*", mode="before")
    @classmethod
    def _read_word(cls, value: object, info: ValidationInfo) -> object:
        """Text without white space around it; words in the case that is ours; nothing at all is the default."""
        if not isinstance(value, str) or info.field_name == "jwt_secret":
            return value
        text, field = value.strip(), cls.model_fields[str(info.field_name)]
        if not text:
            return field.get_default()
        if field.annotation is bool:
            return _BOOLEANS.get(text.lower(), text)
        words = {word.lower(): word for word in get_args(field.annotation) if isinstance(word, str)}
        return words.get(_OTHER_WORDS.get(text.lower(), text.lower()), text)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where it listens."""
        return split_hosts(self.host)

    @property
    def demo(self) -> bool:
        return self.auth_mode == "demo"

    @property
    def rooms_open_to_all(self) -> frozenset[str]:
        """Rooms for users whose token names none; ``*`` is all."""
        if self.open_rooms is not None:
            return frozenset(self.open_rooms)
        return frozenset(["*"] if self.demo else ["general"])

    @property
    def on_redis(self) -> bool:
        """Events are kept by a Redis, which nodes and workers share."""
        return not self.engine_url.startswith("embedded:")

    @property
    def asks_a_model(self) -> bool:
        """Personas speak by a model; otherwise by scripts."""
        return bool(self.ai_base_url or self.ai_api_key.get_secret_value())

    @property
    def algorithms(self) -> tuple[str, ...]:
        return self.jwt_algorithms or (("RS256", "ES256", "EdDSA") if self.jwks_url else ("HS256",))

    @property
    def jwt_secrets(self) -> tuple[str, ...]:
        """The shared secrets: the first signs, all verify."""
        return split_secrets(self.jwt_secret.get_secret_value())

    @property
    def socket_limit(self) -> int:
        return self.max_sockets or self.max_connections + 1000

    @property
    def redirect_patterns(self) -> tuple[OriginPattern, ...]:
        return tuple(map(parse_origin, self.redirect_origins))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        secret = self.jwt_secret.get_secret_value()
        if secret and self.jwks_url:
            raise ValueError("SSE_PUSH_JWT_SECRET and SSE_PUSH_JWKS_URL exclude each other")
        if not (secret or self.jwks_url or self.demo):
            raise ValueError(
                "set SSE_PUSH_JWT_SECRET or SSE_PUSH_JWKS_URL, or SSE_PUSH_AUTH_MODE=demo to try it out"
            )
        allowed = _ASYMMETRIC if self.jwks_url else {"HS256"}
        if wrong := set(self.jwt_algorithms) - allowed:
            raise ValueError(f"SSE_PUSH_JWT_ALGORITHMS: {', '.join(sorted(wrong))} can't be used here; only {', '.join(sorted(allowed))}")  # fmt: skip
        if self.demo and not self.allow_public_demo and not all(map(is_of_this_machine, self.hosts)):
            raise ValueError(
                f"SSE_PUSH_AUTH_MODE=demo accepts anybody, and SSE_PUSH_HOST={self.host} is not loopback; use jwt, or set "
                "SSE_PUSH_ALLOW_PUBLIC_DEMO=true if that is what you want"
            )
        if self.dead_peer_s <= self.heartbeat_s:
            raise ValueError(
                "SSE_PUSH_DEAD_PEER_S must be more than SSE_PUSH_HEARTBEAT_S, by which a dead peer is noticed"
            )
        if self.slow_reader_bytes < 2 * self.max_event_bytes:
            raise ValueError("SSE_PUSH_SLOW_READER_BYTES must be at least twice SSE_PUSH_MAX_EVENT_BYTES")
        if bad := [room for room in self.open_rooms or () if not is_name(room)]:
            raise ValueError(f"SSE_PUSH_OPEN_ROOMS: {bad[0]!r} is no room name")
        return self


def variable(name: str) -> str:
    """The environment variable of the setting *name*."""
    field = Settings.model_fields.get(name.lower())
    return str(field.validation_alias) if field and field.validation_alias else PREFIX + name.upper()


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with our prefix that nothing reads, each with the name that may have been meant, or ``""``."""
    known = {variable(name) for name in Settings.model_fields} | {PREFIX + name for name in _OF_COMMANDS}
    found = {}
    for name in environment:
        if not name.startswith(PREFIX) or name in known or _SERVICE_LINK.search(name):
            continue
        if name.upper() not in known:
            found[name] = next(iter(get_close_matches(name, known, n=1, cutoff=0.85)), "")
    return found


def load_settings(**overrides: Any) -> Settings:
    """The settings from the environment.

    Raises:
        BadSettings: Some can't be; its text names each, and never shows a secret's value.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            name = variable(str(fault["loc"][0])) + ": " if fault["loc"] else ""
            lines.append(name + fault["msg"].removeprefix("Value error, "))
        raise BadSettings("\n".join(lines)) from None
