"""Exit codes of commands, and the line on stderr that explains an error."""

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
    """Exit codes of all commands."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    FULL = 4
    INTERRUPTED = 128 + signal.SIGINT


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Turn errors into one line on stderr, a hint and an exit code, without a traceback."""
    try:
        yield
    except (BrokerFullError, QueueFullError) as error:
        hint = "Jobs sent before are safe. Send the rest later, or use --block to wait for room."
        leave(ExitCode.FULL, str(error), hint=hint)
    except BrokerUnreachableError as error:
        leave(ExitCode.UNREACHABLE, str(error), hint="Is it running? `agewell up` starts one here.")
    except ScriptsMissingError as error:
        leave(
            ExitCode.UNREACHABLE,
            str(error),
            hint="Start a worker of this version, or use --block to wait for one that loads them.",
        )
    except BlobStoreError as error:
        hint = "Jobs sent before are safe. Is AGEWELL_BLOB_URL right, mounted, and not full?"
        leave(ExitCode.UNREACHABLE, str(error), hint=hint)
    except (redis.RedisError, OperationalError) as error:
        leave(ExitCode.UNREACHABLE, f"Redis: {error}", hint="Is it running and not full?")
    except (SettingsError, ParameterError) as error:
        leave(ExitCode.USAGE, str(error))
    except (UnicodeEncodeError, PydanticSerializationError):
        # On Linux an argument may be any bytes. A file may have such a name, but no id has.
        leave(
            ExitCode.USAGE,
            "an id, a name or a text among the arguments is not UTF-8; check the command line",
        )
    except AgewellError as error:
        leave(ExitCode.SOME_FAILED, str(error))
    except KeyboardInterrupt:
        leave(ExitCode.INTERRUPTED, "interrupted; jobs already sent go on")


def leave(code: ExitCode, message: str, hint: str = "") -> None:
    """Print an error and a hint to stderr, and exit."""
    terminal.print_error(message)
    if hint:
        terminal.print_note(hint)
    sys.exit(code)
