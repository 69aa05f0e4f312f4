"""Ctrl-C and SIGTERM: they stop a run at once while it scores, and only between two writes while it writes."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM asked the process to end."""


class Interrupts:
    """Both signals as KeyboardInterrupt (SIGTERM: Terminated), put off inside `held`.

    Use it as a context manager; outside the main thread, where Python takes no signals, it does nothing, and a signal
    that is ignored (nohup) stays ignored. Where a library made another exception of an interrupt, as imports of
    compiled modules do, the interrupt leaves it.
    """

    def __init__(self) -> None:
        self._held = False
        self.came: KeyboardInterrupt | None = None
        self._waiting: KeyboardInterrupt | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is in here is finished first."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            raise waiting

    def _met(self, number: int, frame: FrameType | None) -> None:
        self.came = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if not self._held:
            raise self.came
        self._waiting = self.came

    def __enter__(self) -> Interrupts:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._met)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.came is not None and kind is not None and issubclass(kind, Exception):
            raise self.came from None
