"""Handle signals in another way for a while."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def handling_signals(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    """Use another handler for some signals until the block ends."""
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]  # nohup
    before = {n: signal.signal(n, handler) for n in numbers if n not in ignored}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
