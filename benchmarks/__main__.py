"""`python -m benchmarks [NAME...]`: run all, or those named."""

import sys
from importlib import import_module

NAMES = (
    "poisson",
    "system",
    "enqueue",
    "memory",
    "core",
    "consume",
    "attention",
    "redis_limits",
    "models",
)


def main() -> None:
    """Run them one after the other: they must not share the cores."""
    for name in sys.argv[1:] or NAMES:
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
