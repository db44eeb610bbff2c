"""Parts of a stack that are away for a while, and a Redis that forgets everything."""

import itertools
import time

from agewell.producer.receiving.collect import Collector
from agewell.producer.sending.files import read_image
from agewell.producer.session import make_session
from agewell.shared.protocol.built_in_jobs import HsvItem, HsvJob
from agewell.shared.protocol.tasks import Queue
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.redis.clock import redis_now
from tests.chaos.kills import Strike, kill, process
from tests.chaos.scene import ALL_END_S, Scene, plain_celery
from tests.support.stack import until

DUE_S = 4.0
SCHEDULED = 40
SCHEDULED_S = 30.0
TOLD_S = 60.0
UPKEEP = Queue.UPKEEP.value
CV = Queue.CV.value


def kill_while_jobs_are_scheduled(scene: Scene) -> list[str]:
    """kill -9 of the worker while jobs are due later: none of them moves, and none starts early."""
    due_before = redis_now(scene.client) + DUE_S
    ids = _schedule(scene)
    until(lambda: _scheduled(scene).keys() >= set(ids), DUE_S, lambda: "all are scheduled")
    before = _scheduled(scene)
    assert all(before[each] >= due_before for each in ids)
    kill("-Q cv")(scene)
    after = _scheduled(scene)
    now = redis_now(scene.client)
    assert all(due_at <= now or after[each] == due_at for each, due_at in before.items())
    last = max(before[each] for each in ids)
    until(lambda: redis_now(scene.client) > last, SCHEDULED_S, lambda: "all are due")
    until(lambda: not set(scene.unended()) & set(ids), ALL_END_S, lambda: "all have ended")
    for each in ids:
        [started_at] = scene.record(each, "started_at")
        assert float(started_at) >= before[each]
    return []


def _schedule(scene: Scene) -> list[str]:
    """Send jobs that are due later, by agewell's app and by a plain Celery program in turn."""
    settings = scene.session.settings
    most = settings.max_file_bytes
    images = [(photo.name, *read_image(photo, most)) for photo in scene.photos]
    documents = [
        HsvJob(items=[HsvItem(image=ref)]).model_dump(mode="json", exclude_none=True)
        for ref in scene.session.blobs.put(images)
    ]
    apps = itertools.cycle([make_session(settings).app, plain_celery(scene.server.url)])
    ids = []
    for number in range(SCHEDULED):
        args = [documents[number % len(documents)]]
        sent = next(apps).send_task("cv.hsv", args=args, queue=CV, countdown=DUE_S)
        ids.append(sent.id)
        scene.acknowledged.append(sent.id)
    return ids


def _scheduled(scene: Scene) -> dict[str, float]:
    """The jobs that wait for their time, and when that comes."""
    found = scene.client.zrange(keys.scheduled(CV), 0, -1, withscores=True)
    return {place.decode()[-len(_AN_ID) :]: due_at for place, due_at in found}


_AN_ID = "00000000-0000-0000-0000-000000000000"


def unmount_store(seconds: float) -> Strike:
    """The directory of the blob store is empty for a while, as when a disk is unmounted."""

    def strike(scene: Scene) -> None:
        aside = scene.store.with_name("aside")
        scene.store.rename(aside)
        scene.store.mkdir()
        try:
            time.sleep(seconds)
            assert list(scene.store.iterdir()) == []
        finally:
            scene.store.rmdir()
            aside.rename(scene.store)

    return strike


def leave_without_upkeep(seconds: float) -> Strike:
    """SIGSTOP of upkeep, then of beat too: nothing piles up meanwhile, and jobs go on."""

    def strike(scene: Scene) -> None:
        upkeep, beat = process(scene, "-Q upkeep"), process(scene, "beat")
        ended = len(scene.acknowledged) - len(scene.unended())
        upkeep.suspend()
        try:
            time.sleep(seconds / 2)
            beat.suspend()
            time.sleep(seconds / 2)
            waiting = scene.client.zcard(keys.order(UPKEEP))
            assert 0 < waiting <= len(scene.session.app.conf.beat_schedule), (
                f"{waiting} messages wait for upkeep"
            )
            assert not scene.client.exists(*keys.inlets(UPKEEP))
            assert len(scene.acknowledged) - len(scene.unended()) > ended
        finally:
            upkeep.resume()
            beat.resume()
        now = redis_now(scene.client)
        until(lambda: _last_tick(scene) > now, SCHEDULED_S, lambda: "upkeep works again")

    return strike


def _last_tick(scene: Scene) -> float:
    return float(scene.client.hget(keys.aging(CV), "last_run_at") or 0)


def empty_redis(scene: Scene) -> None:
    """FLUSHALL: who waits for a job is told that it is lost, and later jobs run as ever.

    A job that runs at that moment ends with its result, or with the error that its image is gone.
    """
    settings = scene.session.settings
    session = make_session(settings)
    collector = Collector(session.app, session.client, settings)
    with scene.sending:
        waited_for = scene.unended()
        scene.client.flushall()
    collector.known.add(waited_for)
    outcomes = list(collector.outcomes(waited_for, TOLD_S))
    not_done = [each for each in outcomes if each.state is not State.DONE]
    errors = {error.code for each in not_done for error in each.errors}
    assert "LostJobError" in errors
    assert errors <= {"LostJobError", "BlobMissingError"}, errors
    scene.forget(each.job_id for each in not_done)
