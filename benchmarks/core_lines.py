"""Count the queue core's lines of code, without blank lines, comments and docstrings."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = (
    "shared/queue/*.py",
    "shared/queue/*.lua",
    "shared/redis/scripts.py",
    "shared/celery/result_backend.py",
    "shared/celery/transport.py",
    "workers/consuming/*.py",
    "workers/jobs/delivery.py",
    "workers/jobs/delivery_info.py",
    "workers/jobs/dead_letter.py",
    "workers/jobs/retries.py",
    "workers/process/heartbeat.py",
    "workers/maintenance/*.py",
)


def core_lines(root: Path = ROOT) -> int:
    """Count the lines of the core below a repository's root."""
    paths = [path for pattern in CORE for path in root.glob(pattern)]
    return sum(code_lines(path.name, path.read_text()) for path in paths)


def code_lines(name: str, text: str) -> int:
    """Count the lines of code in one file, Python or Lua."""
    lines = dict(enumerate(text.splitlines(), 1))
    if name.endswith(".py"):
        for number in _docstrings(text):
            lines.pop(number, None)
    comment = "#" if name.endswith(".py") else "--"
    return sum(not line.strip().startswith(comment) for line in lines.values() if line.strip())


def _docstrings(text: str) -> set[int]:
    """Return the numbers of lines that are docstrings, also of attributes."""
    return {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
