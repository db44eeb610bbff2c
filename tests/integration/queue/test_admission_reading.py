"""Reading plain clients' messages: Redis's scripts read and bound them as Python does."""

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agewell.shared.protocol import envelope
from agewell.shared.protocol.tasks import op_of_task
from agewell.shared.queue.admit import admit
from agewell.shared.queue.dead_letters import MESSAGE_MAX_BYTES
from agewell.shared.queue.order import SEQUENCE_DIGITS
from agewell.shared.queue.publish import due_at_of
from agewell.shared.redis import keys
from agewell.shared.settings import MAX_MESSAGE_BYTES

QUEUE, NOW, K = "cv", 1_700_000_000.0, 0.05
SKEW_S = 1.0
"""How far ahead of Redis's clock a sender's may be."""

NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.integers(),
    st.floats(),
    st.floats(NOW - 1000, NOW + 1000),
    st.sampled_from([0, -0.0, 1e308, 10**400, -(10**400), 253_402_300_799, 253_402_300_800]),
    st.sampled_from([None, True, False, "5", "05", "9" * 400, "-5", " 5", "five", [], {}, [5]]),
)
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(
        ['"body": "', '\\"body\\": \\"x', '{"headers": {', "\\", '\\"', "\\\\", "\0", "\n", "%d%z"]
    ),
)
ZONES = st.sampled_from(
    [None, UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=11))]
)
ETAS = st.one_of(
    st.none(),
    TEXTS,
    st.datetimes(datetime(1971, 1, 1), datetime(9990, 1, 1), timezones=ZONES).map(
        datetime.isoformat
    ),
    st.datetimes(datetime(2023, 11, 14), datetime(2023, 11, 16)).map(
        lambda at: at.isoformat(" ", "minutes") + "Z"
    ),
    st.sampled_from(
        ["2023-02-29T00:00:00", "2024-02-29T00:00:00", "2100-02-29T00:00:00", "2023-13-01T00:00:00",
         "2023-00-01T00:00:00", "2023-11-15T24:00:00", "2023-11-15T10:60:00", "2023-11-15T10:00:61",
         "2023-11-15T10:00:00+24:00", "2023-11-15T10:00:00.5+0530", "2023-11-15T10:00:07123",
         "2023-11-15T10:00:00.", "1969-12-31T23:59:59", "0001-01-01T00:00:00", 1.7e9]
    ),
)  # fmt: skip
TASKS = st.sampled_from(
    [
        *("cv.hsv", "cv.my_own", "cv.x" + 47 * "y", "cv.x" + 48 * "y", "infer.run", "infer.walk"),
        *(
            "somebody.elses",
            "",
            "cv.hsv=hsv",
            "cv.Hsv",
            "cv.9",
            "cv.hsv\n",
            "xcv.hsv",
            "cv",
            5,
            None,
        ),
    ]
)
IDS = st.one_of(TEXTS, st.uuids().map(str), st.sampled_from([None, 5, "", ["a"], "é😀"]))
ANYTHING = st.recursive(
    NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("body"), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "lang": st.just("py"),
        "task": TASKS,
        "id": IDS,
        "enqueued_at": NUMBERS,
        "deadline_at": NUMBERS,
        "items": NUMBERS,
        "retries": NUMBERS,
        "eta": ETAS,
        "group": IDS,
        "argsrepr": TEXTS,
        "body": ANYTHING,
        "stamps": ANYTHING,
        "compression": st.just("application/x-gzip"),
    },
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "priority": NUMBERS,
        "body_encoding": st.just("base64"),
        "delivery_info": ANYTHING,
        "delivery_tag": st.uuids().map(str),
    },
)
BODIES = st.one_of(
    st.just(base64.b64encode(b"[[{}], {}, {}]").decode()),
    st.just(base64.b64encode(zlib.compress(b"[[{}], {}, {}]" * 30)).decode()),
    TEXTS,
    st.builds(
        lambda text, times: text * times,
        st.sampled_from(['"', "\\", '\\"', '"body":"']),
        st.integers(0, 200),
    ),
    st.just(json.dumps({"task": "cv.hsv", "id": "one", "args": [], "kwargs": {}})),
    ANYTHING,
)  # fmt: skip


@st.composite
def raw_messages(draw):
    """A message as text: its fields in any order, in any spelling of JSON."""
    parts = {
        "body": draw(BODIES),
        "headers": draw(st.one_of(HEADERS, HEADERS, HEADERS, ANYTHING)),
        "properties": draw(st.one_of(PROPERTIES, PROPERTIES, PROPERTIES, ANYTHING)),
        "content-type": "application/json",
    }
    message = {name: parts[name] for name in draw(st.permutations(list(parts)))}
    for name in ("headers", "properties"):
        if isinstance(message[name], dict):
            message[name] = {
                k: message[name][k] for k in draw(st.permutations(list(message[name])))
            }
    separators = draw(st.sampled_from([(", ", ": "), (",", ":"), (" ,\n", "\t: ")]))
    return json.dumps(message, separators=separators, ensure_ascii=draw(st.booleans()))


def admitted(client, raw, level=0):
    """Push a message as kombu does and admit it. Returns id, record and place, None if refused."""
    client.flushdb()
    client.lpush(keys.inlet(QUEUE, level), raw)
    while admit(client, {QUEUE: K}, NOW, MAX_MESSAGE_BYTES):
        pass
    waiting = client.zrange(keys.order(QUEUE), 0, -1, withscores=True)
    scheduled = client.zrange(keys.scheduled(QUEUE), 0, -1, withscores=True)
    refused = client.lrange(keys.REFUSED, 0, -1)
    assert len(waiting) + len(scheduled) + len(refused) == 1
    if refused:
        about, _, kept = refused[0].partition(b"\n")
        assert json.loads(about)["queue"] == QUEUE
        assert kept == (raw if isinstance(raw, bytes) else raw.encode())[:MESSAGE_MAX_BYTES]
        return None
    [(place, score)] = waiting or scheduled
    job_id = place[SEQUENCE_DIGITS:].decode()
    record = {name.decode(): value for name, value in client.hgetall(keys.job(job_id)).items()}
    assert record["message"] == (raw if isinstance(raw, bytes) else raw.encode())
    assert record["place"] == place
    return job_id, record, score, bool(scheduled)


def as_python_reads(message, list_level):
    """A message as Python reads it: id ('' for a made-up one) and the fields of its record."""
    headers, properties = message["headers"], message["properties"]
    named = all(isinstance(headers.get(name), str) and headers[name] for name in ("id", "task"))
    enqueued_at = envelope.time_of(headers.get("enqueued_at"))
    if enqueued_at is None or enqueued_at > NOW + SKEW_S:
        enqueued_at = NOW
    due_at = due_at_of(headers)
    retries = envelope.count_of(headers.get("retries"))
    op = (op_of_task(headers["task"]) or "") if named else ""
    has_level = "priority" in properties
    return headers["id"] if named else "", {
        "op": op,
        "level": envelope.level_of(properties["priority"]) if has_level else list_level,
        "items": envelope.count_of(headers.get("items")),
        "retries": retries,
        "enqueued_at": enqueued_at,
        "since": enqueued_at if retries or due_at is None else max(enqueued_at, due_at),
        "due_at": due_at if due_at is not None and due_at > NOW else None,
        "deadline_at": envelope.time_of(headers.get("deadline_at")) if op else None,
        "chord": 1 if isinstance(headers.get("group"), str) and headers["group"] else None,
    }


def check(client, raw, level):
    found, message = admitted(client, raw, level), envelope.read(raw)
    if message is None:
        parts = json.loads(raw)
        # To cjson a list is an object, too. A worker refuses such a message.
        has_list = isinstance(parts["headers"], list) or isinstance(parts["properties"], list)
        assert found is None or has_list
        return
    assert found is not None
    job_id, record, score, is_scheduled = found
    expected_id, expected = as_python_reads(message, level)
    assert job_id == expected_id if expected_id else job_id.startswith("message-")
    assert record["op"].decode() == expected.pop("op")
    numbers = {name: value for name, value in expected.items() if value is not None}
    assert {name for name in expected if name in record} == numbers.keys()
    read = {name: float(record[name]) for name in numbers}
    assert read == pytest.approx(numbers, abs=1e-5, rel=0)
    place = expected["due_at"] if is_scheduled else expected["since"] + expected["level"] / K
    assert score == pytest.approx(place, abs=1e-5, rel=0)
    deadlines = client.zrange(keys.DEADLINES, 0, -1, withscores=True)
    assert [at for _, at in deadlines] == [
        each for each in [expected["deadline_at"]] if each is not None
    ]


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(raw_messages(), st.integers(0, 9))
@example(
    '{"body": "' + '\\"' * 5000 + '", "headers": {"id": "a", "task": "t"}, "properties": {}}', 0
)
@example('{"headers": {"id": "a", "task": "t", "x": "\\ud800"}, "properties": {}}', 3)
@example(
    '{"headers": {"id": "a\\ud83d\\ude00", "task": "t", "x": "\\\\ud800"}, "properties": {}}',
    3,
)
@example('{"headers": {"id": "a", "id": "b", "task": "t"}, "properties": {"priority": 1e400}}', 3)
def test_redis_reads_messages_as_python_does(client, raw, level):
    check(client, raw, level)


@pytest.mark.parametrize(
    "garbage",
    ["", "not JSON", "{", "[]", "null", "1", '{"headers": {}}', '{"headers": 1, "properties": {}}',
     "\udcff", "%b", "[" * 100_000, '{"body": "' + "x" * 200_000, '"body"' * 100_000,
     '{"body": "' + "\\" * 100_000 + '"',
     '{"headers": {"id": "\udcff", "task": "t"}, "properties": {}}'],
)  # fmt: skip
def test_garbage_is_refused_with_the_bytes_for_its_letter(client, garbage):
    raw = garbage.encode("utf-8", "surrogateescape")
    assert envelope.read(raw) is None
    assert admitted(client, raw) is None


def test_garbage_holds_up_nothing_behind_it(client):
    good = json.dumps({"headers": {"id": "a", "task": "cv.hsv"}, "properties": {}})
    client.lpush(keys.inlet(QUEUE, 5), "{", good, "[]", good.replace('"a"', '"b"'))
    assert not admit(client, {QUEUE: K}, NOW, MAX_MESSAGE_BYTES)
    waiting = client.zrange(keys.order(QUEUE), 0, -1)
    assert [place[SEQUENCE_DIGITS:] for place in waiting] == [b"a", b"b"]
    assert client.llen(keys.REFUSED) == 2


@pytest.mark.parametrize("size", [2**17, MAX_MESSAGE_BYTES - 2**11])
@pytest.mark.parametrize("order", [1, -1])
def test_large_body_is_passed_over(client, size, order):
    headers = {"id": "a", "task": "cv.hsv", "body": "x" * 1000}
    parts = {"body": "QUJD" * (size // 4), "headers": headers, "properties": {"priority": 7}}
    raw = json.dumps(dict(list(parts.items())[::order]))
    job_id, record, _, _ = admitted(client, raw)
    assert (job_id, record["level"], record["op"]) == ("a", b"7", b"hsv")


def test_large_headers_are_refused(client):
    raw = json.dumps({"headers": {"id": "a", "task": "t", "x": "y" * 200_000}, "properties": {}})
    assert admitted(client, raw) is None


def test_too_large_message_is_refused_with_its_ends(client):
    headers = {"id": "a", "task": "cv.hsv"}
    raw = json.dumps({"body": "x" * 3000, "headers": headers, "properties": {}})
    client.lpush(keys.inlet(QUEUE, 0), raw)
    assert not admit(client, {QUEUE: K}, NOW, 2000)
    about, _, kept = client.rpop(keys.REFUSED).partition(b"\n")
    found = json.loads(about)
    assert (found["reason"], found["size"], kept) == ("too large", len(raw), raw.encode())
    assert found["head"] == raw[:1024]
    assert found["tail"].endswith('"headers": {"id": "a", "task": "cv.hsv"}, "properties": {}}')
