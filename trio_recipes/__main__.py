"""``python -m trio_recipes``, installed as ``trio-recipes``."""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave with its exit code; after Ctrl+C, by that signal itself."""
    _open_standard_streams()
    _end_quietly_by_signals()
    gc.set_threshold(100_000, 20, 20)  # imports make 60,000 objects and no garbage: looking for some costs more
    from trio_recipes.frontends.cli.exits import BY_SIGINT, leave  # noqa: PLC0415  signals first: imports take a moment
    from trio_recipes.frontends.cli.main import main as run  # noqa: PLC0415

    code = run(sys.argv[1:])
    gc.freeze()  # the interpreter's end need not look for garbage among all that is imported
    if code == BY_SIGINT:
        sys.stderr.flush()
        leave(code)
    sys.exit(code)


def _open_standard_streams() -> None:
    """Fill gaps among descriptors 0 to 2, or a database would get one of those numbers, and what is printed."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _end_quietly_by_signals() -> None:
    """Until a session is there to be stopped, a signal ends the process, and no traceback tells of it."""
    # To process 1, of a container for instance, the kernel sends no signal that it has no handler for.
    signal.signal(signal.SIGINT, _leave if os.getpid() == 1 else signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _leave)


def _leave(number: int, _frame: object) -> NoReturn:
    os._exit(130 if number == signal.SIGINT else 143)


if __name__ == "__main__":
    main()
