"""Sends mutants through a real stack, and sees what they leave behind."""

from collections import Counter
from dataclasses import dataclass, field

from tests.e2e.messages import ask, good_job
from tests.e2e.stack import Stack, until
from tests.fuzz import images, messages

BATCH = 80
LISTS = ["cv", *(f"cv\x06\x16{level}" for level in range(1, 10))]
DRAINED_S = 240.0
MIB = 2**20


@dataclass
class Found:
    """What a run has seen."""

    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    rss_mib: list[float] = field(default_factory=list)
    """Resident memory of the worker and its processes, after each batch."""
    replaced: int = 0
    """Processes that were there at the start and are gone."""

    def growth_mib(self) -> float:
        """From the end of the first quarter, when every decoder has been used, to the end."""
        start = self.rss_mib[len(self.rss_mib) // 4]
        return self.rss_mib[-1] - start


def fuzz_images(stack: Stack, count: int, seed: int = 1) -> Found:
    """Mutated images through cv.hsv."""
    found = Found()
    before = _family(stack)
    files = list(images.mutants(count, seed))
    for start in range(0, count, BATCH):
        ids = images.send_images(stack, files[start : start + BATCH])
        found.outcomes += images.settle(stack, ids)
        _look(stack, found)
    found.sent = count
    found.replaced = len(before - _family(stack))
    return found


def fuzz_messages(stack: Stack, count: int, seed: int = 2) -> Found:
    """Mutated messages straight into the queue's list."""
    found = Found()
    before = _family(stack)
    mutants = list(messages.mutants(count, seed))
    for start in range(0, count, BATCH):
        stack.redis.lpush("cv", *mutants[start : start + BATCH])
        until(lambda: left_over(stack) == 0, DRAINED_S, lambda: f"{left_over(stack)} left over")
        _look(stack, found)
    found.sent = count
    found.outcomes = _states(stack)
    found.replaced = len(before - _family(stack))
    return found


def left_over(stack: Stack) -> int:
    """Messages that wait, or that workers hold; not what workers say to each other."""
    held = 0
    for key in stack.redis.scan_iter("agewell:unacked:*"):
        if stack.redis.type(key) == b"hash":
            held += sum(b"celery.pidbox" not in each for each in stack.redis.hvals(key))
    return held + sum(stack.redis.llen(name) for name in LISTS)


def _states(stack: Stack) -> Counter[str]:
    """The states of all jobs in the ledger."""
    keys = list(stack.redis.scan_iter("agewell:job:*", count=1000))
    pipe = stack.redis.pipeline()
    for key in keys:
        pipe.hget(key, "state")
    return Counter(str(state and state.decode()) for state in pipe.execute())


def _family(stack: Stack) -> set[int]:
    return {stack.worker.pid, *(each.pid for each in stack.pool)}


def _look(stack: Stack, found: Found) -> None:
    """A good job is done, still; and how much memory everything takes now."""
    assert "image" in ask(stack, "cv.hsv", good_job())["items"][0]
    family = [stack.worker, *stack.pool]
    found.rss_mib.append(sum(each.memory_info().rss for each in family) / MIB)
