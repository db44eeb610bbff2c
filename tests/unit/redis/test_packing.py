"""Commands as bytes, held against redis-py's own packer."""

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.connection import PythonRespSerializer

from agewell.shared.redis.packing import PACKER
from agewell.shared.redis.scripts import Prepared

THEIRS = PythonRespSerializer(6000, redis.Redis().get_encoder().encode)

arguments = st.lists(
    st.text() | st.binary() | st.integers() | st.floats() | st.binary().map(memoryview), max_size=20
)
names = st.sampled_from(["GET", "CONFIG GET", b"EVALSHA", b"CLIENT LIST"])


@given(names, arguments)
def test_a_command_has_the_bytes_that_redis_py_sends(name, args):
    assert b"".join(PACKER.pack(name, *args)) == b"".join(THEIRS.pack(name, *args))


@given(arguments, arguments)
def test_a_prepared_command_has_the_bytes_of_the_whole_one(beginning, more):
    prepared = Prepared(["GET", *beginning])
    assert prepared.command(*more) == ("GET", *beginning, *more)
    assert prepared.packed(*more) == b"".join(THEIRS.pack(*prepared.command(*more)))


@pytest.mark.parametrize("value", [None, True, pytest.param(object(), id="object"), [1]], ids=repr)
def test_bad_argument_is_refused_as_by_redis_py(value):
    for packer in (PACKER, THEIRS):
        with pytest.raises(redis.DataError):
            packer.pack("SET", "key", value)
