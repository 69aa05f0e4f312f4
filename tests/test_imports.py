"""Imports go down the house only, and nothing above the wall brings torch with it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import promptshot
from promptshot.kinds import KINDS

PACKAGE = Path(promptshot.__file__).parent

# The floors of the house, from the ground up. A new module needs a place here.
FLOORS = [
    ["errors", "standard", "kinds", "scoring"],
    ["shelf"],
    ["flaws", "files"],
    ["spec"],
    [
        "json_text",
        "once",
        "streams",
        "tables",
        "columnar",
        "formats",
        "rows",
        "objects",
        "columns",
        "writer",
        "prompts",
        "verbalizer",
        "task",
        "labels",
        "library",
        "lint",
        "draft",
        "metrics",
        "wrong",
    ],
    ["scorers"],  # the wall, and the tensors behind it
    [
        "classify",
        "prediction",
        "spool",
        "questions",
        "finish",
        "recipe",
        "guess",
        "catalogue",
        "gold",
        "decide",
        "calibrate",
        "demos",
    ],
    ["interrupt", "record", "shape", "outputs", "journal"],
    ["run", "doctor", "preview", "grid", "bench", "compare", "search", "predictions", "diff", "tune", "scale"],
    ["report", "leaderboard", "proof", "page", "cli", "testing"],
    ["__main__"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def module_name(path: Path) -> str:
    """promptshot/scorers/mlm.py is "scorers.mlm", promptshot/rows.py is "rows"."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def ours(name: str) -> str | None:
    """The module of the package that `promptshot.<name>` stands for, if it is one."""
    return next((found for found in (name, name.rpartition(".")[0]) if found in MODULES), None)


def imported(path: Path, top_only: bool = False) -> Iterator[str]:
    """The modules of the package that a file imports; with `top_only`, not those within functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_only else ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are written out in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            found = ours(name.removeprefix("promptshot.")) if name.startswith("promptshot.") else None
            if found:
                yield found


def test_the_reader_of_imports_sees_what_is_there() -> None:
    assert {"decide", "recipe", "rows", "scorers", "errors"} <= set(imported(MODULES["classify"]))
    assert "scorers.base" in set(imported(MODULES["scorers.mlm"]))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_its_floor(name: str) -> None:
    assert name.split(".")[0] in FLOOR, f"give {name} a floor in tests/test_imports.py"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_or_stay_on_the_floor(name: str) -> None:
    for other in imported(MODULES[name]):
        assert FLOOR[other.split(".")[0]] <= FLOOR[name.split(".")[0]], f"{name} imports {other} from above"


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("scorers.")])
def test_nobody_above_the_wall_imports_what_is_behind_it(name: str) -> None:
    behind = {other for other in imported(MODULES[name]) if other.startswith("scorers.")}
    assert behind <= {"scorers.fake"}  # it has no tensors


BELOW_THE_WALL = {"errors", "kinds", "shelf", "scoring", "scorers"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] == "scorers"])
def test_scorers_know_nothing_but_the_messages_of_the_wall(name: str) -> None:
    assert {other.split(".")[0] for other in imported(MODULES[name])} <= BELOW_THE_WALL


@pytest.mark.parametrize("name", MODULES)
def test_which_kinds_of_scorer_there_are_stands_in_one_place(name: str) -> None:
    own = {kind.scorer.partition(":")[0].removeprefix("promptshot.") for kind in KINDS.values()}
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert name in {*own, "kinds"} or not named & {*KINDS}


def test_no_imports_run_in_a_circle() -> None:
    order = list(TopologicalSorter({name: set(imported(path)) for name, path in MODULES.items()}).static_order())
    assert order.index("errors") < order.index("classify")


HEAVY = ("torch", "transformers", "tokenizers", "numpy")
LATE = (*HEAVY, "pydantic", "yaml", "jsonlines", "rich", "charset_normalizer", "pyarrow")  # not for a page of help


def heavy_after(code: str, sought: tuple[str, ...] = HEAVY) -> str:
    """What of the heavy packages a fresh Python has loaded after running the code."""
    probe = f"{code}\nimport sys; print(*[name for name in {sought!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120)
    return done.stderr.strip()


@pytest.mark.parametrize("page", [(), ("--help",), ("compare", "--help"), ("templates", "lint", "-h"), ("--version",)])
def test_the_command_line_is_there_before_anything_that_takes_its_time(page: tuple[str, ...]) -> None:
    asked = f"promptshot.cli.run_command({list(page)})" if page else ""
    assert heavy_after(f"import promptshot.cli\n{asked}", LATE) == ""


def test_what_a_command_loads_late_is_seen() -> None:
    assert heavy_after("import promptshot.cli, promptshot.library", LATE) == "pydantic yaml jsonlines"


def test_a_run_with_the_fake_scorer_loads_no_tensors() -> None:
    code = """
from promptshot import classify, spec
from promptshot.recipe import Recipe
from promptshot.errors import TemplateError
from promptshot.library import verbalizer_of
from promptshot.prompts import Template, TemplateSpec
from promptshot.rows import Row
keys = {"scorer": "mlm", "text": "{mask}{text}", "verbalizer": {"labels": {"a": "x", "b": "y"}}}
template = Template.of(spec.build(keys, TemplateSpec, TemplateError, "t", {}), "t")
recipe = Recipe.of(template, verbalizer_of(template), "fake")
found = list(classify.Classifier.of(recipe).outcomes([Row({"text": "t"})]))
assert found[0].label in "ab"
"""
    assert heavy_after(code) == ""


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] != "scorers" and name != "__main__"])
def test_no_module_above_the_wall_loads_tensors(name: str) -> None:
    reached, to_do = set(), [name]
    while to_do:
        module = to_do.pop()
        if module not in reached:
            reached.add(module)
            to_do.extend(imported(MODULES[module], top_only=True))
    for module in reached:
        source = ast.parse(MODULES[module].read_text(encoding="utf-8"))
        for node in source.body:
            roots = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            roots += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {root.split(".")[0] for root in roots} & set(HEAVY), f"{name} loads tensors by way of {module}"


def test_public_names_come_when_they_are_asked_for() -> None:
    assert heavy_after("import promptshot; promptshot.Recipe, promptshot.Row") == ""
    for name in promptshot.__all__:
        assert getattr(promptshot, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        promptshot.Nothing  # noqa: B018


# ------------------------------------------------------------------ the tests themselves

TESTS = [path for path in sorted(Path(__file__).parent.rglob("*.py")) if path.parent.name not in ("files", "golden")]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_no_test_file_stands_on_another(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not [name for name in named if name.startswith("test_") or name == "conftest"]


def test_tests_without_the_mark_torch_load_none_when_they_are_collected() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "--collect-only", "-n0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-m", "not torch"], capture_output=True, text=True, check=False, timeout=300, cwd=PACKAGE.parent
    )
    assert done.returncode == 0, done.stdout
    assert len(re.findall("::test_", done.stdout)) > 2000
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"promptshot.cli", "promptshot.testing", "helpers", "conftest"} <= loaded
    assert not loaded & {"torch", "transformers", "tiny", "reference"}
