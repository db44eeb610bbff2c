"""Turns messages whose bodies cannot be decoded into dead letters.

Celery acknowledges such a message. Its job would seem to run until upkeep finds that it is lost.
"""

from typing import Any, NoReturn

from celery import Celery, bootsteps


class Undecodable(bootsteps.Step):  # type: ignore[misc]
    """Makes the consumer raise decoding errors. The channel refuses a message that raises one."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        consumer.on_decode_error = _raise


def _raise(_: Any, error: Exception) -> NoReturn:
    raise error


def install(app: Celery) -> None:
    """Have the workers of an app refuse messages that they cannot decode."""
    app.steps["consumer"].add(Undecodable)
