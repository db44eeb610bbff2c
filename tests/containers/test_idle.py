"""An idle stack: what it costs, what it writes, and what its health checks cost."""

import time

import pytest

from tests.containers.stack import CORE, Stack

WATCHED_S = 31.0
"""A round of health checks."""

CHECKED = ("cv", "upkeep", "beat", "flower")


@pytest.fixture(scope="module")
def idle(stack: Stack) -> dict[str, float]:
    """Processor time of each container while nothing happens, in seconds per second."""
    time.sleep(5)
    before = {name: stack.engine.processor_s(stack.name(name)) for name in CORE}
    lines = len(stack.logs("beat").splitlines())
    time.sleep(WATCHED_S)
    used = {
        name: (stack.engine.processor_s(stack.name(name)) - before[name]) / WATCHED_S
        for name in CORE
    }
    return used | {"lines of beat": len(stack.logs("beat").splitlines()) - lines}


def test_it_was_healthy_within_twenty_seconds(stack: Stack):
    assert stack.up_s <= 20


def test_it_uses_at_most_six_hundredths_of_a_core(stack: Stack, idle: dict[str, float], measured):
    shares = {name: idle[name] for name in CORE}
    text = ", ".join(f"{name} {100 * share:.1f}" for name, share in shares.items())
    memory = {name: stack.engine.memory_mb(stack.name(name)) for name in CORE}
    measured("its memory, MB", ", ".join(f"{name} {each:.0f}" for name, each in memory.items()))
    measured("an idle stack, percent of a core", f"{100 * sum(shares.values()):.1f}: {text}")
    assert sum(shares.values()) <= 0.06


def test_beat_does_not_fill_the_disk(idle: dict[str, float]):
    assert idle["lines of beat"] <= 2


@pytest.mark.parametrize("service", CHECKED)
def test_a_health_check_takes_at_most_a_tenth_of_a_second(stack: Stack, service: str, measured):
    """The start of its process in the container counts too."""
    command = stack.spec["services"][service]["healthcheck"]["test"][1:]
    container = stack.name(service)
    checks = 10
    began_s, began = stack.engine.processor_s(container), time.monotonic()
    for _ in range(checks):
        assert "healthy" in stack.engine.docker("exec", container, *command)
    took_s, wall_s = stack.engine.processor_s(container) - began_s, time.monotonic() - began
    idle_s = stack.engine.processor_s(container)
    time.sleep(wall_s)
    idle_s = stack.engine.processor_s(container) - idle_s
    each_s = (took_s - idle_s) / checks
    measured(f"a health check of {service}", f"{1000 * each_s:.0f} ms of processor time")
    assert each_s <= 0.1
