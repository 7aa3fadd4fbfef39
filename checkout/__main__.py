"""`python -m checkout` and the script `checkout`: the command, from its first moment on."""

import signal
import sys


def main() -> int:
    """Load the command and run it; returns its exit status.

    Loading takes the better part of a second. Ctrl-C ends it there without a traceback, as it does
    for other programs; `checkout.commands.cli.main` takes over once there is something to put in
    order.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from checkout.commands.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
