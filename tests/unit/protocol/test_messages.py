import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agewell.shared.errors import BadJobError
from agewell.shared.protocol.built_in_jobs import HsvJob
from agewell.shared.protocol.messages import MAX_ITEMS
from agewell.workers.jobs.job_classes import parse_job

REF = {
    "uri": "data:image/png;base64," + base64.b64encode(b"x").decode(),
    "sha256": hashlib.sha256(b"x").hexdigest(),
    "size_bytes": 1,
    "media_type": "image/png",
}
HSV = {"schema_version": 1, "op": "hsv", "items": [{"image": REF}]}
BLEND = {"op": "alpha_blend", "items": [{"foreground": REF, "background": REF}]}
POISSON = {
    "op": "poisson_blend",
    "items": [{"source": REF, "mask": REF, "destination": REF}],
}


def test_a_job_survives_its_journey_as_json():
    job = parse_job(HSV)
    assert parse_job(job.model_dump(mode="json")) == job
    assert HsvJob.model_validate(job.model_dump()).model_dump() == job.model_dump()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (HSV | {"op": "nonesuch"}, "'nonesuch'"),
        (HSV | {"schema_version": 2}, "schema_version is 2; this worker reads 1"),
        (HSV | {"schema_version": "one"}, "schema_version is 'one'"),
        (HSV | {"surprise": 1}, "surprise"),
        (HSV | {"items": []}, "at least 1"),
        (HSV | {"items": [{"image": REF}] * (MAX_ITEMS + 1)}, "at most 64"),
        (HSV | {"items": [{"image": REF | {"sha256": "abc"}}]}, "sha256"),
        (HSV | {"items": [{"image": REF | {"media_type": "text/html"}}]}, "media_type"),
        (HSV | {"items": [{"image": REF | {"uri": "x" * 100_000}}]}, "uri"),
        (HSV | {"output": {"format": "gif"}}, "output"),
        (BLEND | {"alpha": 1.5}, "alpha"),
        (BLEND | {"alpha": -0.1}, "alpha"),
        (BLEND | {"alpha": float("nan")}, "alpha"),
        (BLEND | {"offset": [1]}, "offset"),
        (POISSON | {"gradient": "mean"}, "gradient"),
        ({}, "op"),
        ([], "the message"),
        ("hello", "the message"),
        (None, "the message"),
        (17, "the message"),
    ],
)
def test_malformed_job_is_refused_with_place_and_reason(document, words):
    with pytest.raises(BadJobError, match=r"^not a valid job: ") as caught:
        parse_job(document)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_job_or_refused_and_nothing_else(document):
    with pytest.raises(BadJobError):
        parse_job(document)


@given(field=st.sampled_from(["op", "items", "full_range", "output", "schema_version"]), value=JSON)
def test_a_job_with_one_odd_field_is_read_or_refused_and_nothing_else(field, value):
    try:
        parse_job(HSV | {field: value})
    except BadJobError:
        return
