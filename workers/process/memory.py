"""Limits the memory of a process, and detects that the limit was too low for a job.

It sets two limits of the kernel (setrlimit(2)). RLIMIT_DATA counts writable memory, which decoders
and operations allocate. RLIMIT_AS counts every mapping, including libraries and the address space
that malloc reserves for each thread, so it is higher and only a second line of defence.
"""

import contextlib
import os
import re
import resource
import sys
from pathlib import Path

from agewell.shared.cgroups import ROOT, groups_of_process, read
from agewell.shared.errors import JobMemoryError
from agewell.shared.settings import Settings

JOB_BYTES_A_PIXEL = 24
"""An alpha blend of three images takes 15 bytes per pixel (measured). Its result as a noisy PNG
takes 4 bytes twice."""

THUMBNAIL_BYTES_A_PIXEL = 16
BLEND_BYTES_A_PIXEL = 300
"""Poisson blending takes 260 bytes for each pixel of the box around its mask (measured, numba)."""

COPIES_OF_A_FILE = 3
THREAD_BYTES = 64 * 2**20
LIBRARY_BYTES = 512 * 2**20
"""OpenCV and numba take 200 MB before the first pixel."""

MAPPED_LATER_BYTES = 2**30
"""Room for libraries that the first job to need them loads, such as LLVM."""

ARENA_BYTES = 64 * 2**20
ARENAS_A_CORE = 8
"""glibc's malloc reserves at most this many arenas per core, on 64 bits: mallopt(3)."""

UNLIMITED_BYTES = 2**60
"""A limit of version 1 is never absent: without one it is the largest multiple of a page."""

STS_NO_MEM = -4
"""OpenCV's `cv::Error::StsNoMem`."""


def limit_this_process(limit_bytes: int) -> None:
    """Limit the memory that this process and its children may allocate, in bytes.

    0 sets no limit.
    """
    if not limit_bytes:
        return
    _lower(resource.RLIMIT_DATA, limit_bytes)
    reserved = ARENA_BYTES * ARENAS_A_CORE * (os.cpu_count() or 1)
    _lower(resource.RLIMIT_AS, limit_bytes + _mapped_bytes() + MAPPED_LATER_BYTES + reserved)


def job_limit(settings: Settings) -> int:
    """Return how many bytes one process of a cv worker may allocate. 0 means no limit."""
    if settings.job_memory_bytes is not None:
        return settings.job_memory_bytes
    return _largest_job_bytes(settings) + THREAD_BYTES * settings.threads_per_job


def _largest_job_bytes(settings: Settings) -> int:
    blend = BLEND_BYTES_A_PIXEL * settings.poisson_max_pixels
    return _image_bytes(settings, JOB_BYTES_A_PIXEL) + blend + LIBRARY_BYTES


def too_small(settings: Settings, root: Path = ROOT) -> str | None:
    """Return a warning if the largest jobs at the same time need more than the container may have.

    The kernel would kill a process of the worker then, with no error that says why.

    Args:
        settings: the limits of jobs, and how many run at the same time.
        root: the directory with `proc` and the file system of the cgroups.
    """
    limits = (_limit_of_group(folder) for folder in groups_of_process("memory", root))
    limit = min((each for each in limits if each is not None), default=None)
    job_bytes = min(settings.job_memory_bytes or sys.maxsize, _largest_job_bytes(settings))
    needed = settings.concurrency * job_bytes + LIBRARY_BYTES
    if limit is None or needed <= limit:
        return None
    return (
        f"the memory limit of this container is {limit / 1e9:.1f} GB, but {settings.concurrency} "
        f"jobs at the same time may need {needed / 1e9:.1f} GB, and the kernel would kill a "
        "process. Raise the limit, or lower AGEWELL_CONCURRENCY, AGEWELL_POISSON_MAX_PIXELS or "
        "AGEWELL_JOB_MEMORY_BYTES"
    )


def _limit_of_group(folder: Path) -> int | None:
    """Read one group's limit in bytes, or None if it has none."""
    text = read(folder / "memory.max") or read(folder / "memory.limit_in_bytes")
    limit = int(text) if text.isdigit() else UNLIMITED_BYTES
    return limit if limit < UNLIMITED_BYTES else None


def thumbnail_limit(settings: Settings) -> int:
    """Return how many bytes the process that makes thumbnails may allocate."""
    return _image_bytes(settings, THUMBNAIL_BYTES_A_PIXEL) + LIBRARY_BYTES


def _image_bytes(settings: Settings, bytes_a_pixel: int) -> int:
    return bytes_a_pixel * settings.max_pixels + COPIES_OF_A_FILE * settings.max_file_bytes


def is_exhausted(error: BaseException) -> bool:
    """True if an error of Python, numpy or OpenCV says that memory could not be allocated."""
    return isinstance(error, MemoryError) or getattr(error, "code", None) == STS_NO_MEM


def lacks(size_bytes: int) -> bool:
    """True if this many bytes cannot be allocated.

    OpenCV's decoders report that as a damaged file.
    """
    try:
        bytearray(size_bytes)
    except MemoryError:
        return True
    return False


def error_for(name: str, settings: Settings) -> JobMemoryError:
    """Return the error for an item that needed too much memory."""
    return JobMemoryError(name, job_limit(settings))


def _lower(which: int, limit_bytes: int) -> None:
    # Not every system has both limits, and an administrator may have set a lower one.
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            limit_bytes = min(limit_bytes, hard)
        resource.setrlimit(which, (limit_bytes, limit_bytes))


def _mapped_bytes() -> int:
    """Return the mapped memory of this process in bytes, or 0 if the system does not tell."""
    try:
        found = re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return 1024 * int(found[1]) if found else 0
