"""Loads of tenants, and the simulations of them, for several tests."""

import math

from agewell.producer.simulate.jobs import Exponential, Fixed, Measured
from agewell.producer.simulate.tenant_jobs import Stream, tenant_arrivals
from agewell.producer.simulate.tenant_report import TenantExperiment
from agewell.producer.simulate.tenant_run import TenantRun
from agewell.shared.protocol.aging import AgingPolicy

POLICY = AgingPolicy(0.05)
SECOND = Fixed(1.0)
RANDOM = Exponential(1.0)
# A third of the jobs are ten times as long as the others.
UNEVEN = Measured((0.25, 0.25, 2.5))
ROUNDING_S = 1e-6


def stream(tenant, *, rate=0.0, burst=0, level=5, service=SECOND):
    return Stream(tenant, level, rate, burst, service)


def ran(streams, limits=None, *, workers=1, until=math.inf, most=1_000_000, seed=1):
    """Jobs, and when they started."""
    jobs = tenant_arrivals(streams, until, most, seed)
    run = TenantRun(jobs, streams, limits or {}, POLICY, workers)
    run.run(lambda _: None)
    return jobs, run.started_at


def compared(streams, limits=None, *, workers=1, until=1000.0, seed=1):
    """The results with tenants, and without."""
    jobs = tenant_arrivals(streams, until, 1_000_000, seed)
    made = TenantExperiment(jobs, streams, limits or {}, POLICY, workers, until)
    return made.results(lambda _: None)
