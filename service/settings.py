"""The settings: environment variables with the prefix SSE_PUSH_, read once, validated, then frozen.

Names end in their unit; descriptions give the reason. ``sse-push serve --help`` prints them.
"""

import json
import os
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
MAX_SECRETS = 4  # secrets at once; a token with a bad signature is checked with each


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
            raise ValueError(f"{value!r} is not a host name; write it without scheme and port")
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
    """The secrets in *text*: comma-separated, or a JSON list of strings.

    A text with commas is one secret unless one of its parts is long enough to be a secret.
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
# Former names, still read: load_settings() takes them, serve warns (settings.renamed).
_RENAMED = {
    "ai_lock_s": "ai_job_lock_s",
    "dead_peer_s": "peer_timeout_s",
    "idempotency_s": "idempotency_ttl_s",
    "max_waiting_jobs": "max_queued_jobs",
    "shutdown_s": "shutdown_timeout_s",
}
_OTHER_WORDS = {"warn": "warning"}
_OF_COMMANDS = ("URL", "TOKEN")  # read by `publish` and `listen`, not by the service
# Variables that Kubernetes and Docker set for a service named sse-push.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP)")


class BadSettings(Exception):
    """Invalid settings; the message has a line for each."""


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

    # Addresses and storage
    host: Annotated[str, AfterValidator(_listening)] = Field("127.0.0.1", description="Addresses to listen on; :: takes IPv4 too, unix:/path is a Unix socket.")  # fmt: skip
    socket_mode: str = Field("660", pattern="^0?[0-7]{3}$", description="Mode of the Unix socket; users with write permission can connect.")  # fmt: skip
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    data_dir: Path = Field(
        Path("sse-push-data"),
        description="Folder for events and accounts. Created with access for its owner only.",
    )
    engine_url: Annotated[str, AfterValidator(_engine)] = Field(
        "embedded:",
        description="Where events are stored: embedded: (in DATA_DIR), or redis://host:port/db (rediss:, unix:).",
    )
    database_url: Annotated[SecretStr, AfterValidator(_database)] = Field(SecretStr(""), description="Database of accounts: sqlite:///path or postgresql://user:password@host/name; default accounts.db in DATA_DIR.")  # fmt: skip
    node_id: str = Field("", description="Name of this node in logs and status; random when empty.")

    # Authentication
    auth_mode: Literal["jwt", "demo"] = Field("jwt", description="demo accepts unsigned demo tokens.")
    allow_public_demo: bool = Field(False, description="Allows demo mode on addresses other than loopback.")
    demo_hosts: Annotated[Texts, AfterValidator(_hosts)] = Field((), description="Host names that demo mode accepts besides localhost, IP addresses and names without a dot. Any other name could be a page of another site (DNS rebinding).")  # fmt: skip
    jwt_secret: Annotated[SecretStr, AfterValidator(_secrets)] = Field(SecretStr(""), description="Shared secrets for HS256, comma-separated, each of 32 bytes or more: the first signs, all verify. A secret that itself has a comma between parts of 32 bytes is written as a JSON list.")  # fmt: skip
    jwks_url: Annotated[str, AfterValidator(_http)] = Field("", repr=False, description="JWKS document for RS256, ES256, EdDSA (http, https).")  # fmt: skip
    jwks_refresh_s: float = Field(300, ge=1, description="Interval between fetches of the JWKS document; a removed key stays valid for up to this long.")  # fmt: skip
    jwt_leeway_s: float = Field(10, ge=0, le=300, description="How far an issuer's clock may be ahead (`iat`, `nbf`).")  # fmt: skip
    jwt_algorithms: Annotated[Texts, AfterValidator(_algorithms)] = Field((), description="Accepted algorithms; default HS256, or RS256,ES256,EdDSA with JWKS_URL.")  # fmt: skip
    jwt_issuer: str = Field("", description="Required `iss`, checked if set.")
    jwt_audience: str = Field("", description="Required `aud`, checked if set.")
    token_ttl_s: int = Field(28_800, ge=1, description="Lifetime of a token from a login: a working day.")  # fmt: skip
    open_rooms: Texts | None = Field(None, description="Rooms for users whose token names none; * means all. Default general, in demo mode *.")  # fmt: skip
    cors_origins: Callers = Field((), description="Origins whose pages may call, with credentials: https://host, https://*.example.com; for apps capacitor://localhost, chrome-extension://ID, moz-extension://*; null (without credentials).")  # fmt: skip
    trusted_proxies: Networks = Field(
        (),
        description="Networks of the proxies whose X-Forwarded-For or Forwarded is trusted; unix: for those on a Unix socket.",
    )

    # Channel functions
    redirect_origins: Origins = Field((), description="Origins that a client may be redirected to; https://*.example.com for subdomains.")  # fmt: skip
    function_signing_key: Annotated[SecretStr, AfterValidator(_hex)] = Field(SecretStr(""), description="Hex key of X-Signature on PUT /functions.")  # fmt: skip

    # Limits of connections
    max_connections: int = Field(1000, ge=1, description="Open streams on this node.")
    max_connections_per_user: int = Field(20, ge=1, description="Open streams of one user on this node: the tabs of a browser, and some devices.")  # fmt: skip
    max_connections_per_address: int = Field(200, ge=1, description="Open streams from one address on this node: an office behind one NAT. IPv6 is counted by IPV6_PREFIX.")  # fmt: skip
    ipv6_prefix: int = Field(IPV6_PREFIX, ge=32, le=128, description="Prefix length that counts as one IPv6 address in all limits: 64 is a network, 56 is what many homes get.")  # fmt: skip
    anonymous_share: float = Field(0.5, gt=0, le=1, description="Share of MAX_CONNECTIONS, and of MAX_CONNECTIONS_PER_ADDRESS, for streams without a token; the rest is reserved for users.")  # fmt: skip
    opens_per_user_per_minute: float = Field(300, ge=0, description="Streams that one user may open on this node, also the largest burst: 20 tabs that reload, or reconnect after several restarts. 0 means no limit.")  # fmt: skip
    opens_per_address_per_minute: float = Field(1200, ge=0, description="The same for one address without tokens: all its streams, reconnecting after several restarts.")  # fmt: skip
    max_sockets: int = Field(0, ge=0, description="Open sockets on this node, streams and requests; 0 means MAX_CONNECTIONS + 1000.")  # fmt: skip
    max_topics: int = Field(32, ge=1, description="Topics of one /v1/stream.")
    slow_reader_bytes: int = Field(2**20, ge=16 * 1024, description="Unsent bytes of one stream; past it the stream is closed, and the client resumes.")  # fmt: skip
    send_buffer_bytes: int = Field(128 * 1024, ge=64 * 1024, description="Kernel send buffer of a socket; a stalled reader fills it first.")  # fmt: skip
    peer_timeout_s: float = Field(60, ge=5, description="A peer that vanished without closing its connection is detected within this.")  # fmt: skip

    # Limits of requests
    max_body_bytes: int = Field(2 * 2**20, ge=1024, description="Body of a request with a list of events; an NDJSON stream is not limited.")  # fmt: skip
    max_event_bytes: int = Field(64 * 1024, ge=64, description="Encoded data of one event.")
    max_batch_events: int = Field(1000, ge=1, description="Events in one list.")
    max_routing_keys: int = Field(10_000, ge=4000, description="Routing keys of one list; each user of each event needs one or more. Redis is blocked while it stores them, about 3 us each.")  # fmt: skip
    request_timeout_s: float = Field(10, gt=0, description="A connection that has not sent its complete request by then is closed.")  # fmt: skip
    user_commands_per_s: float = Field(10, ge=0, description="Commands of one user, with a burst of twice as many; 0 means no limit.")  # fmt: skip
    service_commands_per_s: float = Field(0, ge=0, description="The same for one service or admin: trusted, so unlimited by default.")  # fmt: skip
    logins_per_account_per_minute: float = Field(10, ge=0, description="Wrong passwords for one account from one network address, also the largest burst; 0 means no limit.")  # fmt: skip
    logins_per_account_everywhere_per_minute: float = Field(60, ge=0, description="The same from all addresses; past it only addresses that this account logged in from before can try.")  # fmt: skip
    logins_per_address_per_minute: float = Field(60, ge=0, description="Login attempts from one network address: an office in the morning.")  # fmt: skip
    idempotency_ttl_s: float = Field(600, gt=0, description="How long an idempotency key is remembered.")

    # Streams
    heartbeat_s: float = Field(15, gt=0, description="Interval between heartbeat comments; proxies usually cut after 30 to 60 s of silence.")  # fmt: skip
    retry_ms: int = Field(
        3000, ge=0, description="Reconnection time sent to clients, with a jitter of plus or minus half."
    )
    custom_interval_s: float = Field(1, gt=0, description="Interval between events of /custom/stream.")
    status_interval_s: float = Field(5, gt=0, description="Interval between events of /system/status/stream.")
    presence_heartbeat_s: float = Field(30, gt=0, description="Interval between heartbeat events of a presence stream; each marks the user as active.")  # fmt: skip
    presence_grace_s: float = Field(3, ge=0, description="How long a user without a stream stays online, so that a page reload does not flicker.")  # fmt: skip
    presence_timeout_s: float = Field(45, ge=3, description="The users of a node that crashed are offline within this.")  # fmt: skip
    io_uring: Literal["auto", "off"] = Field("auto", description="auto uses Linux' io_uring, if it is available, to write to many streams with one system call; off never does.")  # fmt: skip
    shutdown_timeout_s: float = Field(10, ge=0, description="How long readers may take after SIGTERM to receive what is queued for them.")  # fmt: skip

    # Group chat with AI members
    personas_file: Path | None = Field(None, description="TOML file of the AI members of rooms; without it, two default members are in every room.")  # fmt: skip
    ai_base_url: Annotated[str, AfterValidator(_http)] = Field("", description="Base URL of an OpenAI-compatible chat-completions API, https://host/v1. Without it and without a key, personas answer by script.")  # fmt: skip
    ai_api_key: SecretStr = Field(SecretStr(""), description="API key of that interface.")
    ai_model: str = Field("", description="The model for personas that name none.")
    ai_timeout_s: float = Field(25, gt=0, description="Timeout of a model's complete answer.")
    ai_cache_s: float = Field(0, ge=0, description="How long an answer is cached for the same question to one persona in one room. 0, the default, means never: answers depend on the conversation.")  # fmt: skip
    ai_history_messages: int = Field(20, ge=0, le=100, description="Earlier messages of the room that a persona gets as context.")  # fmt: skip
    ai_worker_concurrency: int = Field(4, ge=0, validation_alias="AI_WORKER_CONCURRENCY", description="Concurrent answers in this process; 0 leaves all to `sse-push worker`. The only setting without the prefix.")  # fmt: skip
    max_queued_jobs: int = Field(1000, ge=1, description="Queued answers; past it AI members can't be asked.")  # fmt: skip
    ai_jobs_per_user: int = Field(16, ge=8, description="Pending answers of one user on all nodes: two turns in a full room.")  # fmt: skip
    turns_per_user_per_minute: float = Field(30, ge=0, description="Messages of one user to AI members on this node, also the largest burst; each asks a model once per member. 0 means no limit.")  # fmt: skip
    ai_job_lock_s: float = Field(10, ge=1, description="Lock of a job: a worker that does not renew it for this long loses the job to another.")  # fmt: skip
    group_chat_timeout_s: float = Field(30, gt=0, description="How long a caller waits for all AI members.")

    # History
    history_max_events: int = Field(1_000_000, ge=1, description="Number of events that can be replayed; about 300 bytes of disk each.")  # fmt: skip
    history_max_bytes: int = Field(2**30, ge=2**20, description="Size of the history with its indexes; past it the oldest events are removed. On Redis at most half of its maxmemory.")  # fmt: skip
    history_max_age_s: float = Field(86_400, gt=0, description="How long an event can be replayed.")
    history_user_share: float = Field(0.05, ge=0, le=1, description="Share of the history that one user may fill through this node within HISTORY_MAX_AGE_S, half of it in one burst; 0 means no limit.")  # fmt: skip
    history_service_share: float = Field(0, ge=0, le=1, description="The same for one service or admin: trusted, so unlimited by default.")  # fmt: skip
    history_sync: Literal["normal", "full"] = Field("normal", description="full also survives a crash of the machine: it flushes the disk at every commit.")  # fmt: skip

    # Logs
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto is console on a terminal.")  # fmt: skip
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")  # fmt: skip

    @field_validator("*", mode="before")
    @classmethod
    def _read_word(cls, value: object, info: ValidationInfo) -> object:
        """Strip white space, accept words in any case, and take the default for an empty text."""
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
        """The addresses to listen on."""
        return split_hosts(self.host)

    @property
    def demo(self) -> bool:
        return self.auth_mode == "demo"

    @property
    def rooms_open_to_all(self) -> frozenset[str]:
        """Rooms for users whose token names none; ``*`` means all."""
        if self.open_rooms is not None:
            return frozenset(self.open_rooms)
        return frozenset(["*"] if self.demo else ["general"])

    @property
    def on_redis(self) -> bool:
        """Events are stored on a Redis server that nodes and workers share."""
        return not self.engine_url.startswith("embedded:")

    @property
    def asks_a_model(self) -> bool:
        """Personas answer by a model; otherwise by script."""
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
                "SSE_PUSH_ALLOW_PUBLIC_DEMO=true to allow it"
            )
        if self.peer_timeout_s <= self.heartbeat_s:
            raise ValueError(
                "SSE_PUSH_PEER_TIMEOUT_S must be more than SSE_PUSH_HEARTBEAT_S: heartbeats detect a vanished peer"
            )
        if self.slow_reader_bytes < 2 * self.max_event_bytes:
            raise ValueError("SSE_PUSH_SLOW_READER_BYTES must be at least twice SSE_PUSH_MAX_EVENT_BYTES")
        if bad := [room for room in self.open_rooms or () if not is_name(room)]:
            raise ValueError(f"SSE_PUSH_OPEN_ROOMS: {bad[0]!r} is not a room name")
        return self


def variable(name: str) -> str:
    """The environment variable of the setting *name*."""
    field = Settings.model_fields.get(name.lower())
    return str(field.validation_alias) if field and field.validation_alias else PREFIX + name.upper()


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with our prefix that nothing reads, each with the most similar known name, or ``""``."""
    known = {variable(name) for name in (*Settings.model_fields, *_RENAMED)} | {
        PREFIX + name for name in _OF_COMMANDS
    }
    found = {}
    for name in environment:
        if not name.startswith(PREFIX) or name in known or _SERVICE_LINK.search(name):
            continue
        if name.upper() not in known:
            found[name] = next(iter(get_close_matches(name, known, n=1, cutoff=0.85)), "")
    return found


def renamed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of *environment* with a former name, each with its new name."""
    former = {variable(old): variable(new) for old, new in _RENAMED.items()}
    return {name: former[name.upper()] for name in environment if name.upper() in former}


def load_settings(**overrides: Any) -> Settings:
    """The settings from the environment. A setting's former name counts where its new name is not set.

    Raises:
        BadSettings: Some are invalid; the text names each, and never shows a secret.
    """
    upper = {name.upper(): value for name, value in os.environ.items()}
    for old, new in _RENAMED.items():
        if upper.get(variable(old), "").strip() and not upper.get(variable(new), "").strip():
            overrides.setdefault(new, upper[variable(old)])
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            name = variable(str(fault["loc"][0])) + ": " if fault["loc"] else ""
            lines.append(name + fault["msg"].removeprefix("Value error, "))
        raise BadSettings("\n".join(lines)) from None
