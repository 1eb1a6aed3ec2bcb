"""The signals that end a command in order. Knows no command."""

import signal


def ending_signals() -> frozenset[signal.Signals]:
    """SIGTERM, SIGINT, and SIGHUP (the terminal was closed) unless it is ignored, as ``nohup`` has it."""
    ends = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    return frozenset(sign for sign in ends if signal.getsignal(sign) != signal.SIG_IGN)
