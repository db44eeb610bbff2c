"""Settings of the C library's malloc, for processes that load and unload models for weeks.

glibc allocates blocks of up to 32 MB from heaps that shrink only at their end. Weights of that size
leave holes when they are unloaded, and resident memory grows: we measured 4 MB for each switch of a
model of 20 MB. Blocks that are mapped separately are returned to the system when they are freed.
Mapping the activations of each pass would cost a page fault for every 4 KB, so blocks are mapped
separately only while a model is loaded.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_SMALL, _LARGE = 2**20, 32 * 2**20
_TRIM_BEYOND = 64 * 2**20


def trim() -> None:
    """Return free memory to the system. It does nothing if the C library is not glibc."""
    _call("malloc_trim", 0)


@contextmanager
def large_blocks_mapped() -> Iterator[None]:
    """Within this block, allocations above 1 MiB are mapped separately."""
    _call("mallopt", _M_MMAP_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        _call("mallopt", _M_MMAP_THRESHOLD, _LARGE)
        # Any call of mallopt stops glibc's adjustment of this value, which would now be 128 KiB.
        _call("mallopt", _M_TRIM_THRESHOLD, _TRIM_BEYOND)


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
