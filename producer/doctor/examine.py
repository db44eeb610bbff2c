"""Runs all checks of `agewell doctor`."""

import time
from collections.abc import Iterator

from agewell.producer.doctor.finding import Finding, problem
from agewell.producer.doctor.messages import check_messages
from agewell.producer.doctor.models import check_models, check_served_models
from agewell.producer.doctor.operations import check_operations
from agewell.producer.doctor.redis import Clock, answers, check_redis
from agewell.producer.doctor.stack import check_blobs, check_dead_letters, check_gpu, check_workers
from agewell.producer.session import make_session
from agewell.shared.errors import BrokerUnreachableError
from agewell.shared.settings import Settings
from agewell.shared.state_dir import locate


def examine(settings: Settings, clock: Clock = time.time) -> Iterator[Finding]:
    """Check every part, and yield the findings. If Redis does not answer, the rest is left out.

    Args:
        settings: the settings, as loaded.
        clock: this machine's clock, Unix time in seconds.
    """
    yield check_gpu()
    yield check_models(settings.model_dirs)
    try:
        session = make_session(locate(settings))
    except BrokerUnreachableError as error:
        yield problem("redis", f"none is known: {error.reason}", "start it: `agewell up`")
        return
    yield from check_redis(session.settings, session.client, clock)
    if answers(session.client):
        yield check_blobs(session)
        yield check_messages(session)
        yield check_dead_letters(session)
        yield check_served_models(session)
        yield check_operations(session)
        yield from check_workers(session)
