"""What a model writes: by the right frequencies, the same from the same seed, around what stays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import Tiny, failed, template_of

from promptshot.authoring import sample
from promptshot.cli import run_command
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.scorers import load
from promptshot.scorers.engine.sampling import drawn
from promptshot.scoring import Drawing, ModelOptions

pytestmark = pytest.mark.torch
WORDS = Verbalizer("w", {"good": {"good": 1.0}, "bad": {"awful": 1.0}})


def distance(found: Counter[int], share: torch.Tensor, count: int) -> float:
    """Chi-square over the degrees of freedom."""
    wanted = share * count
    kept = (wanted > 0).nonzero().flatten().tolist()
    assert set(found) <= set(kept)
    return sum((found[i] - float(wanted[i])) ** 2 / float(wanted[i]) for i in kept) / (len(kept) - 1)


@pytest.mark.parametrize(
    ("how", "left"), [(Drawing(), 5), (Drawing(temperature=0.5), 5), (Drawing(top_k=3), 3), (Drawing(top_p=0.6), 2)]
)
def test_tokens_are_drawn_as_often_as_their_share(how: Drawing, left: int) -> None:
    logs = torch.tensor([0.3, 0.1, 0.25, 0.05, 0.2, 0.1], dtype=torch.float64).log()
    banned = torch.tensor([False, False, False, False, False, True])
    noise = torch.Generator().manual_seed(3)
    found = Counter(drawn(logs, banned, how, noise) for _ in range(4000))
    share = (logs.exp() ** (1 / how.temperature)).masked_fill(banned, 0.0)
    share[share.argsort(descending=True)[left:]] = 0.0
    assert distance(found, share / share.sum(), 4000) < 2.5


@pytest.mark.parametrize("kind", ["mlm", "causal"])
def test_the_same_seed_gives_the_same_texts_whatever_the_batch(bert_mlm: Tiny, gpt2: Tiny, kind: str) -> None:
    tiny = bert_mlm if kind == "mlm" else gpt2
    found = [
        sample.texts(load(kind, ModelOptions(tiny.name, batch_size=size)), "the {mask} was {mask}.", 6, [(2, 4)], 5)
        for size in (1, 3, 32)
    ]
    assert [t.text for t in found[0].texts] == [t.text for t in found[1].texts] == [t.text for t in found[2].texts]
    alone = sample.texts(load(kind, ModelOptions(tiny.name)), "the {mask} was {mask}.", 2, [(2, 4)], 5)
    assert [t.text for t in alone.texts] == [t.text for t in found[0].texts][:2]
    assert all(t.text.startswith("the ") and " was " in t.text and "[" not in t.text for t in alone.texts)


def test_paraphrases_keep_fields_and_blank(bert_mlm: Tiny) -> None:
    template = template_of(scorer="mlm", text="it was a {mask} day , {text}", example={"text": "good food"})
    found = sample.paraphrases(load("mlm", ModelOptions(bert_mlm.name)), template, WORDS, 6, share=0.5)
    assert found.texts
    for text in found.texts:
        assert text.text.count("{mask}") == text.text.count("{text}") == 1
        assert text.text.index("{mask}") < text.text.index("{text}")
    assert len(found.texts) + found.repeated == 6


def test_paraphrases_are_files_that_compare_takes(bert_mlm: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "made"
    assert not run_command(["sample", "-t", "en-sentiment-mlm", "-m", bert_mlm.name, "-n", "3", "-o", f"{out}/", "-q"])
    made = sorted(out.glob("*.yaml"))
    assert made
    assert run_command(["templates", "preview", str(made[0])]) in (0, 3)


def test_scorers_that_write_nothing_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot write texts" in failed(capsys, "sample", "--scorer", "fake")
