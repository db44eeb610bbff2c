"""The order of the tests, and which of them run in one process, if several run side by side.

`make test` starts pytest-xdist with `--dist loadgroup`: a free process takes the next group.
"""

import pytest

STACKS = ("rough_stack", "watched", "stack")
"""Fixtures that start a whole agewell for a session. One process runs all tests of each."""

FAULTS_OF_REDIS = "faults of Redis"
FAULTS_OF_PROCESSES = "faults of processes"

LONGEST = (FAULTS_OF_REDIS, "stack", FAULTS_OF_PROCESSES, "rough_stack", "watched")
"""Groups that take minutes, mostly of waiting. They are begun first."""


def group_of(item: pytest.Item) -> str:
    """The name of a test's group: as it is marked, or its stack, its Redis server, or its file."""
    if mark := item.get_closest_marker("xdist_group"):
        return str(mark.args[0])
    if isinstance(item, pytest.Function):
        for name in STACKS:
            if name in item.fixturenames:
                return name
        if "redis_server" in item.fixturenames:
            return f"{item.callspec.params['redis_server']} Redis"
    return item.location[0]


def arrange(items: list[pytest.Item]) -> None:
    """Mark each test with its group, and put the longest groups first."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group_of(item)))
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(group_of(item), len(places)))
