"""Files that are whole whenever they are there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Writes beside a file, then swaps: killed at any moment, what is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())
    new.replace(path)
