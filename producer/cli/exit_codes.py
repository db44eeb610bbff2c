"""How a command ends: its exit code, and one line of what went wrong."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from enum import IntEnum

import redis
from kombu.exceptions import OperationalError
from pydantic_core import PydanticSerializationError

from agewell.producer.cli import terminal
from agewell.shared.errors import (
    AgewellError,
    BlobStoreError,
    BrokerFullError,
    BrokerUnreachableError,
    ParameterError,
    QueueFullError,
    ScriptsMissingError,
    SettingsError,
)


class ExitCode(IntEnum):
    """What the command's exit status says."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    FULL = 4
    INTERRUPTED = 128 + signal.SIGINT


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn errors into one line on stderr and an exit code; never a traceback."""
    try:
        yield
    except (BrokerFullError, QueueFullError) as error:
        hint = "What was sent before is safe. Send the rest later, or use --block to wait."
        leave(ExitCode.FULL, str(error), hint=hint)
    except BrokerUnreachableError as error:
        leave(ExitCode.UNREACHABLE, str(error), hint="Is it running? `agewell up` starts one here.")
    except ScriptsMissingError as error:
        leave(ExitCode.UNREACHABLE, str(error), hint="With --block, jobs are sent once it has.")
    except BlobStoreError as error:
        hint = "What was sent before is safe. Is AGEWELL_BLOB_URL right, mounted, and not full?"
        leave(ExitCode.UNREACHABLE, str(error), hint=hint)
    except (redis.RedisError, OperationalError) as error:
        leave(ExitCode.UNREACHABLE, f"Redis: {error}", hint="Is it running and not full?")
    except (SettingsError, ParameterError) as error:
        leave(ExitCode.USAGE, str(error))
    except (UnicodeEncodeError, PydanticSerializationError):
        # Linux hands bytes of any kind over as arguments. Files may have such names, but no id has.
        leave(ExitCode.USAGE, "an id, a name or a text among the arguments is not UTF-8")
    except AgewellError as error:
        leave(ExitCode.SOME_FAILED, str(error))
    except KeyboardInterrupt:
        leave(ExitCode.INTERRUPTED, "interrupted; jobs already sent go on")


def leave(code: ExitCode, message: str, hint: str = "") -> None:
    """Say why on stderr, and exit."""
    terminal.print_error(message)
    if hint:
        terminal.print_note(hint)
    sys.exit(code)
