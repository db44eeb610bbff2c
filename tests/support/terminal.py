"""A command on a terminal of some width, as a user has it."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping

from tests.support.stack import COMMAND


def _hear_ctrl_c() -> None:
    """Undo that a shell has programs in the background ignore Ctrl-C, these tests among them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def on_terminal(
    *args: object, columns: int, env: Mapping[str, str], until: str | None = None
) -> list[str]:
    """Run a command. Returns the lines that its terminal shows, without colours.

    It ends by itself, or by Ctrl-C once it has written `until`.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    plain = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [str(COMMAND), *map(str, args)],
        env=plain | {"TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=_hear_ctrl_c,
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
            if until is not None and until.encode() in said:
                process.send_signal(signal.SIGINT)
                until = None
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(ours)
        process.wait(60)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    return text.replace("\r\n", "\n").splitlines()
