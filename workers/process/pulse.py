"""Notes in a file that a part of the stack does its work, for a health check that costs little.

A check that asks Redis has to import a client and read the settings: 0.3 s of processor time, ten
times more than all else that an idle stack does. So each process of the stack notes by itself how
long it counts as healthy, in the modification time of a file, and the check
(`agewell.workers.monitoring.health`) compares that time with the clock.
"""

import logging
import os
import time
from pathlib import Path

HEALTHY_FOR_S = 15.0
"""How long a part counts as healthy after it has noted that it works, in seconds."""

log = logging.getLogger(__name__)


def note_healthy(directory: Path | None, part: str, seconds: float = HEALTHY_FOR_S) -> None:
    """Count a part of the stack as healthy for some seconds.

    Args:
        directory: AGEWELL_HEALTH_DIR. None: nobody checks, and nothing is noted.
        part: cv, infer, upkeep, beat, flower or metrics, the name of the file.
        seconds: until when the part has to call this again.
    """
    if directory is None:
        return
    until = time.time() + seconds
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / part
        path.touch()
        os.utime(path, (until, until))
    except OSError as error:
        log.warning("health checks will fail, because %s cannot be written: %s", directory, error)
