"""Run benchmarks one after the other, and print a table for each."""

import argparse
from collections.abc import Sequence
from importlib import import_module

BENCHMARKS = {
    "poisson": "Poisson blending, compared with fpie's plain iteration and OpenCV",
    "system": "time of an image in the whole system, compared with a bare loop",
    "thumbnails": "time of a thumbnail, compared with libvips, Pillow and OpenCV",
    "pipelines": "time of a pipeline, compared with a chain of jobs",
    "codec": "processor time to decode, convert and encode an image, compared with OpenCV",
    "enqueue": "files per second of `agewell enqueue`, compared with a bare loop",
    "memory": "memory of a cv worker over 5,000 mixed jobs",
    "core": "cost of the queue in Redis, with a million waiting jobs",
    "due_dates": "jobs done in time at a load of 0.9, with due dates and without",
    "consume": "no-op jobs per second of a worker, compared with stock Celery",
    "attention": "one pass of the colorizer's network, with and without its speed-ups",
    "redis_limits": "jobs per second of one Redis, and bytes of a waiting job",
    "models": "batching across jobs, and the queue's cost for models",
    "predicted_waits": "predicted and measured waits of real jobs, at loads 0.8 and 1.2",
    "mixed_load": "how CV and infer workers share the cores of a machine",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the named benchmarks, or all, one after the other, so that they do not share cores."""
    for name in _parser().parse_args(arguments).names or BENCHMARKS:
        import_module(f"benchmarks.{name}").main()


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, BENCHMARKS))
    lines = [f"  {name:<{width}}  {text}" for name, text in BENCHMARKS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__} The same figures go to bench-output/NAME.json.",
        epilog="\n".join(["benchmarks:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "names", nargs="*", type=_name, metavar="NAME", help="a benchmark to run; default: all"
    )
    return parser


def _name(text: str) -> str:
    if text not in BENCHMARKS:
        known = ", ".join(BENCHMARKS)
        raise argparse.ArgumentTypeError(f"there is no benchmark {text!r}; choose from {known}")
    return text


if __name__ == "__main__":
    main()
