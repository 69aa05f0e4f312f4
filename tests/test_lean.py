"""The command line loads transformers without what only training needs, and whoever wants more of it gets it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers import write_rows
from packaging.version import parse

pytestmark = pytest.mark.torch

# Which transformers before 5.24 load by another way.
LATER = {"scipy.optimize"} if parse(version("transformers")) < parse("5.24") else set()
HEAVY = ["torch._dynamo.config", "torch.distributed.tensor", "scipy.optimize", "sympy"]


def python(code: str) -> str:
    """What a process of its own says."""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_a_run_loads_nothing_of_it_and_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "房间干净"}, {"text": "the food was awful"}])
    ask = f"['classify', {rows!r}, '-t', 'zh-sentiment-mlm', '-q', '-o', '-']"
    code = f"import sys\nfrom promptshot import cli\ncli.run_command({ask})\n"
    heavy = f"print([name for name in {HEAVY!r} if name in sys.modules])"
    *lean, loaded = python(f"from promptshot import lean; lean.start()\n{code}{heavy}").splitlines()
    *whole, usual = python(f"{code}{heavy}").splitlines()
    assert usual == str(HEAVY)
    assert set(ast.literal_eval(loaded)) <= LATER
    assert lean == whole
    assert all(json.loads(line)["prediction"] for line in lean)


def test_what_is_left_out_is_there_for_whoever_wants_it() -> None:
    said = python(
        "from promptshot import lean; lean.start()\n"
        "import torch, transformers.modeling_utils\n"
        "from transformers.masking_utils import TransformGetItemToIndex as made\n"
        "light = type(torch._dynamo).__name__\n"
        "whole = torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item()\n"
        "print(light, whole, type(made()).__module__, torch._dynamo.config.__name__)\n"
    )
    assert said == "_Compiler 2.0 torch._dynamo._trace_wrapped_higher_order_op torch._dynamo.config"


def test_sizes_that_stand_for_any_number_are_known_as_ever() -> None:
    said = python(
        "from promptshot import lean; lean.start()\n"
        "import sys, torch, transformers.modeling_utils\n"
        "light = 'sympy' not in sys.modules\n"
        "torch._check(True)\n"
        "try:\n    torch._check(False, lambda: 'no')\nexcept RuntimeError as problem:\n    print(light, problem)\n"
        "from torch.export import Dim, export\n"
        "class Twice(torch.nn.Module):\n"
        "    def forward(self, x):\n        return x + x\n"
        "made = export(Twice(), (torch.ones(3, 2),), dynamic_shapes=({0: Dim('rows')},))\n"
        "print(made.module()(torch.ones(7, 2)).sum().item())\n"
    )
    assert said.splitlines() == ["True no", "28.0"]


def test_the_names_that_files_list_are_the_same() -> None:
    code = (
        "import pathlib, transformers.utils.import_utils as told\n"
        "files = sorted(pathlib.Path(told.__file__).parents[1].rglob('*.py'))\n"
        "print(len(files), [told.fetch__all__(file.read_text(encoding='utf-8')) for file in files])"
    )
    lean = python(f"from promptshot import lean; lean.start()\n{code}")
    assert lean == python(code)
    assert int(lean.partition(" ")[0]) > 500


def test_garbage_waits_for_many_objects_and_is_then_looked_for_as_ever() -> None:
    said = python(
        "import gc\n"
        "usual = gc.get_threshold()\n"
        "from promptshot import lean; lean.start()\n"
        "print(gc.get_threshold()[0] == lean.OBJECTS, gc.isenabled())\n"
        "before = gc.get_stats()\n"
        "import torch, transformers.modeling_utils\n"
        "print(gc.get_stats() == before)\n"
        "many = [[] for _ in range(lean.OBJECTS)]\n"
        "print(gc.get_stats() != before, gc.get_threshold() == usual, gc.callbacks)\n"
    )
    assert said.splitlines() == ["True True", "True", "True True []"]


@pytest.mark.parametrize(
    ("set_before", "said"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_how_threads_wait_is_for_whoever_has_said_it(
    monkeypatch: pytest.MonkeyPatch, set_before: dict[str, str], said: str
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_before.items():
        monkeypatch.setenv(name, value)
    told = "import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert python(f"from promptshot import lean; lean.start(); {told}") == said
    assert python(f"import promptshot.runs.run; {told}") == set_before.get("GOMP_SPINCOUNT", "None")


def test_what_is_to_be_done_at_the_end_is_done() -> None:
    said = python(
        "from promptshot import lean; lean.start()\n"
        "import atexit, tempfile, pathlib\n"
        "held = tempfile.TemporaryDirectory()\n"
        "held.itself = held\n"
        "atexit.register(lambda: print(pathlib.Path(held.name).exists()))\n"
        "print(held.name)\n"
    )
    name, there = said.splitlines()
    assert there == "True"
    assert not Path(name).exists()


def test_a_library_decides_nothing_for_others() -> None:
    there = "any(type(one).__module__ == 'promptshot.lean' for one in sys.meta_path)"
    assert python(f"import sys, promptshot.runs.run\nprint({there})") == "False"
    loaded = "import sys, transformers\nfrom promptshot import lean\nlean.start()\n"
    assert python(f"{loaded}print({there})") == "False"  # it is too late
    assert (
        python("import gc\nusual = gc.get_threshold()\nimport promptshot.runs.run\nprint(gc.get_threshold() == usual)")
        == "True"
    )
