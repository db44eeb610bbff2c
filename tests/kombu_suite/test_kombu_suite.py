"""kombu's functional tests of its Redis transport, on the channels that replace kombu's."""

from pathlib import Path

import pytest

from agewell.shared.celery import transport
from tests.kombu_suite.expected import ON_WORKERS_CHANNEL
from tests.kombu_suite.run import run_suite, run_tests
from tests.kombu_suite.source import fetch_suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TESTS = 129
"""In the two files of kombu 5.7.0."""

LEAST_ON_WORKERS_CHANNEL = 103


@pytest.fixture(scope="module")
def suite(tmp_path_factory) -> Path:
    return fetch_suite(tmp_path_factory.mktemp("kombu"))


def test_every_test_passes_on_the_producers_channel(suite):
    outcome = run_suite(suite, "agewell.shared.celery.transport:Connection")
    assert sorted(outcome.failed) == []
    assert len(outcome.passed) >= TESTS


def test_only_listed_tests_fail_on_the_workers_channel(suite):
    outcome = run_suite(
        suite, "agewell.workers.consuming.connection:Connection", ON_WORKERS_CHANNEL
    )
    listed = set(ON_WORKERS_CHANNEL)
    assert sorted(outcome.failed - listed) == [], "failed, and not on the list"
    assert sorted(outcome.passed & listed) == [], "passed: take it off the list"
    assert sorted(listed - outcome.all) == [], "kombu has no such test"
    assert len(outcome.passed) >= LEAST_ON_WORKERS_CHANNEL
    assert len(outcome.all) >= TESTS


def test_skip_says_that_pip_cannot_fetch_the_source(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SKIPS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(
        pytest.skip.Exception, match=r"source distribution of kombu==[\d.]+: .*ERROR"
    ):
        fetch_suite(tmp_path)


class DroppingChannel(transport.Channel):
    """A channel that loses every message."""

    def _put(self, queue, message, **options):
        """Lose it."""


class DroppingConnection(transport.Connection):
    """A connection through that channel."""

    channel_class = DroppingChannel


def test_a_channel_that_loses_messages_fails(suite):
    test = "test_redis.py::test_RedisMessage::test_ack[None]"
    for connection, passes in (
        ("agewell.shared.celery.transport:Connection", True),
        (f"{__name__}:DroppingConnection", False),
    ):
        outcome = run_tests(suite, connection, [test])
        assert (outcome.passed if passes else outcome.failed) == {test}
