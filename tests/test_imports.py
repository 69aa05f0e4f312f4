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
PAGE = PACKAGE.parent / "ARCHITECTURE.md"

TEXT = PAGE.read_text(encoding="utf-8")


def named_in(begins: str, ends: str) -> set[str]:
    """The rooms that the page names between these words."""
    return set(re.findall(r"`(?:promptshot\.)?([\w.]+)`", TEXT.partition(begins)[2].partition(ends)[0]))


# Who may know whom beyond the floors, as the page says it.
BELOW_THE_WALL = named_in("`scorers` knows ", " and itself") | {"scorers"}
DOORS = named_in("above the wall only its door", " are known")


def floors() -> dict[str, int]:
    """Room -> floor, as the table of the page has them."""
    lines = re.findall(r"^\| (\d+) \| (.+) \|$", TEXT, re.MULTILINE)
    return {room: int(number) for number, rooms in lines for room in re.findall(r"`(\w+)`", rooms)}


FLOOR = floors()


def module_name(path: Path) -> str:
    """promptshot/scorers/mlm.py is "scorers.mlm", promptshot/errors.py is "errors"."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def room(module: str) -> str:
    return module.split(".")[0]


def ours(name: str) -> str | None:
    """The module of the package that `promptshot.<name>` stands for, if it is one."""
    return next((found for found in (name, name.rpartition(".")[0]) if found in MODULES), None)


def imported(path: Path, top_only: bool = False) -> Iterator[str]:
    """The modules of the package that a file imports; with `top_only`, not those within functions."""
    yield from imports_of(path.read_text(encoding="utf-8"), top_only)


def imports_of(source: str, top_only: bool = False) -> Iterator[str]:
    tree = ast.parse(source)
    for node in tree.body if top_only else ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            found = ours(name.removeprefix("promptshot.")) if name.startswith("promptshot.") else None
            if found:
                yield found


def forbidden(module: str, others: set[str]) -> set[str]:
    """Those of these modules that a module may not import."""
    own, floor = room(module), FLOOR[room(module)]
    up = {other for other in others if FLOOR[room(other)] > floor}
    beside = {other for other in others if FLOOR[room(other)] == floor and room(other) != own}
    if own == "scorers":
        return up | beside | {other for other in others if room(other) not in BELOW_THE_WALL}
    return up | beside | {other for other in others if room(other) == "scorers" and other not in DOORS}


def test_the_reader_of_imports_sees_what_is_there() -> None:
    assert {"classify.decide", "classify.recipe", "scorers", "errors"} <= set(imported(MODULES["classify.classifier"]))
    assert "scorers.engine.base" in set(imported(MODULES["scorers.mlm"]))


def test_the_page_names_the_wall_and_its_doors() -> None:
    assert {"errors", "gguf", "kinds", "shelf", "scoring", "weights", "scorers"} == BELOW_THE_WALL
    assert {"scorers", "scorers.fake"} == DOORS


def test_every_room_has_its_floor_on_the_page_and_no_other_has_one() -> None:
    assert {room(name) for name in MODULES} == set(FLOOR)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_or_stay_in_the_room(name: str) -> None:
    assert not forbidden(name, set(imported(MODULES[name])))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("rows.row", "from promptshot.prompts.template import Template"),
        ("prompts.task", "from promptshot.classify import recipe"),
        ("classify.finish", "from promptshot.runs.record import RunRecord"),
        ("runs.result", "from promptshot.report import console"),
        ("compare.compare", "from promptshot.authoring import preview"),
        ("authoring.preview", "from promptshot.compare.standings import Comparison"),
        ("report.run", "def draw():\n    from promptshot.cli import flags"),
        ("classify.classifier", "from promptshot.scorers.engine.base import TorchScorer"),
        ("scorers.mlm", "from promptshot.prompts.task import Task"),
        ("scorers.engine.base", "from promptshot import files"),
        ("errors", "import promptshot.shelf"),
    ],
)
def test_an_import_that_goes_elsewhere_would_be_seen(module: str, line: str) -> None:
    assert module in MODULES
    assert forbidden(module, set(imports_of(line)))


@pytest.mark.parametrize("name", MODULES)
def test_which_kinds_of_scorer_there_are_stands_in_one_place(name: str) -> None:
    own = {kind.scorer.partition(":")[0].removeprefix("promptshot.") for kind in KINDS.values()}
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert name in {*own, "kinds"} or not named & {*KINDS}


def test_no_imports_run_in_a_circle() -> None:
    order = list(TopologicalSorter({name: set(imported(path)) for name, path in MODULES.items()}).static_order())
    assert order.index("errors") < order.index("classify.classifier")


HEAVY = ("torch", "transformers", "tokenizers", "numpy")
LATE = (*HEAVY, "pydantic", "yaml", "orjson", "rich", "charset_normalizer", "pyarrow")  # not for a page of help


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
    assert heavy_after("import promptshot.cli, promptshot.prompts.library", LATE) == "pydantic yaml orjson"


def test_a_run_with_the_fake_scorer_loads_no_tensors() -> None:
    code = """
from promptshot.classify.classifier import Classifier
from promptshot.classify.recipe import Recipe
from promptshot.errors import TemplateError
from promptshot.prompts import strict
from promptshot.prompts.library import verbalizer_of
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.rows.row import Row
keys = {"scorer": "mlm", "text": "{mask}{text}", "verbalizer": {"labels": {"a": "x", "b": "y"}}}
template = Template.of(strict.build(keys, TemplateSpec, TemplateError, "t", {}), "t")
recipe = Recipe.of(template, verbalizer_of(template), "fake")
found = list(Classifier.of(recipe).outcomes([Row({"text": "t"})]))
assert found[0].label in "ab"
"""
    assert heavy_after(code) == ""


# Which count with arrays, and are loaded when they are first needed.
COUNTING = ("classify.retrieval", "authoring.ranking", "authoring.suggest")
WITHIN = ("classify.calibrate",)  # which do so within functions only


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) != "scorers"])
def test_no_module_above_the_wall_knows_tensors(name: str) -> None:
    allowed = {"numpy"} if name in (*COUNTING, *WITHIN) else set[str]()
    assert not roots_of(MODULES[name].read_text(encoding="utf-8")) & {*HEAVY} - allowed


@pytest.mark.parametrize("name", [name for name in MODULES if name not in COUNTING])
def test_what_counts_with_arrays_is_loaded_late(name: str) -> None:
    assert not {*COUNTING} & set(imported(MODULES[name], top_only=True))


def roots_of(source: str) -> set[str]:
    """The packages that a file imports anywhere, also tried or within functions."""
    nodes = list(ast.walk(ast.parse(source)))
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in named}


def test_tensors_are_seen_wherever_they_are_imported() -> None:
    assert "torch" in roots_of("try:\n    import torch.nn\nexcept ImportError:\n    pass")
    assert "numpy" in roots_of("def f():\n    from numpy import array")


@pytest.mark.parametrize("name", MODULES)
def test_nobody_inside_goes_by_the_door_of_the_package(name: str) -> None:
    nodes = ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    asked = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "promptshot"
             for alias in node.names}  # fmt: skip
    assert asked <= {room(module) for module in MODULES} | {"__version__"}


def test_public_names_come_when_they_are_asked_for() -> None:
    assert heavy_after("import promptshot; promptshot.Recipe, promptshot.Row") == ""
    for name in promptshot.__all__:
        assert getattr(promptshot, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        promptshot.Nothing  # noqa: B018


@pytest.mark.parametrize("tools", ["training", "benchmarks"])
def test_nothing_beside_the_package_imports_in_a_circle(tools: str) -> None:
    folder = PACKAGE.parent / tools
    uses: dict[str, set[str]] = {}
    paths = [path for path in sorted(folder.rglob("*.py")) if ".envs" not in path.parts]  # other tools, once they ran
    for path in paths:
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):  # also within functions, which only hide a circle
                named |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        uses[".".join(path.relative_to(folder.parent).with_suffix("").parts)] = named
    assert sum(len(named & uses.keys()) for named in uses.values()) > 3  # or nothing was read
    list(TopologicalSorter({name: named & uses.keys() for name, named in uses.items()}).static_order())


# ------------------------------------------------------------------ the tests themselves

TESTS = [path for path in sorted(Path(__file__).parent.rglob("*.py")) if path.parent.name not in ("files", "golden")]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_no_test_file_stands_on_another(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not [name for name in named if name.startswith("test_") or name == "conftest"]


def test_tests_without_the_mark_torch_load_none_when_they_are_collected() -> None:
    code = """
import sys, pytest
code = pytest.main(["--collect-only", "-n0", "-p", "no:cacheprovider", "-m", "not torch"])
print(int(code), *[name for name in ("torch", "transformers", "tiny", "reference", "helpers") if name in sys.modules])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=PACKAGE.parent)
    assert len(re.findall("::test_", done.stdout)) > 2000
    assert done.stdout.splitlines()[-1] == "0 helpers"
