"""One node: everything the handlers need, put together in one place, started and closed in order."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING

import structlog

from sse_push.events.emitter import SSE_PUSH, Emitter
from sse_push.events.engines import open_engine
from sse_push.events.engines.base import Engine
from sse_push.events.pipeline import Pipeline
from sse_push.events.router import Router
from sse_push.events.validation import Validator
from sse_push.service.account_checks import AccountChecks
from sse_push.service.batch_writer import BatchWriter
from sse_push.service.byte_budget import ByteBudget
from sse_push.service.clients import Clients
from sse_push.service.connections import Connections
from sse_push.service.database import Database
from sse_push.service.delivery import Delivery
from sse_push.service.descriptors import DescriptorWatch
from sse_push.service.functions import Functions
from sse_push.service.group_chat.build import build_group_chat
from sse_push.service.jwks import KeySet
from sse_push.service.limits import ConnectionLimits, RateLimit
from sse_push.service.logins import LoginLimits
from sse_push.service.metrics import Metrics, new_registry
from sse_push.service.passwords import Passwords
from sse_push.service.presence.registry import open_presence_registry
from sse_push.service.presence.tracker import PresenceTracker
from sse_push.service.redirects import check_redirect
from sse_push.service.samplers import Samplers
from sse_push.service.secret import kept_secret
from sse_push.service.settings import Settings
from sse_push.service.status import ClientDirectory
from sse_push.service.streams import TOPICS
from sse_push.service.streams.client import TOPIC as CLIENT
from sse_push.service.tokens import Tokens
from sse_push.service.version import installed_version

if TYPE_CHECKING:
    from sse_push.service.accounts import Accounts
    from sse_push.service.friends import Friends
    from sse_push.service.presence.friend_lists import FriendLists

DRAIN_LOOKS_S = 0.01  # seconds between looks whether all that was read is answered
TURNS_END_S = 1.0  # seconds before the end of a drain at which turns of group chat end unanswered
# Who publishes what other services put straight into the engine's store. No caller is called so, for names hold no
# control characters: the keys of the inbox are its own.
INBOX = "\x1einbox"

_log = structlog.get_logger()


class Node:
    """The composition root.

    Args:
        engine: Where events are kept; by default the one that the settings name.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.started = clock()
        self.id = settings.node_id or secrets.token_hex(4)
        self.version = installed_version()
        self.logs_debug = settings.log_level == "debug"
        self.metrics = Metrics()
        self.descriptors = DescriptorWatch()
        self.registry = new_registry(self)
        self.emitter = Emitter()
        self.batch_writer = BatchWriter()
        self.router = Router(self.batch_writer.write_batch)
        self.engine = engine or open_engine(
            settings.engine_url,
            data_dir=settings.data_dir,
            max_events=settings.history_max_events,
            max_bytes=settings.history_max_bytes,
            max_age=settings.history_max_age_s,
            key_age=settings.idempotency_ttl_s,
            sync=settings.history_sync,
            clock=clock,
        )
        self.database = Database(settings.database_url.get_secret_value(), settings.data_dir)
        self.delivery = Delivery(
            self.router,
            self.emitter,
            self.metrics,
            on_discontinued=lambda *gap: self.connections.signal_discontinuity(*gap),  # noqa: PLW0108 - made below
            on_ephemeral_missed=lambda: self.presence.refresh(),  # noqa: PLW0108 - made below
            clock=clock,
        )
        validator = Validator(
            TOPICS,
            max_bytes=settings.max_event_bytes,
            max_keys=settings.max_routing_keys,
            checks={CLIENT.name: _redirect_check(settings)},
            clock=clock,
        )
        self.pipeline = Pipeline(validator, self.engine, self.delivery)
        self.emitter.on(SSE_PUSH, self.pipeline.on_push)
        self.clients = Clients(self.pipeline, self.router, self.engine)
        self.functions = Functions(self.clients, settings, clock)
        self.connections = Connections(
            self.engine,
            ConnectionLimits(
                settings.max_connections,
                settings.max_connections_per_user,
                settings.max_connections_per_address,
                ipv6_prefix=settings.ipv6_prefix,
                anonymous_share=settings.anonymous_share,
            ),
            retry_ms=settings.retry_ms,
            heartbeat=settings.heartbeat_s,
            slow_reader_bytes=settings.slow_reader_bytes,
            batch_write=self.batch_writer.write_batch,
            clock=clock,
        )
        self.user_bytes = self._byte_budget(settings.history_user_share)
        self.service_bytes = self._byte_budget(settings.history_service_share)
        self.group_chat = build_group_chat(
            settings, self.pipeline, self.engine, self.router, self.database, self.user_bytes.charge, clock
        )
        self.presence = PresenceTracker(
            open_presence_registry(settings.engine_url, self.id, timeout=settings.presence_timeout_s),
            lambda: self.friend_lists,
            self.engine,
            self.emitter,
            self.delivery.stored,
            grace=settings.presence_grace_s,
            heartbeat=settings.presence_heartbeat_s,
            clock=clock,
        )
        self.gate = self.connections.gate
        self.user_rate = RateLimit(settings.user_commands_per_s)
        self.service_rate = RateLimit(settings.service_commands_per_s)
        self.opens_of_user = _per_minute("opens", settings.opens_per_user_per_minute)
        self.opens_of_address = _per_minute("opens", settings.opens_per_address_per_minute)
        self.turns_of_user = _per_minute("turns", settings.turns_per_user_per_minute)
        self.login_limits = LoginLimits(
            settings.logins_per_account_per_minute,
            settings.logins_per_account_everywhere_per_minute,
            settings.logins_per_address_per_minute,
        )
        self.passwords = Passwords()
        self.keys = _key_set(settings)
        self.account_checks = AccountChecks(self.database, lambda: self.accounts, self.connections, clock)
        self.tokens = Tokens(settings, self.keys, clock, self.account_checks.check)
        self.account_checks.on_changed(self.tokens.forget_account)
        if self.keys is not None:
            self.keys.on_removed(self._revoke_keys)
        self._revoking: set[asyncio.Task[None]] = set()
        self.samplers = Samplers(self)
        self.client_directory = ClientDirectory(self)
        self.reading: set[asyncio.Task[bool]] = set()  # requests without an end, which a drain must end
        self.answering: set[object] = set()  # requests that a drain lets be answered
        self._opened = AsyncExitStack()

    def _byte_budget(self, share: float) -> ByteBudget:
        return ByteBudget(share, lambda: self.engine.max_bytes, self.settings.history_max_age_s)

    # What needs the database is made, and SQLAlchemy imported, when it is first asked for.

    @cached_property
    def accounts(self) -> "Accounts":
        from sse_push.service.accounts import Accounts

        return Accounts(self.database, self.passwords, self.clock)

    @cached_property
    def friends(self) -> "Friends":
        from sse_push.service.friends import Friends

        return Friends(self.database)

    @cached_property
    def friend_lists(self) -> "FriendLists":
        from sse_push.service.presence.friend_lists import FriendLists

        return FriendLists(self.database)

    async def start(self) -> None:
        """Open the store and begin. What fails, or is cancelled, leaves nothing open.

        Raises:
            EngineUnavailable, StoreInUse: The store, or the queue of group chat, can't be opened.
            BadSettings: Something that they want is not installed.
            OSError: The data directory can't be written.
        """
        async with AsyncExitStack() as opened:
            await self._open(opened)
            self._opened = opened.pop_all()
        _log.info(
            "node.started",
            node=self.id,
            version=self.version,
            epoch=self.engine.epoch,
            head=self.engine.head,
            io_uring=self.batch_writer.io_uring is not None,
        )

    async def _open(self, opened: AsyncExitStack) -> None:
        """Open everything in order; *opened* closes it in the opposite order.

        What closes a part stands before what opens it, so that one that is opened half is closed too. An engine whose
        start fails has closed itself.
        """
        opened.push_async_callback(self.emitter.close)
        opened.callback(self.batch_writer.close)
        if self.settings.io_uring == "auto":
            self.batch_writer.open()
        opened.callback(self.passwords.close)
        opened.push_async_callback(self.database.close)
        opened.callback(self.pipeline.close)
        await self.engine.start(self.delivery)
        opened.push_async_callback(self.engine.close)
        opened.callback(self.pipeline.close)  # before the engine: what comes then is refused, not lost
        self.pipeline.open(asyncio.get_running_loop())
        await self.database.start()
        opened.push_async_callback(self.presence.close)
        opened.push_async_callback(self.group_chat.close)
        await self.group_chat.start()
        opened.push_async_callback(self.connections.close)
        if self.keys is not None:
            opened.push_async_callback(self._finish_revoking)
            opened.push_async_callback(self.keys.close)
            self.keys.start()
        if self.settings.demo and not (self.tokens.can_issue or self.keys):
            self.tokens.use_secrets(await asyncio.to_thread(kept_secret, self.settings.data_dir))
        opened.push_async_callback(self.account_checks.close)
        self.account_checks.start()
        self.engine.consume_inbox(lambda events: self.pipeline.submit(events, INBOX))
        self.connections.start()
        self.presence.start()
        opened.push_async_callback(self.samplers.close)
        self.samplers.start()

    async def drain(self) -> None:
        """Take no new streams, close those that are open, let what was read be answered. Twice is once."""
        if not self.connections.accepting:
            return
        _log.info("node.draining", streams=len(self.connections))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.shutdown_timeout_s
        await self.samplers.close()
        self.presence.drain()
        for task in self.reading:
            task.cancel()
        turns = max(0.0, self.settings.shutdown_timeout_s - TURNS_END_S)
        await asyncio.gather(
            self.connections.drain(self.settings.shutdown_timeout_s), self.group_chat.drain(turns)
        )
        # Polled: a notification would cost every request what polling costs one shutdown.
        while self.answering and loop.time() < deadline:  # noqa: ASYNC110 - see above
            await asyncio.sleep(DRAIN_LOOKS_S)

    async def close(self) -> None:
        """Keep what was accepted, close the store. Another call does nothing."""
        await self._opened.aclose()
        _log.info("node.stopped", node=self.id, uptime_s=round(self.clock() - self.started, 3))

    async def _finish_revoking(self) -> None:
        await asyncio.gather(*self._revoking)

    def _revoke_keys(self, key_ids: Collection[str]) -> None:
        revoked = self.connections.revoke("key_removed", lambda connection: connection.key_id in key_ids)
        task = asyncio.get_running_loop().create_task(revoked, name="revoke")
        self._revoking.add(task)
        task.add_done_callback(self._revoking.discard)


def _per_minute(name: str, per_minute: float) -> RateLimit:
    return RateLimit(per_minute / 60, name=name, burst=per_minute)


def _redirect_check(settings: Settings) -> Callable[[bytes, bool], None]:
    allowed = settings.redirect_patterns
    return lambda data, from_outside: check_redirect(data, allowed if from_outside else None)


def _key_set(settings: Settings) -> KeySet | None:
    url = settings.jwks_url
    return KeySet(url, settings.algorithms, refresh=settings.jwks_refresh_s) if url else None
