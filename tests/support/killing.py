"""A process that is killed halfway, for tests in one process."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class _Killed(BaseException):
    """No `except Exception` catches it."""


def _die(*_, **__):
    raise _Killed


@contextmanager
def killed_at(owner: object, method: str) -> Iterator[None]:
    """Run the block, and expect that it ends at the first call of this method."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, method, _die)
        with pytest.raises(_Killed):
            yield
