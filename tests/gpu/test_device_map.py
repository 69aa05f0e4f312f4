"""`--device-map`: a model that accelerate spreads has the scores of one that is on a device as a whole."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from asked import CASES, Models, apart, kind_of, prompts
from helpers import failed, read_rows
from pretend import GPU, pretended

from promptshot.cli import run_command
from promptshot.errors import OptionError
from promptshot.kinds import KINDS, loaded
from promptshot.scorers.checkpoints.opening import load_checkpoint
from promptshot.scoring import ModelOptions

pytestmark = pytest.mark.torch
accelerate = pytest.importorskip("accelerate")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("spread", ["auto", "cpu"])
@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_without_it(models: Models, case: str, spread: str) -> None:
    made = models.scorer(case, device_map=spread, dtype="float32")
    assert apart(made.score(prompts(case)), models.plain(case)) <= 1e-4
    assert made.details["device_map"] == spread  # type: ignore[attr-defined]


def parts(model: Any, where: list[str]) -> dict[str, str]:
    """A map of a model: its layers from the first device to the last, and all else on the first."""
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)]
    found = {
        f"{name}.{i}": where[i * len(where) // len(layers)]
        for name, layers in lists
        for i in range(len(layers))
        if not any(name.startswith(f"{other}.") for other, _ in lists)
    }
    layers = tuple(f"{name}." for name in found)
    holders = {name.rpartition(".")[0] for name in model.state_dict() if not name.startswith(layers)}
    named = [*model.named_parameters(recurse=False), *model.named_buffers(recurse=False)]
    rest = {name: where[0] for name in sorted(holders) if name} | {name: where[0] for name, _ in named}
    return {**rest, **found}


def spread_out(models: Models, case: str, where: list[str], dtype: str = "float32", **how: Any) -> Any:
    """A scorer whose model has its layers on several devices."""
    kind = kind_of(case)
    options = ModelOptions(models.made[case], device="cpu", dtype=dtype)
    found = load_checkpoint(KINDS[kind], options)
    found.model.tie_weights()
    spread = parts(found.model, where)
    if "disk" not in where:  # as transformers loads them
        found.model.to(where[0])
        for name, place in spread.items():
            if isinstance(part := found.model.get_submodule(name.rpartition(".")[0]), torch.nn.ModuleList):
                part[int(name.rpartition(".")[2])].to(place)
    model = accelerate.dispatch_model(found.model, spread, force_hooks=True, **how)
    return loaded(KINDS[kind].scorer)(replace(found, model=model, device=model.device), options)


@pytest.mark.parametrize("dtype", ["float32", "mixed"])
@pytest.mark.parametrize("case", [case for case in CASES if not {"built in", "deberta"} & {*case.split(", ")}])
def test_so_they_are_over_two_gpus(models: Models, case: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = models.plain(case)
    near = truth if dtype == "float32" else models.scorer(case, device="cpu", dtype=dtype).score(prompts(case))
    most = 1e-4 if dtype == "float32" else 2 * apart(near, truth) + 0.01
    with pretended(monkeypatch):
        made = spread_out(models, case, ["cuda:0", "cuda:1"], dtype)
        assert {parameter.device for parameter in made.model.parameters()} == {GPU, torch.device("cuda", 1)}
        assert apart(made.score(prompts(case)), truth) <= most
        assert not str(made.details.get("engine", "")).startswith("plain")
        assert made.details["devices"].keys() == {"cuda:0", "cuda:1"}


@pytest.mark.parametrize("case", ["mlm", "nsp", "causal", "causal, gpt2", "seq2seq", "rtd", "embed"])
def test_so_they_are_where_layers_are_left_on_the_disk(models: Models, case: str, tmp_path: Path) -> None:
    truth = models.plain(case)
    made = spread_out(models, case, ["cpu", "disk"], offload_dir=str(tmp_path), main_device="cpu")
    assert apart(made.score(prompts(case)), truth) <= 1e-4


def test_it_decides_nothing_of_a_run(tmp_path: Path) -> None:
    assert ModelOptions(device_map="auto").identity() == ModelOptions().identity()
    said = []
    for name, how in (("one", []), ("spread", ["--device-map", "auto"])):
        out = str(tmp_path / f"{name}.jsonl")
        file = str(EXAMPLES / "zh-reviews.jsonl")
        assert run_command(["classify", file, "-t", "zh-sentiment-mlm", "-n", "4", "-q", "-o", out, *how]) == 0
        said.append([row["prediction"] for row in read_rows(out)])
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (["--device", "cpu"], "--device cpu and --device-map auto both say where the model is; leave one of them out"),
        (["--device-map", ""], "--device-map: no device ''; use auto, balanced, "),
        (["--device-map", "evenly"], "--device-map: no device 'evenly'; use auto, balanced, balanced_low_0, "),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    how: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = () if "--device-map" in how else ("--device-map", "auto")
    file = str(EXAMPLES / "zh-reviews.jsonl")
    assert said in failed(capsys, "classify", file, "-t", "zh-sentiment-mlm", "-q", "-o", "-", *more, *how)


def test_without_accelerate_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(OptionError) as caught:
        load_checkpoint(KINDS["mlm"], ModelOptions(device_map="auto"))
    assert str(caught.value) == "--device-map needs the package accelerate; pip install 'promptshot[large]'"
