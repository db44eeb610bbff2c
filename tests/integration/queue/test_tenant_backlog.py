"""Redis's processor time for many waiting jobs of many tenants does not grow with the jobs.

`python -m benchmarks core` measures the same with a million jobs.
"""

from agewell.producer.session import make_session
from agewell.shared.settings import Settings
from benchmarks import core_redis, filling
from benchmarks.servers import server

TENANTS, FEW, MANY = 1000, 3000, 30_000


def figures(jobs):
    """The processor time of each query, and of a take, in microseconds."""
    with server() as running:
        session = make_session(Settings(redis_url=running.url))
        filling.fill(session, jobs, tenants=TENANTS)
        assert running.client.zcard("agewell:tenants:cv") == TENANTS
        assert running.client.zcard("agewell:held:cv") >= jobs
        looks = core_redis.look_at_tenants(running, session)
        took_us = {name: 1000 * took_ms for name, took_ms in looks.items()}
        return took_us | {"take": core_redis.take(running, session)}


def test_looks_and_takes_cost_the_same_with_ten_times_the_jobs():
    few, many = figures(FEW), figures(MANY)
    # To read one more reply of 27,000 places takes Redis 5 ms. The rest is noise.
    grown = {name: round(many[name] / few[name], 2) for name in few}
    assert max(grown.values()) < 3, (grown, few, many)
    assert max(many.values()) < 50_000
