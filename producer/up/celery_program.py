"""Celery's command for a directory that may hold anything: `python -m` this module.

Celery puts the current directory in front of all packages while it imports an app. A file
`redis.py` in a user's project would then replace the package. Celery leaves the path alone if the
directory is on it already, so it is put at its end. Modules of the user's own are found there.

Celery also imports the commands that other packages add to it, such as Flower with its web server.
A worker and beat need none of them, and start a third faster without.
"""

import os
import sys
from importlib import metadata
from typing import Any

from celery.__main__ import main

_all_entry_points = metadata.entry_points


def _entry_points(**wanted: Any) -> Any:
    return () if wanted.get("group") == "celery.commands" else _all_entry_points(**wanted)


if __name__ == "__main__":
    metadata.entry_points = _entry_points
    sys.path.append(os.getcwd())  # noqa: PTH109  as Celery compares it
    main()
