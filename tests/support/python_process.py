"""Python programs that a test runs in a separate process."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def run_python(
    program: str, folder: Path, env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run the text of a program to its end, in a folder."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
