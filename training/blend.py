"""The mean of two model folders, weight by weight: what a last stage taught, without all that it unlearned.

python -m training.blend BEFORE AFTER SHARE OUT      SHARE (0 to 1) of AFTER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file


def blend(before: Path, after: Path, share: float, out: Path) -> None:
    """Write `(1 - share) * before + share * after` to `out`, in half precision, with the other files of `after`."""
    old, new = (load_file(folder / "model.safetensors") for folder in (before, after))
    if old.keys() != new.keys():
        raise SystemExit(f"{before} and {after} are not the same kind of model")
    shutil.copytree(after, out, dirs_exist_ok=True)
    mixed = {key: (old[key].float().lerp(new[key].float(), share)).half() for key in new}
    save_file(mixed, out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    blend(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
