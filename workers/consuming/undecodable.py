"""Messages whose bodies cannot be read become dead letters.

Celery acknowledges them. Their jobs would seem to run until they were found to be nobody's.
"""

from typing import Any, NoReturn

from celery import Celery, bootsteps


class Undecodable(bootsteps.Step):  # type: ignore[misc]
    """Has the consumer raise such an error: the channel refuses a message that raises one."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        consumer.on_decode_error = _raise


def _raise(_: Any, error: Exception) -> NoReturn:
    raise error


def install(app: Celery) -> None:
    """Have the workers of an app refuse such messages."""
    app.steps["consumer"].add(Undecodable)
