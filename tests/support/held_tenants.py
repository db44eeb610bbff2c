"""Jobs of a tenant that wait for its rate, while workers are idle."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.messages import good_job
from tests.support.stack import Stack


@contextmanager
def waiting_jobs(stack: Stack, tenant: str, count: int) -> Iterator[None]:
    """Have a tenant with this many waiting jobs, whose rate allows none of them for minutes.

    No other test may use the name: Redis remembers when the next job is allowed.
    """

    def send() -> str:
        task = stack.celery.send_task(
            "cv.hsv", args=[good_job()], queue="cv", headers={"tenant": tenant}
        )
        return str(task.id)

    stack.ok("tenants", "set", tenant, "--rate", "4/h", "--weight", 2)
    stack.wait_ended([send()])
    ids = [send() for _ in range(count)]
    try:
        yield
    finally:
        stack.ok("cancel", *ids)
        stack.ok("tenants", "remove", tenant)
