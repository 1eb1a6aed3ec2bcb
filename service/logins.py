"""How many wrong passwords one may try. Counting only; knows no passwords and no HTTP.

Failures count by account and network together: a stranger's do not keep the owner out, who comes from elsewhere. Those
for one account from everywhere are bounded too; past that bound only networks from which its password was right before
may go on.
"""

import time
from collections.abc import Callable

from sse_push.events.errors import OverLimit
from sse_push.service.limits import RateLimit

KNOWN_NETWORKS = 10_000  # pairs of account and network remembered; past it the oldest is forgotten


class LoginLimits:
    """Counts the logins of one node, each before its password is looked at: many at once are not one.

    Args:
        per_network: Failures a minute for one account from one network.
        per_account: Failures a minute for one account from all networks.
        per_address: Logins a minute from one network, for whatever accounts.
    """

    def __init__(
        self,
        per_network: float,
        per_account: float,
        per_address: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._of_network = _per_minute("login_account", per_network, clock)
        self._of_account = _per_minute("login_account", per_account, clock)
        self._of_address = _per_minute("login_address", per_address, clock)
        self._known: dict[tuple[str, str], None] = {}  # where a password was right, the last one last

    def take_address(self, network: str) -> None:
        """Count a login from *network*, before its body is read.

        Raises:
            OverLimit: ``login_address``; it was one too many.
        """
        self._of_address.take(network)

    def take(self, account: str, network: str) -> None:
        """Count a login as a failure, until :meth:`succeeded` or :meth:`give_back`.

        Raises:
            OverLimit: ``login_account``; it was one too many.
        """
        self._of_network.take(f"{network} {account}")
        if (account, network) in self._known:
            return
        try:
            self._of_account.take(account)
        except OverLimit:
            self._of_network.give(f"{network} {account}")
            raise

    def give_back(self, account: str, network: str) -> None:
        """It was no guess: its password was right, or could not be looked at."""
        self._of_network.give(f"{network} {account}")
        if (account, network) not in self._known:
            self._of_account.give(account)

    def succeeded(self, account: str, network: str) -> None:
        """Its password was right: remember where that was."""
        self.give_back(account, network)
        self._known.pop((account, network), None)
        self._known[account, network] = None
        if len(self._known) > KNOWN_NETWORKS:
            del self._known[next(iter(self._known))]


def _per_minute(name: str, limit: float, clock: Callable[[], float]) -> RateLimit:
    return RateLimit(limit / 60, clock, name=name, burst=limit)
