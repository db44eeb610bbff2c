"""Redis's clock: the one time that all producers and workers share."""

import time

import redis


def redis_now(client: redis.Redis) -> float:
    """The time by Redis's clock: Unix time in seconds."""
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


class RedisClock:
    """Redis's clock, asked once in a while: between, this machine's own plus the difference."""

    MEASURE_EVERY_S = 60.0
    JUMP_S = 0.1

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._measure_at = -1.0
        self._epoch = 0.0
        """When this machine's monotonic clock began, by its other one: moves where that is set."""

    def now(self, client: redis.Redis) -> float:
        """Unix time in seconds.

        Raises:
            redis.RedisError: Redis does not answer, when it is its turn to be asked.
        """
        epoch = time.time() - time.monotonic()
        if time.monotonic() >= self._measure_at or abs(epoch - self._epoch) > self.JUMP_S:
            asked = time.time()
            answer = redis_now(client)
            # Redis read its clock somewhere between question and answer.
            self._ahead_s = answer - (asked + time.time()) / 2
            self._measure_at = time.monotonic() + self.MEASURE_EVERY_S
            self._epoch = epoch
        return time.time() + self._ahead_s
