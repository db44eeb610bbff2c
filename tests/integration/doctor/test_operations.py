"""doctor's check of operations: plug-ins that failed, and sets that differ between workers."""

from types import SimpleNamespace

from agewell.producer.doctor.finding import Verdict
from agewell.producer.doctor.messages import check_messages
from agewell.producer.doctor.operations import check_operations
from agewell.shared.celery.app import make_app
from agewell.shared.operation_offers import Offer, OfferFailure, OperationOffers
from agewell.shared.protocol.operations import ImageInput, OperationSchema


def check(client, *offers: Offer):
    for number, each in enumerate(offers):
        OperationOffers(client).publish(f"run-{number}", each)
    return check_operations(SimpleNamespace(client=client))


def test_workers_with_the_same_operations_are_fine(client):
    found = check(
        client, Offer(worker="cv@a", built_in=("hsv",)), Offer(worker="cv@b", built_in=("hsv",))
    )
    assert (found.verdict, found.found) == (
        Verdict.OK,
        "1, the same on each of 2 cv workers",
    )


def test_no_worker_is_no_problem_of_operations(client):
    assert check(client).verdict is Verdict.OK


def test_plug_ins_that_failed_are_named_with_their_workers(client):
    failure = OfferFailure(source="my.ops", reason="ImportError: no module")
    found = check(client, Offer(worker="cv@a"), Offer(worker="cv@b", failures=(failure,)))
    assert found.verdict is Verdict.PROBLEM
    assert found.found == "cv@b cannot use my.ops: ImportError: no module"
    assert "restart the worker" in found.do


def test_operations_that_only_some_workers_have_are_a_note(client):
    found = check(
        client,
        Offer(worker="cv@a", built_in=("hsv", "flip")),
        Offer(worker="cv@b", built_in=("hsv",)),
        Offer(worker="cv@c", built_in=("hsv", "flip")),
    )
    assert found.verdict is Verdict.NOTE
    assert found.found == "only on cv@a, cv@c of 3 cv workers: flip"


def schema(**properties: object) -> OperationSchema:
    return OperationSchema(
        name="sepia",
        command="sepia",
        summary="Tint it",
        inputs=(ImageInput(name="image"),),
        parameters={"type": "object", "properties": properties},
    )


def test_an_operation_of_two_versions_is_a_note(client):
    found = check(
        client,
        Offer(worker="cv@a", users=(schema(),)),
        Offer(worker="cv@b", users=(schema(strength={"type": "number"}),)),
    )
    assert found.verdict is Verdict.NOTE
    assert found.found == "sepia has other images or parameters on some cv workers"


def test_messages_of_any_operation_are_agewells(client, settings):
    app = make_app(settings)
    for task in ("cv.hsv", "cv.sepia", "cv.pipeline", "infer.run"):
        app.send_task(task, args=[{}], queue="cv")
    session = SimpleNamespace(client=client)
    assert check_messages(session).verdict is Verdict.OK
    app.send_task("somebody.else", args=[{}], queue="cv")
    assert "the task 'somebody.else'" in check_messages(session).found
