"""Entry point of the command `agewell` and of `python -m agewell.producer`."""

import signal


def main() -> None:
    """Run the command line.

    Ctrl-C ends the process without a traceback, even while the imports still run.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The imports take up to a second, and Python's own handler would print a traceback then.
    from agewell.producer.cli import main as cli

    signal.signal(signal.SIGINT, handler)
    cli.main()


if __name__ == "__main__":
    main()
