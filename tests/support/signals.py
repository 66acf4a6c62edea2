"""The signals of programs that tests start."""

import signal


def start_programs_with_default_signals() -> None:
    """A script ignores SIGINT for its programs in the background (`make test &`), and they would
    pass that on to every program that a test starts and interrupts. This process continues to
    ignore it, but through a function, which no program inherits."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)
