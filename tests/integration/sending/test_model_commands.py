"""Commands to models and the replies of infer workers, on a real Redis."""

from agewell.producer.sending import model_commands
from agewell.producer.sending.model_commands import Models
from agewell.producer.session import make_session
from agewell.shared.model_commands import Command, ModelControl, Reply, WorkerStatus


def test_the_reply_of_a_worker_that_was_taken_for_gone_is_passed_over(
    settings, client, monkeypatch
):
    monkeypatch.setattr(model_commands, "LOOK_S", 0.1)
    control = ModelControl(client)
    for name in ("a", "b"):
        control.announce(WorkerStatus(run=f"run-{name}", worker=name))
    command = Command(action="load", name="m")
    replies = Models(make_session(settings)).call(command, 60)
    control.withdraw("run-b")
    gone = next(replies)
    assert (gone.worker, gone.error.code) == ("b", "NoReply")
    for name in ("b", "a"):
        control.reply(command, Reply(worker=name, version="1"))
    assert list(replies) == [Reply(worker="a", version="1")]
