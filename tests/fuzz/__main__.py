"""`python -m tests.fuzz`: the long form, 5,000 images, 5,000 messages, 1,000 hostile ones."""

import argparse
import sys

from agewell.shared.redis import keys
from tests.fuzz.run import Found, fuzz_images, fuzz_inlet, fuzz_messages
from tests.support.stack import started, state_directory


def main() -> int:
    """Run all three. The exit status is 1 if a process was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--hostile", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with state_directory() as folder, started(folder, LOG_LEVEL="ERROR") as stack:
        runs = {
            "images": lambda: fuzz_images(stack, args.images, args.seed),
            "messages": lambda: fuzz_messages(stack, args.messages, args.seed),
            "hostile messages": lambda: fuzz_inlet(stack, args.hostile, args.seed),
        }
        found = {what: _shown(what, run()) for what, run in runs.items()}
        print(f"dead letters: {stack.redis.zcard(keys.DEAD_LETTERS)}")
    return 1 if any(each.replaced for each in found.values()) else 0


def _shown(what: str, found: Found) -> Found:
    print(f"{found.sent} {what}, mutated: {dict(found.outcomes.most_common())}")
    print(f"  processes lost: {found.replaced}; slowest script: {found.slowest_script_ms:.1f} ms")
    print(f"  resident memory, MiB: {[round(each) for each in found.rss_mib]}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
