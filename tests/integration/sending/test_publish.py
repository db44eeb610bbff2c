"""Jobs are published with times that are times, and a lost connection is called by its name."""

import pytest
import redis

from agewell.producer.sending.publish import publish
from agewell.producer.session import make_session
from agewell.shared.errors import ParameterError


@pytest.mark.parametrize("name", ["due_s", "deadline_s"])
@pytest.mark.parametrize("given", ["5", "5m", -1, float("nan"), float("inf"), 1e12, [5]])
def test_a_time_that_is_none_is_refused_by_name(settings, client, name, given):
    with pytest.raises(ParameterError, match=f"{name} is .*; allowed: seconds, up to a hundred"):
        publish(make_session(settings), [], 5, **{"deadline_s": None, name: given})


def test_a_channel_that_kombu_has_closed_says_that_the_connection_is_lost(settings, client):
    app = make_session(settings).app
    with app.producer_pool.acquire(block=True) as producer:
        channel = producer.channel
        channel.close()
        with pytest.raises(redis.ConnectionError, match="the channel was closed"):
            channel.create_publish_batch(10)
