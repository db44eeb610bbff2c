"""The outbox of jobs: when it is due, and what is published before there is room."""

from collections.abc import Sequence

import pytest

from agewell.producer.sending import outbox
from agewell.producer.sending.outbox import OUTBOX_JOBS, Outbox
from agewell.shared.protocol.tasks import Queue


class FakeCredit:
    """Room for some jobs after each refill, and a count of the refills."""

    def __init__(self, jobs: int) -> None:
        self.jobs = self.left = jobs
        self.refills = 0

    def spend(self, queue: Queue) -> bool:
        del queue
        self.left -= 1
        return self.left >= 0

    def refill(self, queue: Queue) -> None:
        del queue
        self.left = self.jobs
        self.refills += 1


@pytest.fixture
def published() -> list[list[int]]:
    return []


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now[0])
    return now


def make_outbox(published: list[list[int]], jobs: int = 1000, **options) -> Outbox[int, str]:
    def publish(unsent: Sequence[int]) -> list[str]:
        published.append(list(unsent))
        return [str(each) for each in unsent]

    return Outbox(FakeCredit(jobs), publish, **options)


def test_jobs_wait_until_they_are_flushed(published):
    box = make_outbox(published)
    assert list(box.add(1, Queue.CV)) == list(box.add(2, Queue.CV)) == []
    assert published == []
    assert box.flush() == ["1", "2"]
    assert published == [[1, 2]]


def test_flush_of_an_empty_outbox_publishes_nothing(published):
    assert make_outbox(published).flush() == []
    assert published == []


def test_outbox_without_room_publishes_before_it_asks_again(published):
    box = make_outbox(published, jobs=2)
    assert [list(box.add(number, Queue.CV)) for number in range(3)] == [[], [], ["0", "1"]]
    assert published == [[0, 1]]
    assert box.flush() == ["2"]


def test_outbox_is_due_at_once_and_then_after_its_wait(published, clock):
    box = make_outbox(published, max_wait_s=5.0)
    assert box.due()
    list(box.add(1, Queue.CV))
    box.flush()
    assert not box.due()
    clock[0] += 5.0
    assert box.due()


def test_outbox_is_due_when_it_has_enough_jobs(published):
    box = make_outbox(published)
    for number in range(OUTBOX_JOBS):
        assert not box.due()
        list(box.add(number, Queue.CV))
    assert box.due()


def test_jobs_that_failed_to_be_published_are_not_published_again(published):
    def fail(unsent: Sequence[int]) -> list[str]:
        raise ConnectionError(len(unsent))

    box = Outbox(FakeCredit(9), fail)
    list(box.add(1, Queue.CV))
    with pytest.raises(ConnectionError):
        box.flush()
    assert box.flush() == []
