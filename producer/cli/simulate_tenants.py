"""Reads `--tenant` of `agewell simulate`, such as `ana:rate=2,weight=3`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agewell.producer.cli.simulate_values import Law, read_number, read_service
from agewell.producer.simulate.jobs import ServiceTime
from agewell.producer.simulate.tenant_jobs import Stream, burst_s
from agewell.shared.errors import ParameterError
from agewell.shared.protocol.aging import AgingPolicy
from agewell.shared.protocol.levels import DEFAULT_LEVEL, level_from
from agewell.shared.protocol.tenants import check_tenant, team_of
from agewell.shared.queue.tenants import TenantLimits

SYNTAX = (
    "NAME:KEY=VALUE,... with rate, burst, level, service, weight, max-running or limit, each once"
)
JOBS_KEYS = ("rate", "burst", "level", "service")
LIMITS_KEYS = ("weight", "max-running", "limit")


@dataclass(frozen=True)
class TenantRequest:
    """A simulation of tenants that the command line asks for.

    Attributes:
        streams: the jobs of tenants.
        limits: of tenants and teams. One without limits has the weight 1.
        policy: the aging.
        workers: the number of jobs that run at a time.
        jobs: the most jobs to simulate.
        sending_s: how long tenants send, in seconds, or infinite.
        seed: the seed of the random numbers.
        plot: the file to draw the waits into, if one is wanted.
        as_json: print JSON documents instead of a table.
    """

    streams: tuple[Stream, ...]
    limits: Mapping[str, TenantLimits]
    policy: AgingPolicy
    workers: int
    jobs: int
    sending_s: float
    seed: int
    plot: Path | None
    as_json: bool

    @property
    def load(self) -> float:
        """The share of the workers' time that the streams need, without bursts."""
        needed = math.fsum(each.rate_per_s * each.service.mean_s for each in self.streams)
        return needed / self.workers

    def __post_init__(self) -> None:
        """Check that the jobs have room for the bursts.

        Raises:
            ParameterError: the bursts have more jobs.
        """
        bursts = sum(each.burst for each in self.streams)
        if bursts > self.jobs:
            raise ParameterError("--jobs", str(self.jobs), f"{bursts} or more, as the bursts have")


def read_tenants(
    given: Sequence[str], service: str | None, law: Law
) -> tuple[tuple[Stream, ...], dict[str, TenantLimits]]:
    """Read the values of `--tenant`.

    A tenant with jobs of several levels is given once for each level, and a team for its limits.

    Args:
        given: the texts.
        service: the value of `--service`, for tenants without run times of their own.
        law: distribution of run times around a mean.

    Raises:
        ParameterError: a text is not allowed, or does not fit to the others.
    """
    shared = None if service is None else read_service(service, law)
    streams: dict[tuple[str, int], Stream] = {}
    limits: dict[str, TenantLimits] = {}
    named: dict[str, str] = {}
    for text in given:
        name, values = _split(text)
        named.setdefault(name, text)
        if any(key in values for key in LIMITS_KEYS):
            if name in limits:
                raise ParameterError("--tenant", repr(text), "weight and limits of a tenant once")
            limits[name] = _limits(values)
        if any(key in values for key in JOBS_KEYS):
            stream = _stream(text, name, values, shared, law)
            if (name, stream.level) in streams:
                raise ParameterError("--tenant", repr(text), "each tenant and level once")
            streams[name, stream.level] = stream
    _check_teams(named, {name for name, _ in streams})
    return tuple(streams.values()), limits


def _split(text: str) -> tuple[str, dict[str, str]]:
    name, _, rest = text.partition(":")
    pairs = [each.partition("=") for each in rest.split(",")]
    values = {key: value for key, _, value in pairs}
    known = values.keys() <= {*JOBS_KEYS, *LIMITS_KEYS}
    if not known or len(values) < len(pairs) or not all(values.values()):
        raise ParameterError("--tenant", repr(text), SYNTAX)
    return check_tenant(name), values


def _limits(values: Mapping[str, str]) -> TenantLimits:
    return TenantLimits(
        weight=_number(values, "weight", 1.0),
        max_running=_whole(values, "max-running"),
        rate_per_s=_number(values, "limit", 0.0),
    )


def _stream(
    text: str, name: str, values: Mapping[str, str], service: ServiceTime | None, law: Law
) -> Stream:
    if "service" in values:
        service = read_service(values["service"], law)
    if service is None:
        raise ParameterError("--service", "unset", "a value, as tenants have none of their own")
    level = level_from(values["level"]) if "level" in values else DEFAULT_LEVEL
    rate_per_s, burst = _number(values, "rate", 0.0), _whole(values, "burst")
    if not rate_per_s and not burst:
        raise ParameterError("--tenant", repr(text), "a tenant with rate=PER_S or burst=JOBS")
    return Stream(name, level, rate_per_s, burst, service)


def _number(values: Mapping[str, str], key: str, default: float) -> float:
    if key not in values:
        return default
    number = read_number(values[key])
    if number is None:
        unit = "" if key == "weight" else ", jobs a second"
        raise ParameterError(f"{key} of --tenant", repr(values[key]), f"a number above 0{unit}")
    return number


def _whole(values: Mapping[str, str], key: str) -> int:
    if key not in values:
        return 0
    number = read_number(values[key])
    if number is None or number != int(number):
        raise ParameterError(
            f"{key} of --tenant", repr(values[key]), "a whole number of jobs above 0"
        )
    return int(number)


def _check_teams(named: Mapping[str, str], sending: set[str]) -> None:
    """Check that each name has jobs, or is a team whose members have."""
    teams = {team_of(name) for name in sending}
    for name, text in named.items():
        if name in teams and name in sending:
            raise ParameterError("--tenant", repr(text), "a team's weight and limits, not its jobs")
        if name not in teams and name not in sending:
            raise ParameterError("--tenant", repr(text), "a tenant with rate=PER_S or burst=JOBS")


def sending_s_of(streams: Sequence[Stream], workers: int) -> float:
    """Return how long tenants send by default: as long as the bursts alone need, in seconds."""
    return burst_s(streams) / workers or math.inf


def refuse_beside_tenants(options: Mapping[str, Any]) -> None:
    """Check that no option is given that means nothing for tenants.

    Args:
        options: their values by name. A value that is false was not given.

    Raises:
        ParameterError: one is given.
    """
    for name, value in options.items():
        if value:
            raise ParameterError(name, "given", "only without --tenant")
