"""Which tests run in one process, and in which order, if several processes share the tests.

Tests that use the same stack or the same Redis server run in one process, which starts it once.
Every other file is a group of its own. A free process takes the next group.
"""

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

STACK = "stack"
ROUGH_STACK = "rough stack"
WATCHED_STACK = "watched stack"
FAULTS_OF_REDIS = "faults of Redis"
FAULTS_OF_PROCESSES = "faults of processes"

FIXTURES = ("stack", "rough_stack", "watched")
"""The stacks of tests/e2e/conftest.py, which several files share."""

FILES = {
    STACK: """bad_blends bad_images client exit_codes hostile_numbers job_commands
        narrow_terminals operations order_and_cancel output oversize plain_celery results""",
    ROUGH_STACK: """celery_ways crashes dead_letters doctor limits malformed_messages revoke
        store_away wheel""",
    WATCHED_STACK: "browser dashboard job_page metrics",
}
"""Tests of tests/e2e by the stack that they share. Some use the rough stack and the other."""

FIRST = (
    FAULTS_OF_REDIS,
    STACK,
    "tests/unit/models/test_export.py",
    "tests/e2e/test_docs_commands.py",
    FAULTS_OF_PROCESSES,
    "tests/unit/operations/test_poisson.py",
    ROUGH_STACK,
    "tests/unit/simulate/test_simulation.py",
    WATCHED_STACK,
)
"""The longest groups, begun first. Those that wait alternate with those that compute."""

_GROUP_OF_FILE = {
    f"tests/e2e/test_{name}.py": group for group, names in FILES.items() for name in names.split()
}
_SERVER = re.compile(r"^tests/(?:integration|e2e)/.*\[.*?\b(embedded|installed|valkey)\b")


def group_of(nodeid: str) -> str:
    """The group of a test."""
    path = nodeid.partition("::")[0]
    if path == "tests/chaos/test_faults.py":
        of_redis = re.search(r"\[(Redis|Sentinel):", nodeid)
        return FAULTS_OF_REDIS if of_redis else FAULTS_OF_PROCESSES
    if path in _GROUP_OF_FILE:
        return _GROUP_OF_FILE[path]
    server = _SERVER.match(nodeid)
    return f"{server[1]} Redis" if server else path


def put_longest_first(items: list[pytest.Item]) -> None:
    """Order tests by their groups: first those of FIRST, then the others as they were."""
    places = {group: place for place, group in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(group_of(item.nodeid), len(places)))


def end_stacks(item: pytest.Item, following: pytest.Item | None) -> None:
    """End the shared stacks after the last test of a group.

    pytest would end them after the last test of the process. Until then each would use 6 % of a
    processor, to find out that there is nothing to do.
    """
    if following is None or group_of(item.nodeid) == group_of(following.nodeid):
        return
    for name in FIXTURES:
        for definition in item.session._fixturemanager.getfixturedefs(name, item) or ():
            definition.finish(item._request)  # a no-op if it does not run


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups, in the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
