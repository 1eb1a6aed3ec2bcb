"""The signals that shut a command down."""

import signal


def ending_signals() -> frozenset[signal.Signals]:
    """SIGTERM, SIGINT, and SIGHUP (the terminal was closed) unless it is ignored, as under ``nohup``."""
    ends = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    return frozenset(sign for sign in ends if signal.getsignal(sign) != signal.SIG_IGN)
