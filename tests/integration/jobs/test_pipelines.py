"""Pipelines in Redis: the blobs of their steps, and the record for their page."""

import pytest

from agewell import PipelineItem, PipelineJob
from agewell.jobs import FlipStep, WatermarkStep
from agewell.producer.sending.publish import publish
from agewell.producer.session import make_session
from agewell.shared.queue.request import request_of
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from agewell.workers.jobs.chaining import job_of
from agewell.workers.jobs.job_classes import parse_job
from agewell.workers.jobs.recorded_inputs import inputs_of, pack, unpack
from agewell.workers.maintenance.keep_blobs import keep_blobs_of_waiting_jobs

TTL_S = 1000
WAITED_S = 600


@pytest.fixture
def session(settings, client):
    return make_session(settings.model_copy(update={"blob_ttl_s": TTL_S}))


@pytest.fixture
def refs(session):
    names = ("photo.png", "logo.png", "other.png")
    return session.blobs.put([(name, "image/png", name.encode()) for name in names])


def job_with(photo, *logos):
    steps = (FlipStep(), *(WatermarkStep(image=each) for each in logos))
    return PipelineJob(items=(PipelineItem(image=photo),), steps=steps)


def test_blobs_of_the_steps_of_a_waiting_job_are_kept(session, client, refs, monkeypatch):
    photo, logo, other = refs
    now = session.now()
    with monkeypatch.context() as earlier:
        earlier.setattr(type(session), "now", lambda _: now - WAITED_S)
        publish(session, [job_with(photo, logo)], 5)
    for ref in refs:
        client.expire(keys.blob(ref.sha256), TTL_S - WAITED_S)
    kept = keep_blobs_of_waiting_jobs(client, session.blobs, TTL_S, redis_now(client))
    assert kept == 2
    left = [client.ttl(keys.blob(ref.sha256)) for ref in (photo, logo, other)]
    assert left[0] > WAITED_S
    assert left[1] > WAITED_S
    assert left[2] <= TTL_S - WAITED_S


def test_page_of_a_waiting_job_gets_the_images_of_each_step(session, client, refs):
    photo, logo, other = refs
    [sent] = publish(session, [job_with(photo, logo, other)], 5)
    request = request_of(client.hget(keys.job(sent.job_id), "message"))
    job, problem = job_of(request.args)
    assert problem == ""
    inputs = unpack(pack(inputs_of(job)))
    assert {role: each["name"] for role, each in inputs.items[0].items()} == {
        "image": "photo.png",
        "step_2_image": "logo.png",
        "step_3_image": "other.png",
    }
    assert inputs.given["steps"].startswith("flip direction=horizontal | watermark ")
    ran = parse_job(request.args[0])
    assert inputs_of(ran) == inputs_of(job)


STRANGE = {
    "no list": "flip",
    "no objects": ["flip", None, 5],
    "no op": [{"width": 5}],
    "an image that is none": [{"op": "watermark", "image": {"uri": 5}}],
    "half an image": [{"op": "watermark", "image": {"uri": "data:"}}],
    "a role that is none": [{"op": "watermark", "x" * 10_000: {"uri": "data:"}}],
    "a long name": [{"op": "x" * 100_000}],
    "many": [{"op": "flip"}] * 1000,
    "deep": [{"op": "flip", "x": [[[[[[[[[["x"]]]]]]]]]]}],
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("op", ["pipeline", "hsv"])
def test_page_of_a_job_with_strange_steps_can_be_made(session, refs, name, op):
    image = refs[0].model_dump(mode="json")
    document = {"op": op, "items": [{"image": image}], "steps": STRANGE[name]}
    job, problem = job_of([document])
    assert problem == ""
    packed = pack(inputs_of(job))
    assert len(packed) < 2000
    assert unpack(packed).items[0] == {"image": image}


def test_page_of_a_job_with_a_field_that_is_no_image_can_be_made(refs):
    image = refs[0].model_dump(mode="json")
    for strange in ({"uri": 5}, {"uri": "data:"}, {"uri": None, "sha256": 5}):
        job, _ = job_of([{"op": "hsv", "items": [{"image": image}], "reference": strange}])
        assert unpack(pack(inputs_of(job))).items == [{"image": image}]
    job, _ = job_of([{"op": "hsv", "items": [{"image": image}], "parameters": "many"}])
    assert unpack(pack(inputs_of(job))).given["parameters"] == "many"


def test_image_inside_a_step_is_recorded_by_its_name_only(refs):
    inside = refs[1].model_copy(update={"uri": "data:image/png;base64,eHh4"})
    job = job_with(refs[0], inside)
    found = unpack(pack(inputs_of(parse_job(job.model_dump(mode="json", exclude_none=True)))))
    assert found.items[0]["step_2_image"] == {"name": "logo.png"}
