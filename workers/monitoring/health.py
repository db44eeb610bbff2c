"""Health check of a container: `python -m agewell.workers.monitoring.health cv`.

It checks that a process does its work, not only that it exists. A worker is healthy if its main
loop beats and reaches Redis, beat if the sweeps that it sends have run, Flower if its main loop
runs, and the exporter if it reaches Redis. Each notes that in a file
(`agewell.workers.process.pulse`).

Containers run the check every 30 seconds, so it imports neither the settings nor Redis's client:
that would take ten times longer than the check itself.
"""

import os
import sys
import time
from pathlib import Path

PARTS = ("cv", "infer", "upkeep", "beat", "flower", "metrics")
USAGE = 2
"""Exit status if the check itself was called wrongly."""


def fault_of(part: str, directory: Path) -> str | None:
    """Return why a part is unhealthy, or None if it is healthy."""
    try:
        silent_s = time.time() - (directory / part).stat().st_mtime
    except OSError:
        return f"it has not started, or cannot write to {directory}"
    return None if silent_s <= 0 else f"it should have shown that it works {silent_s:.0f} s ago"


def main(arguments: list[str]) -> int:
    """Check one part and return the exit status: 0 if it is healthy, 1 if not, 2 on bad usage."""
    directory = os.environ.get("AGEWELL_HEALTH_DIR")
    if len(arguments) != 1 or arguments[0] not in PARTS:
        sys.stderr.write(f"usage: python -m agewell.workers.monitoring.health {'|'.join(PARTS)}\n")
        return USAGE
    if not directory:
        sys.stderr.write(
            "error: AGEWELL_HEALTH_DIR is not set. Set it to the same directory here and for the "
            f"process that runs {arguments[0]}\n"
        )
        return USAGE
    [part] = arguments
    fault = fault_of(part, Path(directory))
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {part}: {fault or 'healthy'}\n")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
