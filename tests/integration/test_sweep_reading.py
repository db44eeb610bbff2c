"""Whatever a message looks like, the sweep reads its fields and no text for one; garbage stays."""

import json

import pytest

from shared.names import LEVELS
from tests.integration.sweeping import message, raw_list, run, table, wait

pytestmark = pytest.mark.usefixtures("unhurried")


def test_a_message_without_a_priority_is_of_level_0_as_kombu_has_it(client):
    wait(client, 0, message("a", level=None, waited_s=50))
    wait(client, 3, message("b", level=None, waited_s=50))
    run(client)
    assert table(client) == {0: ["a", "b"]}


@pytest.mark.parametrize("large", [{"body": "QUJD" * 50_000}, {"body": "priority " * 20_000}])
def test_a_large_message_without_a_priority_is_read_in_no_time(client, large):
    wait(client, 5, message("a", level=None, waited_s=50) | large, "x" * 200_000)
    run(client)
    assert table(client)[0][0] == "a"
    spent_s = client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"] / 1e6
    assert spent_s < 0.5  # where a pattern is tried from every byte on, it is a minute


@pytest.mark.parametrize("level", ["5", 5, 12])
def test_a_priority_is_read_as_kombu_reads_it(client, level):
    wait(client, 9, message("a", level, waited_s=100.1))
    run(client)
    assert table(client) == ({4: ["a"]} if level == 12 else {0: ["a"]})


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
def test_any_spelling_of_json_is_read(client, separators):
    def spell(each):
        return json.dumps(each, separators=separators)

    wait(client, 5, spell(message("a", waited_s=21)), spell(message("b", waited_s=None)))
    run(client)
    assert table(client) == {4: ["a"], 5: ["b"]}
    run(client, after_s=20.1)
    assert table(client) == {3: ["a"], 4: ["b"]}


def test_headers_may_come_after_properties(client):
    shuffled = dict(reversed(message("a", waited_s=21).items()))
    wait(client, 5, shuffled)
    run(client)
    assert table(client) == {4: ["a"]}


def test_a_large_body_is_no_hindrance(client):
    wait(client, 5, {**message("a", waited_s=21), "body": "QUJD" * 5000})
    run(client)
    assert table(client) == {4: ["a"]}


@pytest.mark.parametrize(
    "text",
    [
        '"enqueued_at": 5',
        '{"headers": {"enqueued_at": 5}, "properties": {"priority": 0}}',
        '\\"enqueued_at": 5, "redelivered": true',
        '"headers": {',
        "%d%z%",
        "\u0000\uffff",
    ],
)
@pytest.mark.parametrize("where", ["argsrepr", "shadow", "body", "origin"])
def test_text_is_never_taken_for_a_field(client, text, where):
    old, foreign = message("a", waited_s=21), message("b", waited_s=None)
    for each in (old, foreign):
        (each if where == "body" else each["headers"])[where] = text
    wait(client, 5, old, foreign)
    run(client)
    assert table(client) == {4: ["a"], 5: ["b"]}
    run(client, after_s=18)
    assert table(client) == {4: ["a"], 5: ["b"]}
    run(client, after_s=20.1)
    assert table(client) == {3: ["a"], 4: ["b"]}
    assert json.loads(raw_list(client, 4)[0])["headers"][where if where != "body" else "id"] in (
        text,
        "b",
    )


@pytest.mark.parametrize("garbage", ["", "not JSON", "{", "[]", '{"headers": []}', "\udcff", "%b"])
def test_garbage_neither_fails_nor_blocks_nor_is_lost(client, garbage):
    garbage = garbage.encode("utf-8", "surrogateescape")
    wait(client, 5, garbage, garbage, message("a", waited_s=45), garbage, message("b", waited_s=1))
    wait(client, 7, garbage)
    wait(client, 8, message("c", 8, waited_s=21))
    run(client)
    assert [len(raw_list(client, level)) for level in LEVELS] == [0, 0, 0, 3, 0, 2, 0, 2, 0, 0]
    assert raw_list(client, 3)[:2] == [garbage, garbage]
    assert raw_list(client, 7)[0] == garbage
