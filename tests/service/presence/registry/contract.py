"""What every registry promises to one node. The tests of a registry subclass this, with a fixture ``registry``."""

import pytest

from sse_push.service.presence.registry.base import PresenceDiff, PresenceRegistry

NOW = 1768732200.0
HERE = frozenset(["1", "2", "3"])


class RegistryContract:
    async def test_update_returns_each_join_and_leave_once(self, registry: PresenceRegistry) -> None:
        assert await registry.update(["1", "2"], [], NOW) == PresenceDiff(frozenset(["1", "2"]), frozenset())
        assert await registry.update(["2", "3"], [], NOW) == PresenceDiff(frozenset(["3"]), frozenset())
        assert await registry.update([], ["1", "2"], NOW) == PresenceDiff(frozenset(), frozenset(["1", "2"]))
        assert await registry.update(["1"], ["2", "3", "4"], NOW) == PresenceDiff(
            frozenset(["1"]), frozenset(["3"])
        )

    async def test_online_returns_last_activity(self, registry: PresenceRegistry) -> None:
        await registry.update(["1", "2"], [], NOW)
        await registry.update(["2", "3"], [], NOW + 1.5)
        assert await registry.online(["0", "1", "2", "3"]) == {"1": NOW, "2": NOW + 1.5, "3": NOW + 1.5}
        await registry.update([], ["2"], NOW)
        assert await registry.online(["2", "3"]) == {"3": NOW + 1.5}
        assert await registry.online([]) == {}

    async def test_touch_changes_registered_users_alone(self, registry: PresenceRegistry) -> None:
        await registry.update(["1", "2"], [], NOW)
        await registry.touch(["1", "77"], NOW + 0.123)
        assert await registry.online(["1", "2", "77"]) == {"1": NOW + 0.123, "2": NOW}

    @pytest.mark.parametrize("name", ["1", "a b", "安", "x" * 128, "*", "{1}"])
    async def test_user_id_may_be_any_text(self, registry: PresenceRegistry, name: str) -> None:
        await registry.update([name], [], NOW)
        assert await registry.online([name]) == {name: NOW}

    async def test_many_users_are_updated_at_once(self, registry: PresenceRegistry) -> None:
        users = [str(number) for number in range(9000)]
        assert (await registry.update(users, [], NOW)).joined == frozenset(users)
        await registry.touch(users, NOW + 1)
        assert await registry.online(users) == dict.fromkeys(users, NOW + 1)
        assert (await registry.update([], users, NOW)).left == frozenset(users)
        assert await registry.online(users) == {}
