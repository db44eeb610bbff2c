"""Which operations the running CV workers offer, in Redis.

Each worker publishes the schemas of its users' operations, and the modules that it could not
import. What it has published expires soon after the worker has ended.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import redis
from pydantic import ValidationError

from agewell.shared.protocol.messages import Message
from agewell.shared.protocol.operations import OperationSchema
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.shared.redis.living import statuses_of_living

REFRESH_S: Final = 5.0
GONE_AFTER_S: Final = 30
RECENT_S: Final = 600
"""An operation counts as offered this long after its last worker, which may only be restarting."""


class OfferFailure(Message):
    """A module or an operation that a worker cannot use."""

    source: str
    reason: str


class Offer(Message):
    """The operations of one CV worker."""

    worker: str
    built_in: tuple[str, ...] = ()
    users: tuple[OperationSchema, ...] = ()
    sources: Mapping[str, str] = {}
    failures: tuple[OfferFailure, ...] = ()

    @property
    def names(self) -> set[str]:
        """The names of all operations of the worker."""
        return {*self.built_in, *(each.name for each in self.users)}


class OperationOffers:
    """Publishes and reads the operations of CV workers."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def publish(self, run: str, offer: Offer) -> None:
        """Publish the operations of one run of a worker. Repeat it every `REFRESH_S`."""
        pipe = self._client.pipeline(transaction=False)
        pipe.sadd(keys.CV_WORKERS, run)
        pipe.set(keys.cv_worker(run), offer.model_dump_json(), ex=GONE_AFTER_S)
        now = redis_now(self._client)
        if offer.names:
            pipe.zadd(keys.CV_OPERATIONS, dict.fromkeys(offer.names, now))
        pipe.zremrangebyscore(keys.CV_OPERATIONS, "-inf", now - RECENT_S)
        pipe.execute()

    def withdraw(self, run: str) -> None:
        """Remove the operations of a worker that ends."""
        self._client.delete(keys.cv_worker(run))

    def all(self) -> list[Offer]:
        """Return the operations of each CV worker that is alive."""
        found = statuses_of_living(self._client, keys.CV_WORKERS, keys.cv_worker)
        return list(_read(found))

    def were_offered(self, names: Collection[str]) -> bool:
        """Tell if workers have offered all of these operations within the last `RECENT_S`."""
        scores = self._client.zmscore(keys.CV_OPERATIONS, sorted(names))
        oldest = redis_now(self._client) - RECENT_S
        return all(score is not None and score > oldest for score in scores)

    def schemas(self) -> dict[str, OperationSchema]:
        """Return the schemas of all users' operations, by name."""
        return {each.name: each for offer in self.all() for each in offer.users}


def _read(found: list[bytes]) -> Iterator[Offer]:
    for raw in found:
        try:
            yield Offer.model_validate_json(raw)
        except ValidationError:  # of a worker of another version
            continue
