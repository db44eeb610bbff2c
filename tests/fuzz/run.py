"""Sends mutants through a real stack, and looks for any that they leave behind."""

from collections import Counter
from dataclasses import dataclass, field

from agewell.shared.protocol.levels import LEVELS
from agewell.shared.protocol.tasks import Queue
from agewell.shared.redis import keys
from tests.fuzz import images, inlet, messages
from tests.support.messages import ask, good_job
from tests.support.stack import Stack, until

BATCH = 80
CV = Queue.CV.value
DRAINED_S = 600.0
"""Text in the place of callbacks is a task a letter: one message becomes thousands."""

FOUND_LOST_S = 150.0
OPEN = {"waiting", "running"}
MIB = 2**20


@dataclass
class Found:
    """The findings of a run."""

    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    rss_mib: list[float] = field(default_factory=list)
    """Resident memory of the worker and its processes, after each batch."""
    slowest_script_ms: float = 0.0
    """By Redis's clock, which goes on while others have the processor."""
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
    return _fuzz_inlet(stack, list(messages.mutants(count, seed)))


def fuzz_inlet(stack: Stack, count: int, seed: int = 3) -> Found:
    """Hostile messages straight into the queue's lists."""
    return _fuzz_inlet(stack, list(inlet.hostile(count, seed)))


def _fuzz_inlet(stack: Stack, mutants: list[bytes]) -> Found:
    found = Found()
    before = _family(stack)
    stack.redis.config_set("slowlog-log-slower-than", 1000)
    stack.redis.slowlog_reset()
    for start in range(0, len(mutants), BATCH):
        pipe = stack.redis.pipeline(transaction=False)
        for number, mutant in enumerate(mutants[start : start + BATCH]):
            pipe.lpush(keys.inlet(CV, LEVELS[number % len(LEVELS)]), mutant)
        pipe.execute()
        until(lambda: left_over(stack) == 0, DRAINED_S, lambda: f"{left_over(stack)} left over")
        _look(stack, found)
    # Celery acknowledges some messages that it cannot run: upkeep finds that their jobs are lost.
    until(lambda: not OPEN & _states(stack).keys(), FOUND_LOST_S, lambda: _states(stack))
    found.sent = len(mutants)
    found.outcomes = _states(stack)
    scripts = [each for each in stack.redis.slowlog_get(1000) if b"EVALSHA" in each["command"]]
    found.slowest_script_ms = max((each["duration"] / 1000 for each in scripts), default=0.0)
    found.replaced = len(before - _family(stack))
    return found


def left_over(stack: Stack) -> int:
    """Count messages of jobs that wait or that workers hold, without those between workers."""
    held = 0
    for key in stack.redis.scan_iter("agewell:unacked:*"):
        if stack.redis.type(key) == b"hash":
            held += sum(b"celery.pidbox" not in each for each in stack.redis.hvals(key))
    pipe = stack.redis.pipeline(transaction=False)
    for name in (*keys.inlets(CV), keys.REFUSED):
        pipe.llen(name)
    for name in (keys.order(CV), keys.scheduled(CV)):
        pipe.zcard(name)
    pipe.scard(keys.GIVEN_UP)
    return held + sum(pipe.execute())


def _states(stack: Stack) -> Counter[str]:
    """Count all jobs of the ledger by state, without upkeep's own, which may be under way."""
    records = stack.redis.scan_iter("agewell:job:*", count=1000)
    pipe = stack.redis.pipeline()
    for key in (each for each in records if b":upkeep." not in each and b":aging." not in each):
        pipe.hget(key, "state")
    return Counter(str(state and state.decode()) for state in pipe.execute())


def _family(stack: Stack) -> set[int]:
    return {stack.worker.pid, *(each.pid for each in stack.pool)}


def _look(stack: Stack, found: Found) -> None:
    """Check that a good job is still done, and note the memory of all processes."""
    assert "image" in ask(stack, "cv.hsv", good_job())["items"][0]
    family = [stack.worker, *stack.pool]
    found.rss_mib.append(sum(each.memory_info().rss for each in family) / MIB)
