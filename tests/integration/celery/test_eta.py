"""The time that a job is sent for, as Celery's own worker would read it."""

from datetime import UTC, datetime, timedelta
from datetime import timezone as zone

import celery
import pytest
from celery.utils.time import maybe_iso8601, maybe_make_aware, timezone

from agewell.shared.celery.app import broker_url
from agewell.shared.redis import keys
from tests.support.consuming import worker_app

NOON = datetime(2040, 6, 1, 12, 0, 0, 250_000)
ETAS = [
    NOON.isoformat(),  # without a zone: UTC
    NOON.isoformat() + "Z",
    NOON.isoformat() + "+05:30",
    NOON.isoformat() + "-08:00",
    NOON.replace(microsecond=0).isoformat(" ") + "+0200",
    "2040-02-29T23:59:59.999999+00:00",
    "2040-06-01",
    "2040-06-01T12:00",
]


@pytest.fixture
def app(settings, client):
    return worker_app(settings)


@pytest.fixture
def plain(settings, client):
    """A program that knows nothing of agewell."""
    url = broker_url(settings.redis_url.get_secret_value())
    with celery.Celery("plain", broker=url, set_as_current=False) as made:
        yield made


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("ours", [True, False])
def test_eta_is_read_as_celery_reads_it(app, plain, client, eta, ours):
    sender = app if ours else plain
    sender.send_task("cv.hsv", [{}], queue="cv", eta=eta)
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("cv")
    expected = celery_s_time(app, eta)
    if message is None:
        [(_, due_at)] = client.zrange(keys.scheduled("cv"), 0, -1, withscores=True)
        assert due_at == pytest.approx(expected, abs=1e-3)
    else:  # nothing of ours reads it: Celery's worker holds the job until its time
        assert celery_s_time(app, message.headers["eta"]) == expected


def celery_s_time(app, eta):
    """When Celery's own worker would start it, by `celery.worker.request` and `strategy`."""
    return timezone.to_system(maybe_make_aware(maybe_iso8601(eta), app.conf.timezone)).timestamp()


@pytest.mark.parametrize("hours", [0, 5, -8])
def test_eta_in_the_past_of_any_zone_starts_at_once(app, plain, client, hours):
    here = zone(timedelta(hours=hours))
    eta = (datetime.now(UTC) - timedelta(seconds=1)).astimezone(here)
    sent = [
        each.send_task("cv.hsv", [{}], queue="cv", eta=eta, priority=5).id for each in (app, plain)
    ]
    with app.connection_for_read() as connection:
        taken = [connection.default_channel.basic_get("cv") for _ in sent]
        assert {each.headers["id"] for each in taken} == set(sent)
        assert [each.headers["eta"] for each in taken] == [None, None]
