"""Errors in stored results, of this version and of agewell 0.1."""

import json

import pytest

from agewell.shared import errors
from agewell.shared.celery.app import make_app
from agewell.shared.errors import BadImageError, DeadJobError, QueueFullError
from agewell.shared.queue.documents import document_of
from agewell.shared.settings import Settings

ERRORS = [
    BadImageError("a.png", "damaged"),
    QueueFullError("cv", 5, 5),
    DeadJobError("it took down 3 workers"),
]


@pytest.fixture(scope="module")
def backend():
    return make_app(Settings(redis_url="redis://127.0.0.1:1")).backend


@pytest.mark.parametrize("module", ["shared.errors", "agewell.shared.errors"])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_stored_by_either_version_becomes_our_class(backend, error, module):
    stored = {
        "exc_type": type(error).__name__,
        "exc_message": list(error.args),
        "exc_module": module,
    }
    found = backend.exception_to_python(stored)
    assert type(found) is type(error)
    assert found.args == error.args


@pytest.mark.parametrize("error", ERRORS)
def test_a_new_result_names_the_module_that_every_version_reads(backend, error):
    by_a_worker = backend.prepare_exception(error)
    by_upkeep = json.loads(document_of("job", error, now=0.0))["result"]
    for stored in (by_a_worker, by_upkeep):
        assert stored["exc_module"] == "shared.errors"
        assert stored["exc_type"] == type(error).__name__


@pytest.mark.parametrize(
    ("module", "name"),
    [("shared.errors", "Final"), ("shared.errors", "NoSuchError"), ("other", "BadImageError")],
)
def test_a_name_that_is_no_error_of_agewell_is_not_ours(module, name):
    assert not errors.is_ours(module, name)
