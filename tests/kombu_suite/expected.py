"""The tests of kombu's that fail on the workers' channel, each with its reason.

A test of this list that passes fails the run, as does one that fails and is not listed. The
producers' channel has no such list: all of kombu's tests pass on it.
"""

from collections.abc import Iterable

PREFIX = "The workers' channel reads no lists with a global_keyprefix."
TAIL = "kombu puts a requeued message at the tail. Ours returns to the head: it was due first."
GET = "A message that basic_get takes is not recorded, so it cannot be requeued."
BRPOP = "The tests set the clock of a BRPOP, and the workers' channel sends none."
PENDING = "The tests count on BRPOP's answers, or on an acknowledgement that waits for no take."
INDEX = "The tests read kombu's index of unacknowledged messages or its visibility timeout."


def _of(reason: str, group: str, tests: Iterable[str], variants: Iterable[str]) -> dict[str, str]:
    """Give one reason to tests of one class, each in some variants."""
    return {
        f"test_redis.py::{group}::{test}[{variant}]": reason
        for test in tests
        for variant in variants
    }


PLAIN, PREFIXED = "None", "connection1"
BOTH = (PLAIN, PREFIXED)

ON_WORKERS_CHANNEL: dict[str, str] = {
    "test_redis.py::test_event_loop_consumes_after_connection_reconnect[connection1-BRPOP]": PREFIX,
    **_of(
        PREFIX,
        "test_RedisBasicFunctionality",
        (
            "test_publish_consume",
            "test_simple_queue_publish_consume",
            "test_simple_buffer_publish_consume",
        ),
        (PREFIXED,),
    ),
    **_of(
        PREFIX,
        "test_RedisBaseExchangeTypes",
        ("test_direct", "test_direct_routing_keys", "test_topic"),
        (PREFIXED,),
    ),
    **_of(
        PREFIX,
        "test_RedisPriority",
        (
            "test_publish_consume",
            "test_simple_queue_publish_consume",
            "test_simple_buffer_publish_consume",
        ),
        (PREFIXED,),
    ),
    **_of(PREFIX, "test_RedisEventLoop", ("test_ack_from_another_thread",), (PREFIXED,)),
    **_of(
        PREFIX,
        "test_RedisQueueExpiration",
        (
            "test_expiration_gets_reset_on_get",
            "test_binding_table_kept_while_consumer_is_paused",
            "test_binding_table_kept_while_drain_events_has_prefetch_full",
            "test_binding_table_kept_while_a_callback_blocks",
        ),
        (PREFIXED,),
    ),
    **_of(TAIL, "test_RedisPriority", ("test_publish_requeue_consume",), BOTH),
    **_of(GET, "test_RedisMessage", ("test_requeue", "test_reject_requeue"), BOTH),
    **_of(GET, "test_RedisRestoreBindingLookupFailure", ("test_requeue_requeues_message",), BOTH),
    **_of(
        BRPOP,
        "test_RedisBrpopHealthCheck",
        (
            "test_live_connection_with_unread_reply_not_dropped",
            "test_half_open_connection_dropped_and_consumption_resumes",
            "test_half_open_connection_dropped_by_drain_events",
        ),
        BOTH,
    ),
    "test_redis_brpop_qos.py::test_hub_pauses_pending_brpop_until_ack[nil]": PENDING,
    "test_redis_brpop_qos.py::test_hub_pauses_pending_brpop_until_ack[message]": PENDING,
    "test_redis_brpop_qos.py::test_drain_events_resumes_pending_brpop_without_resending": PENDING,
    "test_redis_brpop_qos.py::test_pending_message_survives_cancel_or_close[cancel]": PENDING,
    **_of(
        INDEX,
        "test_RedisRestoreVisible",
        ("test_restore_visible_requeues_expired_unacked",),
        BOTH,
    ),
    **_of(
        INDEX,
        "test_RedisRestoreBindingLookupFailure",
        (
            "test_failed_requeue_keeps_message_unacked",
            "test_failed_restore_visible_keeps_message_unacked",
        ),
        BOTH,
    ),
    **_of(
        INDEX,
        "test_RedisRestoreAtShutdown",
        ("test_unacked_message_requeued_on_connection_close",),
        BOTH,
    ),
}
