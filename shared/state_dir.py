"""The state directory of `agewell up`: its paths, its lock, and how commands find the stack."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr

from agewell.shared.errors import BrokerUnreachableError, SettingsError
from agewell.shared.settings import Settings


@dataclass(frozen=True)
class Running:
    """The addresses of a running stack, as `agewell up` writes them to running.json."""

    pid: int
    redis_url: str
    blob_url: str
    flower_url: str
    metrics_url: str | None = None


class StateDir:
    """One state directory: the paths in it, its lock, and the record of the stack that uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.redis = path / "redis"
        self.blobs = path / "blobs"
        self.logs = path / "logs"
        self._lock = path / "lock"
        self._running = path / "running.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory. The kernel releases the lock, however this process ends.

        Raises:
            SettingsError: another process has locked it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = self._lock.open("a+")
        except OSError as error:
            raise SettingsError("AGEWELL_STATE_DIR", f"cannot be written: {error}") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.running()
                by = f" by the agewell up with process id {holder.pid}" if holder else ""
                raise SettingsError(
                    "AGEWELL_STATE_DIR", f"{self.path} is in use{by}; choose another directory"
                ) from None
            yield

    @contextmanager
    def announced(self, running: Running) -> Iterator[None]:
        """Let other commands find the stack while the block runs."""
        draft = self._running.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(running), indent=2))
        draft.replace(self._running)
        try:
            yield
        finally:
            self._running.unlink(missing_ok=True)

    def running(self) -> Running | None:
        """Return the stack that uses this directory, or None if no such process exists."""
        try:
            found = Running(**json.loads(self._running.read_text()))
            os.kill(found.pid, 0)
        except (OSError, ValueError, TypeError):
            return None
        return found


def locate(settings: Settings) -> Settings:
    """Return the settings with the Redis URL and the blob URL filled in.

    Raises:
        BrokerUnreachableError: AGEWELL_REDIS_URL is not set, and no `agewell up` runs with this
            state directory.
    """
    if settings.redis_url is not None:
        return settings.model_copy(update={"blob_url": settings.blob_url or "redis"})
    running = StateDir(settings.state_dir).running()
    if running is None:
        raise BrokerUnreachableError(
            f"{settings.state_dir}",
            "no `agewell up` runs there; start it, or set AGEWELL_REDIS_URL",
        )
    found = {
        "redis_url": SecretStr(running.redis_url),
        "blob_url": settings.blob_url or running.blob_url,
    }
    return settings.model_copy(update=found)
