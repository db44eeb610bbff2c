"""The log of a worker that has lost its connection."""

import warnings

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import consumer

from agewell.workers.consuming import reconnecting


def test_workers_pass_on_no_advice_to_end_running_jobs():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.warn(consumer.CANCEL_TASKS_BY_DEFAULT, CPendingDeprecationWarning, stacklevel=1)
        assert len(said) == 1
        reconnecting.install(Celery(set_as_current=False))
        warnings.warn(consumer.CANCEL_TASKS_BY_DEFAULT, CPendingDeprecationWarning, stacklevel=1)
        warnings.warn("Another one", CPendingDeprecationWarning, stacklevel=1)
    assert [str(each.message) for each in said[1:]] == ["Another one"]
