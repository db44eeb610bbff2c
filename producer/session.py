"""The connections that a command or a client holds while it runs."""

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
    """Connections to Redis, Celery and the blob store, made from one set of settings."""

    settings: Settings
    client: redis.Redis
    app: Celery
    blobs: Blobs
    ledger: Ledger
    clock: RedisClock

    def now(self) -> float:
        """Return the time of Redis's clock, as Unix time in seconds."""
        return self.clock.now(self.client)


def make_session(settings: Settings) -> Session:
    """Make the connections for settings that `locate` has completed. Nothing is sent yet."""
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
    """Read the settings from the environment, and connect to Redis.

    Raises:
        SettingsError: a setting is bad.
        BrokerUnreachableError: Redis does not answer.
    """
    session = make_session(locate(Settings.load()))
    require_redis(session.settings, session.client)
    return session
