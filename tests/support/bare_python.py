"""A virtual environment with celery[redis] and nothing else, made without a network."""

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def needed_by(requirement: str) -> set[str]:
    """The distributions that pip would install for a requirement, with all their requirements."""
    found: set[str] = set()
    pending = [Requirement(requirement)]
    while pending:
        each = pending.pop()
        extras = each.extras or {""}
        for text in distribution(each.name).requires or []:
            below = Requirement(text)
            if any(not below.marker or below.marker.evaluate({"extra": x}) for x in extras | {""}):
                pending += [below] if below.name not in found else []
        found.add(each.name)
    return found


def make(folder: Path, requirement: str = "celery[redis]") -> Path:
    """Make the environment from the packages of this one. Returns the path of its python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    relative = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    site_packages = folder / relative
    for name in needed_by(requirement):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}:
            link = site_packages / top
            if not link.exists() and top != "__pycache__":
                link.symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


def environment() -> dict[str, str]:
    """Variables for a program in it: none that could let it see this project."""
    return {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
