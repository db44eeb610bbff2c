"""`python -m tests.chaos`: every fault, as a table. `make chaos` is the same."""

import argparse
import sys

from tests.chaos.faults import FAULTS
from tests.chaos.run import Scenes, table


def main() -> int:
    """Run the faults that were asked for. The exit status is 1 if one did any harm."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--long", action="store_true", help="many more jobs and strikes")
    parser.add_argument("--only", metavar="TEXT", default="", help="faults with this in their name")
    args = parser.parse_args()
    rows = []
    with Scenes() as scenes:
        for fault in FAULTS:
            if args.only not in fault.name or (fault.slow and not args.long):
                continue
            if reason := fault.unless():
                print(f"{fault.name}: left out, {reason}", file=sys.stderr, flush=True)
            else:
                print(f"{fault.name} ...", file=sys.stderr, flush=True)
                rows.append(scenes.run(fault, long=args.long))
                print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    return 0 if all(row.harmless() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
