"""Environments for the other tools, one each, below benchmarks/.envs; versions are pinned here."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ENVS = Path(__file__).parent / ".envs"
OLD = (
    *("transformers==4.27.1", "safetensors", "numpy<2", "yacs", "dill", "tensorboardX", "nltk", "scikit-learn"),
    *("datasets<2.15", "pyarrow<18", "rouge==1.0.0", "scipy", "sentencepiece"),
)


@dataclass(frozen=True)
class Env:
    """What to install, mostly beside torch; `bare` goes in without its own requirements, which are out of date."""

    packages: tuple[str, ...]
    bare: tuple[str, ...] = ()
    torch: bool = True


def wanted() -> dict[str, Env]:
    """The environments; those of living tools share our own transformers."""
    current = f"transformers=={version('transformers')}"
    return {
        "harness": Env((current, "lm-eval==0.4.13", "accelerate==1.15.0")),
        "minicons": Env((current, "minicons==0.3.39")),
        "sentences": Env((current, "scikit-learn", "scipy", "tqdm"), ("sentence-transformers==6.2.0",)),
        "openprompt": Env(OLD, ("openprompt==1.0.1",)),
        "llama": Env(("llama-cpp-python==0.3.36",), torch=False),  # compiled here: minutes, and a compiler for C++
    }


def python(name: str) -> Path:
    """The environment's interpreter, whether it is there or not."""
    return ENVS / name / "bin" / "python"


def ready(name: str) -> bool:
    """Whether the environment was made to the end, with the versions wanted now."""
    stamp = ENVS / name / "done"
    return name in wanted() and stamp.exists() and stamp.read_text() == repr(wanted()[name])


def make(name: str) -> None:
    """Install one environment; raises CalledProcessError where that fails."""
    env = wanted()[name]
    print(f"installing {name}: {' '.join((*env.packages, *env.bare))}", file=sys.stderr)
    venv.create(ENVS / name, with_pip=True, clear=True)
    torch = [f"torch=={version('torch').partition('+')[0]}"] if env.torch else []
    install = [str(python(name)), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    subprocess.run([*install, *torch, *env.packages], check=True)  # constraints.txt would pin what is too new for some
    if env.bare:
        subprocess.run([*install, "--no-deps", *env.bare], check=True)
    (ENVS / name / "done").write_text(repr(env))


def make_all(names: Iterable[str]) -> None:
    """Install what is missing of these; one that fails is reported, and its tool left out of the tables."""
    for name in names:
        if not ready(name):
            try:
                make(name)
            except subprocess.CalledProcessError as problem:
                print(f"{name} cannot be installed: {problem}", file=sys.stderr)
