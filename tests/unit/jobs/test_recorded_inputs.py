"""A job's inputs, packed for its record: small, and whole again on its page."""

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.workers.jobs.job_classes import parse_job
from agewell.workers.jobs.recorded_inputs import Inputs, inputs_of, pack, unpack

SEEDED = random.Random(7)
COMPACT_BYTES = 64
"""hash-max-listpack-value in every redis.conf."""


def sha256() -> str:
    return SEEDED.randbytes(32).hex()


def image(name="IMG_2024.jpg", uri="store:{}", size=4_182_000):
    digest = sha256()
    about = {"sha256": digest, "size_bytes": size, "media_type": "image/jpeg", "name": name}
    return {"uri": uri.format(digest)} | about


def hsv(*images, **given):
    return parse_job({"op": "hsv", "items": [{"image": each} for each in images], **given})


def test_one_image_fits_into_a_value_that_redis_stores_compactly():
    for uri in ("store:{}", "redis:{}"):
        assert len(pack(inputs_of(hsv(image("bird.jpg", uri))))) <= COMPACT_BYTES


def test_each_further_image_takes_little_more_than_its_hash():
    sizes = [len(pack(inputs_of(hsv(*(image() for _ in range(n)))))) for n in (1, 8)]
    assert (sizes[1] - sizes[0]) / 7 < 32 + 20


def test_the_first_images_and_the_parameters_come_back():
    images = [image(), image("写真.jpg"), image("b.jpg", uri=f"store:{sha256()}+4096")]
    found = unpack(pack(inputs_of(hsv(*images, full_range=True))))
    assert found.items == [{"image": each} for each in images]
    assert found.given == {"output": {"format": "png"}, "full_range": True}


def test_of_many_images_the_first_eight_are_kept():
    images = [image(f"{number}.jpg") for number in range(20)]
    assert inputs_of(hsv(*images)).items == [{"image": each} for each in images[:8]]


def test_of_an_image_inside_the_message_only_the_name_is_kept():
    inside = image("inside.png") | {"uri": "data:image/png;base64,iVBORw0KGgo="}
    assert unpack(pack(inputs_of(hsv(inside)))).items == [{"image": {"name": "inside.png"}}]


texts = st.text(max_size=50) | st.sampled_from(["f" * 64, "\xff" + "a" * 64, "0" * 65, "\xff\xfe"])
documents = st.dictionaries(st.sampled_from(["name", "uri", "media_type"]), texts, max_size=3)


@given(
    st.lists(st.dictionaries(texts, documents, max_size=3), max_size=9),
    st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=5),
)
def test_anything_that_is_packed_comes_back(items, given_):
    items = [{r: d for r, d in each.items() if "uri" not in d} for each in items]
    assert unpack(pack(Inputs(items, given_))) == Inputs(items, given_)


@given(st.binary(max_size=300))
def test_other_bytes_are_no_inputs_and_no_error(junk):
    assert isinstance(unpack(junk), Inputs)


@pytest.mark.parametrize(
    "document", [[], {}, {"items": 3, "given": {}}, {"items": [3], "given": 1}]
)
def test_other_json_is_no_inputs(document):
    deflate = zlib.compressobj(wbits=-12)
    packed = deflate.compress(json.dumps(document).encode()) + deflate.flush()
    assert unpack(packed) == Inputs()


def test_message_that_unpacks_to_gigabytes_is_not_unpacked():
    deflate = zlib.compressobj(9, wbits=-12)
    bomb = deflate.compress(b" " * 2**26) + deflate.flush()
    assert unpack(bomb) == Inputs()
