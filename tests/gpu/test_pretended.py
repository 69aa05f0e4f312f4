"""Every kind of scorer on a GPU that is only pretended: no operation is given two devices, scores are the CPU's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import CASES, Models, apart, kind_of, prompts
from helpers import LONG, prompt_of
from pretend import GPU, There, pretended

from promptshot import doctor
from promptshot.scorers import Loader
from promptshot.scoring import Draft, Drawing, Gap, ModelOptions

pytestmark = pytest.mark.torch


def told(made: Any) -> dict[str, Any]:
    """What a scorer finds out about its model when it is loaded."""
    head, details = getattr(made, "head", None), made.details
    found = {key: details.get(key) for key in ("engine", "batches")}
    last = getattr(made, "last", getattr(head, "last", None))
    return {**found, "sparse": getattr(head, "sparse", None), "last": last is not None, "mates": made.mates}


@pytest.mark.parametrize("case", CASES)
def test_scores_and_shortcuts_are_those_of_the_cpu(models: Models, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, here = models.plain(case), told(models.scorer(case, device="cpu"))
    with pretended(monkeypatch):
        for size in (None, 3):
            made: Any = models.scorer(case, device="cuda", dtype="float32", batch_size=size)
            assert {parameter.device for parameter in made.model.parameters()} == {GPU}
            assert told(made) == here
            assert apart(made.score(prompts(case)), truth) <= 1e-4


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed"])
@pytest.mark.parametrize("case", ["mlm", "nsp", "causal", "seq2seq", "rtd", "nli", "embed"])
def test_so_they_are_with_less_precision(
    models: Models, case: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = models.plain(case)
    with pretended(monkeypatch):
        made = models.scorer(case, device="cuda", dtype=dtype)
        found = made.score(prompts(case))
        most = doctor.BEYOND * doctor.Rounding.of(made, found).most
    assert 0 < apart(found, truth) <= most


@pytest.mark.parametrize("case", ["mlm, built in", "causal, built in"])
def test_words_texts_and_vectors_are_those_of_the_cpu(
    models: Models, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [prompt_of([(f"{text} It was ", "")], ["good", "awful"]) for text in (LONG, "a good day")]
    drafts = [Draft(("It was ", Gap(2, 3)), seed="1")]

    def all_of(device: str) -> list[Any]:
        made: Any = models.scorer(case, device=device, dtype="float32")
        with torch.no_grad():
            return [
                [[word for word, _ in row] for row in made.top(asked, 5)],
                made.propose(asked, [[1.0, 0.5]], 5),
                [[len(tokens) for tokens in row] for row in made.spell(asked)],
                [drawn.filled for drawn in made.sample(drafts, Drawing())[0]],
                [round(number, 3) for vector in made.embed([LONG, "a good day"]) for number in vector],
            ]

    expected = all_of("cpu")
    with pretended(monkeypatch):
        assert all_of("cuda") == expected


@pytest.mark.parametrize(("case", "long"), [("mlm", "hierarchical"), ("nsp", "hierarchical"), ("causal", "local")])
def test_texts_longer_than_the_model_are_read_there_too(
    models: Models, case: str, long: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = " ".join([LONG] * 8)
    pair = kind_of(case) == "nsp"
    asked = [prompt_of([row, ("it was ", "")] if pair else [(f"{row} It was ", "")], ["good", "awful"])]
    truth = models.scorer(case, device="cpu", long=long).score(asked)
    assert truth[0].beyond
    with pretended(monkeypatch):
        assert apart(models.scorer(case, device="cuda", dtype="float32", long=long).score(asked), truth) <= 1e-4


def test_the_doctor_finds_nothing_wrong(monkeypatch: pytest.MonkeyPatch, models: Models) -> None:
    models.plain("mlm, built in")
    with pretended(monkeypatch):
        found = [*doctor.examine("mlm", ModelOptions(device="cuda", dtype="float32"), Loader(keeps=False))]
    assert {finding.verdict for finding in found} == {"ok"}


def test_two_devices_in_one_operation_are_refused_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended(monkeypatch), torch.no_grad():
        there, here = torch.arange(6, device=GPU).view(2, 3), torch.arange(6).view(2, 3)
        assert isinstance(there, There)
        assert there[torch.tensor([0]), [1]].tolist() == [1]  # as a GPU does, too
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(RuntimeError, match="same device"):
            here[there[0]]
        with pytest.raises((RuntimeError, TypeError)):  # in the words of torch
            there.numpy()
        assert (there.cpu() + here).tolist() == [[0, 2, 4], [6, 8, 10]]
