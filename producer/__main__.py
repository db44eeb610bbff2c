"""The command `agewell`, and `python -m agewell.producer`."""

import signal


def main() -> None:
    """Run the command line; a Ctrl-C before it has been imported ends the process silently."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The imports take up to a second. There is nothing yet that a Ctrl-C would have to end.
    from agewell.producer.cli import main as cli

    signal.signal(signal.SIGINT, handler)
    cli.main()


if __name__ == "__main__":
    main()
