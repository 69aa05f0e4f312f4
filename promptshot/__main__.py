"""python -m promptshot, and the command `promptshot`.

Before anything else, and so with next to no imports of its own, it sees to Ctrl-C and SIGTERM: half a second goes into
imports, in which an exception raised just anywhere is a traceback, or lost.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

_CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}


def main() -> None:
    """Run the command line and exit."""
    _at_once()
    from promptshot import cli

    cli.main()


def _at_once() -> None:
    """Have both signals end the process on the spot; nothing has been begun. What is ignored (nohup) stays so."""
    for number in _CODES:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ended)


def _ended(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(_CODES[number])


if __name__ == "__main__":
    main()
