"""One command's connection to the queue, and the exit code of whatever goes wrong with it."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from producer import show
from shared.blobs import Blobs
from shared.celery_app import make_app
from shared.errors import AgewellError, BrokerUnreachableError, ParameterError, SettingsError
from shared.ledger import Ledger
from shared.redis_client import connect, require_redis
from shared.settings import Settings
from shared.stamp import RedisClock
from shared.state_dir import locate


class ExitCode(IntEnum):
    """What the command's exit status says."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 128 + signal.SIGINT


@dataclass(frozen=True)
class Session:
    """Everything a command talks to."""

    settings: Settings
    client: redis.Redis
    app: Celery
    blobs: Blobs
    ledger: Ledger
    clock: RedisClock


def make_session(settings: Settings) -> Session:
    """What talks to the Redis of settings that `locate` has completed; nothing is sent yet."""
    client = connect(settings)
    return Session(
        settings=settings,
        client=client,
        app=make_app(settings),
        blobs=Blobs(settings, client),
        ledger=Ledger(client, settings.result_ttl_s),
        clock=RedisClock(client),
    )


def open_session() -> Session:
    """Read the settings, find Redis, and see that it answers.

    Raises:
        SettingsError: a setting is bad.
        BrokerUnreachableError: Redis does not answer.
    """
    session = make_session(locate(Settings.load()))
    require_redis(session.settings, session.client)
    return session


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn errors into one line on stderr and an exit code; never a traceback."""
    try:
        yield
    except BrokerUnreachableError as error:
        leave(ExitCode.UNREACHABLE, str(error), hint="Is it running? `agewell up` starts one here.")
    except (redis.RedisError, OperationalError) as error:
        leave(ExitCode.UNREACHABLE, f"Redis: {error}", hint="Is it running and not full?")
    except (SettingsError, ParameterError) as error:
        leave(ExitCode.USAGE, str(error))
    except AgewellError as error:
        leave(ExitCode.SOME_FAILED, str(error))
    except KeyboardInterrupt:
        leave(ExitCode.INTERRUPTED, "interrupted; jobs already sent go on")


def leave(code: ExitCode, message: str, hint: str = "") -> None:
    """Say why on stderr, and exit."""
    show.error(message)
    if hint:
        show.note(hint)
    sys.exit(code)
