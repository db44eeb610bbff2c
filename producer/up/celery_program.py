"""Celery's command for a directory that may hold anything: `python -m` this module.

Celery puts the current directory in front of all packages while it imports an app. A file
`redis.py` in a user's project would then replace the package. Celery leaves the path alone if the
directory is on it already, so it is put at its end. Modules of the user's own are found there.
"""

import os
import sys

from celery.__main__ import main

if __name__ == "__main__":
    sys.path.append(os.getcwd())  # noqa: PTH109  as Celery compares it
    main()
