"""Fixtures that tests of several parts use."""

import pytest
from celery.result import denied_join_result

from agewell.shared.blobs.blobs import Blobs
from agewell.shared.queue.ledger import Ledger, Lifetimes
from agewell.workers.jobs import dead_letter, delivery, retries
from agewell.workers.jobs.run import run_job
from agewell.workers.process.context import Context
from tests.support.consuming import worker_app


@pytest.fixture
def ledger(client):
    return Ledger(client, Lifetimes(1000, 1000))


@pytest.fixture
def tools(settings, client, ledger, monkeypatch):
    made = Context(settings, client, Blobs(settings, client), ledger)
    for module in (delivery, retries, dead_letter):
        monkeypatch.setattr(module, "context", lambda: made)
    return made


@pytest.fixture
def trouble():
    """Errors that the next runs raise, in this order. Later runs end well."""
    return []


@pytest.fixture
def app(settings, tools, trouble):
    def run(job, checkpoint):
        if trouble:
            raise trouble.pop(0)()
        return run_job(job, tools.blobs, settings, checkpoint)

    # As in a worker's process, which listens to no results.
    with worker_app(settings) as made, denied_join_result():

        @made.task(bind=True, shared=False, name="cv.hsv")
        def hsv(task, document, following=None):
            return delivery.deliver(task, "hsv", document, following, run)

        yield made
