"""The jobs of a simulation with tenants: streams, and bursts at the start."""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import NamedTuple

from agewell.producer.simulate.jobs import Job, ServiceTime


@dataclass(frozen=True)
class Stream:
    """The jobs of one tenant at one level.

    Attributes:
        tenant: the name.
        level: 0 to 9.
        rate_per_s: jobs per second of a Poisson stream. 0: only the burst.
        burst: the number of jobs at the start.
        service: distribution of the run times.
    """

    tenant: str
    level: int
    rate_per_s: float
    burst: int
    service: ServiceTime


class TenantJob(NamedTuple):
    """A job, and the stream that it belongs to."""

    job: Job
    stream: int


def tenant_arrivals(
    streams: Sequence[Stream], sending_s: float, most: int, seed: int
) -> list[TenantJob]:
    """Make the jobs of all streams, in the order of arrival. Bursts come first, at time 0.

    Each stream has random numbers of its own, so another one does not change its jobs.

    Args:
        streams: the streams.
        sending_s: how long they send, in seconds. It may be infinite.
        most: the most jobs, of all streams together.
        seed: the seed of the random numbers. The same seed gives the same jobs.
    """
    rngs = [random.Random(f"{seed} {each.tenant} {each.level}") for each in streams]  # noqa: S311
    bursts = (
        TenantJob(Job(0.0, stream.level, stream.service.draw(rng)), number)
        for number, (stream, rng) in enumerate(zip(streams, rngs, strict=True))
        for _ in range(stream.burst)
    )
    made = list(islice(bursts, most))
    sent = heapq.merge(*(_sent(each, n, rngs[n]) for n, each in enumerate(streams)))
    within = takewhile(lambda each: each.job.arrived_at < sending_s, sent)
    return made + list(islice(within, most - len(made)))


def _sent(stream: Stream, number: int, rng: random.Random) -> Iterator[TenantJob]:
    """Make the jobs of a Poisson stream, without end."""
    now = 0.0
    while stream.rate_per_s:
        now += rng.expovariate(stream.rate_per_s)
        yield TenantJob(Job(now, stream.level, stream.service.draw(rng)), number)


def burst_s(streams: Sequence[Stream]) -> float:
    """Return the run times of all bursts together, in seconds."""
    return math.fsum(each.burst * each.service.mean_s for each in streams)
