"""How much processor time the commands take that load no model: the best of several runs of each.

python benchmarks/startup.py [RUNS]
"""

from __future__ import annotations

import resource
import subprocess
import sys

COMMANDS = (
    ["--help"],
    ["classify", "--help"],
    ["templates", "list"],
    ["verbalizers", "list"],
    ["templates", "lint", "templates/zh-news-mlm.yaml"],
    ["templates", "lint"],
    ["verbalizers", "lint"],
    ["templates", "preview", "zh-news-mlm"],
    ["templates", "preview", "zh-app-nsp", "一款打车软件"],
)


def seconds(command: list[str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "promptshot", *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(runs: int) -> None:
    """Print one line for each command."""
    for command in COMMANDS:
        print(f"{min(seconds(command) for _ in range(runs)):.2f} s  promptshot {' '.join(command)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
