"""One command's connection to the queue."""

from dataclasses import dataclass

import redis
from celery import Celery

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.celery.app import make_app
from agewell.shared.queue.ledger import Ledger, Lifetimes
from agewell.shared.redis.clock import RedisClock
from agewell.shared.redis.connection import connect, require_redis
from agewell.shared.settings import Settings
from agewell.shared.state_dir import locate


@dataclass(frozen=True)
class Session:
    """Everything a command talks to."""

    settings: Settings
    client: redis.Redis
    app: Celery
    blobs: Blobs
    ledger: Ledger
    clock: RedisClock

    def now(self) -> float:
        """The time by Redis's clock: Unix time in seconds."""
        return self.clock.now(self.client)


def make_session(settings: Settings) -> Session:
    """What talks to the Redis of settings that `locate` has completed; nothing is sent yet."""
    client = connect(settings)
    return Session(
        settings=settings,
        client=client,
        app=make_app(settings),
        blobs=Blobs(settings, client),
        ledger=Ledger(client, Lifetimes(*settings.lifetimes_s)),
        clock=RedisClock(),
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
