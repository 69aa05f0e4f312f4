"""The pins of constraints.txt: `pins.py write` makes them of the environment it runs in, `pins.py newer REPORT` says
what a report of `pip install --dry-run --report` would install in their place."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
NOT_OURS = ("pip", "promptshot")
OLDEST, NEWEST = 10, 13  # the minor versions of Python 3 that setup.cfg names


def written(found: Iterable[Distribution], before: str) -> str:
    """The text of constraints.txt for these packages; its comments stay."""
    comments = [line for line in before.splitlines() if line.startswith("#")]
    pins = {canonical(one.metadata["Name"]): _pin(one) for one in found}
    return "\n".join([*comments, *(pins[name] for name in sorted(pins) if name not in NOT_OURS)]) + "\n"


def _pin(found: Distribution) -> str:
    """name==version, for those Pythons only that the package is made for; without what names a build (+cpu)."""
    from packaging.specifiers import SpecifierSet

    pin = f"{canonical(found.metadata['Name'])}=={found.version.partition('+')[0]}"
    wanted = SpecifierSet(found.metadata.get("Requires-Python") or "")
    first = next((minor for minor in range(OLDEST, NEWEST + 1) if wanted.contains(f"3.{minor}.50")), OLDEST)
    return pin if first == OLDEST else f'{pin} ; python_version >= "3.{first}"'


def pinned(text: str) -> dict[str, str]:
    """Package -> version, as constraints.txt says it."""
    lines = (line.partition(";")[0].strip() for line in text.splitlines() if not line.startswith("#"))
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def newer(report: Mapping[str, Any], pins: Mapping[str, str]) -> list[str]:
    """What the report would install that is not pinned so, a line each."""
    found = []
    for item in report["install"]:
        name, version = canonical(item["metadata"]["name"]), item["metadata"]["version"].partition("+")[0]
        if name not in NOT_OURS and pins.get(name) != version:
            found.append(f"{name} {version} (pinned: {pins.get(name, 'not at all')})")
    return sorted(found)


def canonical(name: str) -> str:
    """The one spelling of a package's name."""
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    said = CONSTRAINTS.read_text()
    if sys.argv[1:] == ["write"]:
        sys.stdout.write(written(distributions(), said))
    else:
        print(*newer(json.loads(Path(sys.argv[2]).read_text()), pinned(said)), sep="\n")
