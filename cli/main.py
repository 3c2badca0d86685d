"""Entry point of ``solvent``. It imports nothing that takes time, so that Ctrl-C is answered from the first moment."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process as the system does, silently: while modules load there is nothing to clean up, and an
    exception that comes up in the middle of a library's import would be shown as that library's failure.
    """
    previous = signal.getsignal(signal.SIGINT)
    if previous is not signal.default_int_handler:  # a shell's background job ignores it, a program has its own way
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def main() -> None:
    """Run the command line."""
    try:
        with interrupted_at_once():
            from cli.families import run
        run()
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
