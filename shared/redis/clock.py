"""Redis's clock, which all producers and workers use, because their own clocks differ."""

import time

import redis


def redis_now(client: redis.Redis) -> float:
    """Ask Redis for its time. Returns Unix time in seconds."""
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


class RedisClock:
    """Redis's time without a round trip: this machine's clock plus a measured difference.

    The difference is measured again every `MEASURE_EVERY_S` seconds, and after this machine's clock
    was set.
    """

    MEASURE_EVERY_S = 60.0
    JUMP_S = 0.1

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._measure_at = -1.0
        self._epoch = 0.0
        """Start of the monotonic clock in Unix time. It moves when this machine's clock is set."""

    def now(self, client: redis.Redis) -> float:
        """Return Unix time in seconds, by Redis's clock.

        Raises:
            redis.RedisError: the difference had to be measured, and Redis does not answer.
        """
        epoch = time.time() - time.monotonic()
        if time.monotonic() >= self._measure_at or abs(epoch - self._epoch) > self.JUMP_S:
            asked = time.time()
            answer = redis_now(client)
            # Assume that Redis read its clock in the middle of the round trip.
            self._ahead_s = answer - (asked + time.time()) / 2
            self._measure_at = time.monotonic() + self.MEASURE_EVERY_S
            self._epoch = epoch
        return time.time() + self._ahead_s
