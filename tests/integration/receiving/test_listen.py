"""Coroutines that wait for results, written by Celery's own backend to a real Redis."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import redis

from agewell.producer.async_client import AsyncClient
from agewell.producer.client import Client
from agewell.producer.receiving import listen
from agewell.producer.session import make_session
from agewell.producer.up.embedded_redis import embedded_redis
from agewell.shared.errors import BrokerUnreachableError
from agewell.shared.queue.record import State
from agewell.shared.redis import keys
from agewell.shared.settings import Settings

RESULT = {"op": "hsv", "items": [{"error": {"code": "MaskError", "message": "made up"}}]}


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(Client(make_session(settings))) as client:
        yield client


def store(settings: Settings, job_id: str) -> None:
    """Store a result as a worker does, by Celery's own code."""
    make_session(settings).app.backend.store_result(job_id, RESULT, "SUCCESS")


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


def all_heard(client: redis.Redis, ids: list[str]) -> bool:
    """True if somebody listens for each of these, and perhaps for earlier tests' results."""
    return all(heard for _, heard in client.pubsub_numsub(*map(keys.result, ids)))


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 120))


def test_a_thousand_wait_on_one_connection_and_no_thread(settings: Settings, client: redis.Redis):
    ids = [f"job-{number}" for number in range(1000)]

    async def test() -> None:
        async with opened(settings) as agewell:
            threads = threading.active_count()
            connections = len(client.client_list())
            waits = [asyncio.create_task(agewell.wait(each)) for each in ids]
            await until(lambda: all_heard(client, ids))
            assert threading.active_count() == threads
            assert len(client.client_list()) <= connections + 2  # one listens, one looks
            backend = make_session(settings).app.backend
            for each in ids:
                backend.store_result(each, RESULT, "SUCCESS")
            outcomes = await asyncio.gather(*waits)
        assert [outcome.job_id for outcome in outcomes] == ids
        assert {outcome.state for outcome in outcomes} == {State.DONE}
        assert outcomes[0].errors[0].code == "MaskError"

    run(test)


def test_result_from_before_the_wait_is_found(settings: Settings, client: redis.Redis):
    async def test() -> None:
        store(settings, "early")
        async with opened(settings) as agewell:
            assert (await agewell.wait("early", timeout_s=30)).state is State.DONE

    run(test)


def test_a_result_published_while_the_connection_was_cut_is_found(
    settings: Settings, client: redis.Redis
):
    async def test() -> None:
        async with opened(settings) as agewell:
            wait = asyncio.create_task(agewell.wait("cut"))
            await until(lambda: all_heard(client, ["cut"]))
            with client.pipeline() as pipe:  # one transaction: nobody listens when it comes
                pipe.client_kill_filter(_type="pubsub")
                raw = make_session(settings).app.backend
                meta = raw.encode_result(RESULT, "SUCCESS")
                document = raw.encode({"status": "SUCCESS", "result": meta})
                pipe.set("celery-task-meta-cut", document)
                pipe.execute()
            assert (await wait).state is State.DONE

    run(test)


def test_two_may_wait_for_the_same_job(settings: Settings, client: redis.Redis):
    async def test() -> None:
        async with opened(settings) as agewell:
            both = [asyncio.create_task(agewell.wait("same")) for _ in range(2)]
            await until(lambda: all_heard(client, ["same"]))
            store(settings, "same")
            first, second = await asyncio.gather(*both)
            assert first == second

    run(test)


def test_wait_given_up_before_its_subscription_leaves_none(settings: Settings, client: redis.Redis):
    async def test() -> None:
        async with opened(settings) as agewell:
            others = [asyncio.create_task(agewell.wait("first"))]
            for _ in range(2):
                await asyncio.sleep(0)  # until its connection is being opened
            with pytest.raises(TimeoutError):
                await agewell.wait("given-up", timeout_s=0)
            others.append(asyncio.create_task(agewell.wait("last")))
            await until(lambda: all_heard(client, ["first", "last"]))
            assert not all_heard(client, ["given-up"])
            for each in ("first", "last"):
                store(settings, each)
            await asyncio.gather(*others)

    run(test)


def test_who_gives_up_is_forgotten(settings: Settings, client: redis.Redis):
    async def test() -> None:
        async with opened(settings) as agewell:
            other = asyncio.create_task(agewell.wait("other"))
            with pytest.raises(TimeoutError):
                await agewell.wait("slow", timeout_s=0.2)
            await until(lambda: not all_heard(client, ["slow"]))
            assert all_heard(client, ["other"])
            store(settings, "other")
            await other

    run(test)


def test_all_are_told_when_redis_stays_away_and_may_wait_again(
    settings: Settings, short_path, monkeypatch
):
    monkeypatch.setattr(listen, "AWAY_MAX_S", 0.5)

    async def test() -> None:
        with embedded_redis(short_path / "own") as server:
            own = settings.model_copy(
                update={"redis_url": Settings(redis_url=server.url).redis_url}
            )
            client = redis.Redis.from_url(server.url)
            async with opened(own) as agewell:
                waits = [asyncio.create_task(agewell.wait(each)) for each in ("a", "b")]
                await until(lambda: all_heard(client, ["a", "b"]))
                server.process.kill()
                server.process.wait()
                found = await asyncio.gather(*waits, return_exceptions=True)
                assert {type(each) for each in found} == {BrokerUnreachableError}
                await asyncio.to_thread(server.restart_if_dead)
                again = asyncio.create_task(agewell.wait("a"))
                await asyncio.to_thread(partial(store, own, "a"))
                assert (await again).state is State.DONE
            client.close()

    run(test)


def test_impossible_id_hinders_no_other_waiter(settings: Settings, client: redis.Redis):
    async def test() -> None:
        async with opened(settings) as agewell:
            other = asyncio.create_task(agewell.wait("other"))
            await until(lambda: all_heard(client, ["other"]))
            with pytest.raises(UnicodeEncodeError):
                await agewell.wait("\udcff")
            store(settings, "other")
            assert (await other).state is State.DONE

    run(test)
