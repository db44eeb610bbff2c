"""The C heap of a process that loads and drops weights for weeks.

glibc serves blocks of up to 32 MB from heaps that shrink at their end alone: weights of that size,
dropped and loaded again among everything else, leave holes, and resident memory grows (measured: by
4 MB a switch of a model of 20 MB). Blocks mapped each on its own go back when they are freed. But
to map activations anew at each pass would cost a page fault for every 4 KB: so only while loading.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_SMALL, _LARGE = 2**20, 32 * 2**20
_TRIM_BEYOND = 64 * 2**20


def trim() -> None:
    """Give free memory back to the system, where the C library is one that can: glibc."""
    _call("malloc_trim", 0)


@contextmanager
def large_blocks_apart() -> Iterator[None]:
    """While this lasts, blocks above 1 MiB are mapped each on its own."""
    _call("mallopt", _M_MMAP_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        _call("mallopt", _M_MMAP_THRESHOLD, _LARGE)
        # Any mallopt ends glibc's own adjustment of this one, which would now be 128 KiB.
        _call("mallopt", _M_TRIM_THRESHOLD, _TRIM_BEYOND)


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
