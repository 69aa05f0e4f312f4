"""What a model writes: by the right frequencies, the same from the same seed, around what stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from helpers import Tiny, failed, template_of
from tiny import SPECIAL, build
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from promptshot.authoring import sample
from promptshot.cli import run_command
from promptshot.errors import TemplateError
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.scorers import load
from promptshot.scorers.engine.sampling import drawn
from promptshot.scoring import Draft, Drawing, Gap, ModelOptions

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


# ------------------------------------------------------------------ the right distribution

LETTERS = ["a", "b", "c", "d"]


def few_words(folder: Path, kind: str) -> Tiny:
    """A tiny model that knows four letters, and wants special tokens more than these."""
    names = [*SPECIAL.values(), "[unused1]", *LETTERS]
    vocabulary = {token: i for i, token in enumerate(names)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(list(SPECIAL.values()))
    size: dict[str, Any] = {"vocab_size": len(names)}
    if kind == "causal":
        config = transformers.GPT2Config(**size, n_layer=2, n_head=2, n_embd=16, n_positions=32, bos_token_id=2)
        return build(folder, transformers.GPT2LMHeadModel, config, made, **SPECIAL, bos_token="[CLS]")
    ends = ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    made.post_processor = processors.BertProcessing(*ends)
    size |= {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
    config = transformers.BertConfig(**size, max_position_embeddings=32)
    tiny = build(folder, transformers.BertForMaskedLM, config, made, **SPECIAL)
    with torch.no_grad():
        tiny.model.cls.predictions.decoder.bias[: len(SPECIAL) + 1] += 3.0
    tiny.model.save_pretrained(folder)
    return tiny


def shares(tiny: Tiny, ids: list[int], place: int) -> torch.Tensor:
    """How likely each letter is at a place, among the letters: by one plain forward."""
    with torch.inference_mode():
        logits = tiny.model(input_ids=torch.tensor([ids])).logits[0, place].double()
    return logits[tiny.tokenizer.convert_tokens_to_ids(LETTERS)].softmax(-1)


def variation(texts: Sequence[str], wanted: dict[str, float]) -> float:
    """The total variation between texts and how often each should be there; each is one of them."""
    found = Counter(texts)
    assert set(found) <= set(wanted)
    return sum(abs(found[text] / len(texts) - share) for text, share in wanted.items()) / 2


def all_texts(scorer: Any, said: str, count: int, chains: int, how: Drawing) -> list[str]:
    """What is drawn, with repetitions."""
    gaps = [Gap(1, 1) if part == "_" else part for part in said.split()]
    drafts = [Draft(tuple(gaps), f"{number}", count // chains) for number in range(chains)]
    return [" ".join(one.filled) for of in scorer.sample(drafts, how) for one in of]


def test_a_chain_comes_to_what_its_own_steps_leave_as_it_is(tmp_path: Path) -> None:
    tiny = few_words(tmp_path / "bert", "mlm")
    cls, sep, mask = (tiny.tokenizer.convert_tokens_to_ids(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
    letters = tiny.tokenizer.convert_tokens_to_ids(LETTERS)
    states = list(product(range(4), range(4)))
    step = torch.zeros(16, 16, dtype=torch.float64)  # either of the two places, and a letter for it beside the other
    for row, (i, j) in enumerate(states):
        first = shares(tiny, [cls, mask, letters[j], sep], 1)
        second = shares(tiny, [cls, letters[i], mask, sep], 2)
        for letter in range(4):
            step[row, states.index((letter, j))] += first[letter] / 2
            step[row, states.index((i, letter))] += second[letter] / 2
    stationary = torch.linalg.matrix_power(step, 1 << 12)[0]
    wanted = {f"{LETTERS[i]} {LETTERS[j]}": float(share) for (i, j), share in zip(states, stationary, strict=True)}
    apart = dict.fromkeys(wanted, 1 / 16)
    texts = all_texts(load("mlm", ModelOptions(tiny.name)), "_ _", 6000, 100, Drawing(burn_in=40, steps=4))
    assert variation(texts, wanted) < 0.04
    assert variation(texts, apart) > 0.15  # which is far from what chance gives


def test_a_text_that_goes_on_comes_as_often_as_the_chain_rule_says(tmp_path: Path) -> None:
    tiny = few_words(tmp_path / "gpt2", "causal")
    a, *others = tiny.tokenizer.convert_tokens_to_ids(LETTERS)
    letters = [a, *others]
    first = shares(tiny, [a], 0)
    second = [shares(tiny, [a, letter], 1) for letter in letters]
    pairs = product(range(4), range(4))
    wanted = {f"{LETTERS[i]} {LETTERS[j]}": float(first[i] * second[i][j]) for i, j in pairs}
    scorer = load("causal", ModelOptions(tiny.name))
    drafts = [Draft(("a ", Gap(2, 2)), f"{number}") for number in range(4000)]
    texts = [one.filled[0] for (one,) in scorer.sample(drafts, Drawing())]  # type: ignore[attr-defined]
    assert variation(texts, wanted) < 0.04


def test_special_and_unused_tokens_are_never_drawn_however_likely(tmp_path: Path) -> None:
    tiny = few_words(tmp_path / "bert", "mlm")
    texts = all_texts(load("mlm", ModelOptions(tiny.name)), "_ a _", 400, 20, Drawing(steps=1))
    assert {letter for text in texts for letter in text.split()} <= set(LETTERS)
    ids = tiny.tokenizer.convert_tokens_to_ids(["[CLS]", "[MASK]", "a", "[SEP]"])
    with torch.inference_mode():
        chance = tiny.model(input_ids=torch.tensor([ids])).logits[0, 1].softmax(-1)
    assert float(chance[: len(SPECIAL) + 1].sum()) > 0.5  # most of what it would say


def test_paraphrases_differ_from_the_template_and_say_what_made_none(
    bert_mlm: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = template_of(scorer="mlm", text="it was a {mask} day , {text}", example={"text": "good food"})
    scorer = load("mlm", ModelOptions(bert_mlm.name))
    found = sample.paraphrases(scorer, template, WORDS, 8, lengths=[(3, 3)])
    assert len(found.texts) + found.repeated == 8
    assert len(found.texts) >= 6
    made = sample.Template.of

    def refusing(spec: Any, name: str) -> Any:
        if name.endswith("-2"):
            raise TemplateError("no template")
        return made(spec, name)

    monkeypatch.setattr(sample.Template, "of", refusing)
    assert sample.paraphrases(scorer, template, WORDS, 8, lengths=[(3, 3)]).spoilt == 1


def test_the_temperature_of_embed_in_the_environment_is_not_that_of_drawing(
    bert_mlm: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def written() -> str:
        assert not run_command(["sample", "the {mask}", "-m", bert_mlm.name, "--tokens", "4", "-n", "3", "-q"])
        return capsys.readouterr().out

    plain = written()
    monkeypatch.setenv("PROMPTSHOT_TEMPERATURE", "0.001")
    assert written() == plain
    monkeypatch.setenv("PROMPTSHOT_SAMPLE_TEMPERATURE", "0.001")
    assert written() != plain


@pytest.mark.parametrize("kind", ["nsp", "embed", "nli", "seq2seq", "rtd", "fake"])
def test_kinds_that_write_nothing_are_refused_before_a_model_is_asked_for(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = failed(capsys, "sample", "x", "--scorer", kind)
    assert f"scorer {kind} cannot write texts; use --scorer mlm or causal" in said
