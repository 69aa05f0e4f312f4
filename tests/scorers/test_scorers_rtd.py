"""The scorer by replaced tokens against the reference, on a tiny ELECTRA and a tiny DeBERTa-v3; which head is whose."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reference
import safetensors.torch
import torch
import transformers
from helpers import LENGTH, LONG, ROWS, Tiny, prompt_of, rendered, shuffled
from reference import Segment, assert_agrees
from tiny import (
    SIZES,
    SPECIAL,
    albert,
    broken_tensors,
    build,
    deberta_v3,
    electra,
    next_positions,
    no_mask,
    no_types,
    roberta_bpe,
    sentencepiece_bpe,
    shifted_reading,
    wordpiece,
)
from tokenizers import AddedToken, processors

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.errors import HeadError, ModelError, OptionError
from promptshot.prompts import library
from promptshot.prompts.template import example_row
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.checkpoints.own_heads import DebertaV2ForReplacedTokens, ReplacedTokenHead
from promptshot.scorers.rtd import RtdScorer
from promptshot.scoring import Kind, ModelOptions, Prompt, Spelling

pytestmark = pytest.mark.torch

WORDS = ["good", "好", "体育新闻", "awful"]  # of different token counts
SIDES = ("positive", "negative")


def cases() -> list[list[Segment]]:
    """Prefix, suffix and pair templates around rows of very different lengths; some rows come twice."""
    found: list[list[Segment]] = []
    for i, row in enumerate([*ROWS, *ROWS[:2]]):
        found.append([("", "满意。" + row)] if i % 2 else [("It was ", ". " + row)])
        found.append([(row + " It was ", ".")] if i % 3 else [(row, "")])
        found.append([row[:40], ("the ", " news")] if i % 2 else [("", "新闻"), row[:40]])
    return found


def expected(tiny: Tiny, prompts: list[list[Segment]], words: list[str]) -> list[list[float]]:
    """What the reference says."""
    return [[reference.rtd(tiny.model, tiny.tokenizer, p, word) for word in words] for p in prompts]


def scorer(tiny: Tiny, **options: Any) -> RtdScorer:
    return RtdScorer.from_checkpoint(ModelOptions(tiny.name, **options))


@pytest.fixture(scope="module")
def discriminators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tiny]:
    """The families that have the head; then an ELECTRA with a byte-level tokenizer, in which a space belongs to a word,
    and one with a mark for it."""
    return {
        "electra": electra(tmp_path_factory.mktemp("electra")),
        "deberta": deberta_v3(tmp_path_factory.mktemp("deberta")),
        "bytes": of_bytes(tmp_path_factory.mktemp("bytes")),
        "marks": of_marks(tmp_path_factory.mktemp("marks")),
    }


def of_bytes(folder: Path) -> Tiny:
    """An ELECTRA with the tokenizer of a RoBERTa."""
    made = roberta_bpe()
    config = transformers.ElectraConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, type_vocab_size=1, embedding_size=32,
        pad_token_id=1, **SIZES,
    )  # fmt: skip
    names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return build(
        folder, transformers.ElectraForPreTraining, config, made, **names, unk_token="<unk>", mask_token="<mask>"
    )


def of_marks(folder: Path) -> Tiny:
    """An ELECTRA with a tokenizer that marks spaces, as that of DeBERTa-v3 does."""
    made = sentencepiece_bpe()
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    config = transformers.ElectraConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, type_vocab_size=1, embedding_size=32, **SIZES
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<unk>"}
    names |= {"unk_token": "<unk>", "mask_token": "<mask>"}
    return build(folder, transformers.ElectraForPreTraining, config, made, **names)


@pytest.fixture(scope="module")
def truths(discriminators: dict[str, Tiny]) -> dict[str, list[list[float]]]:
    """The reference's scores, computed once."""
    return {
        name: expected(tiny, cases(), WORDS) for name, tiny in discriminators.items() if name in ("electra", "deberta")
    }


@pytest.fixture(params=["electra", "deberta"])
def named(request: pytest.FixtureRequest, discriminators: dict[str, Tiny]) -> tuple[str, Tiny]:
    return request.param, discriminators[request.param]


Truths = dict[str, list[list[float]]]
Named = tuple[str, Tiny]


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 3}, {"batch_size": 32}, {"plain": True}])
def test_scores_equal_the_reference_for_every_batch_size(named: Named, truths: Truths, options: dict[str, Any]) -> None:
    name, tiny = named
    made = scorer(tiny, **options)
    found = made.score([prompt_of(case, WORDS) for case in cases()])
    assert_agrees(found, truths[name])
    assert all(scored.cut == 0 for scored in found)
    assert made.head.sparse is not options.get("plain", False)  # the fast way has proved itself
    assert (made.head.last is None) is options.get("plain", False)


def test_scores_do_not_depend_on_the_order_of_the_prompts(named: Named, truths: Truths) -> None:
    name, tiny = named
    order = shuffled(len(cases()))
    found = scorer(tiny, batch_size=5).score([prompt_of(cases()[i], WORDS) for i in order])
    assert_agrees(found, [truths[name][i] for i in order])


def test_the_reference_tells_choices_and_rows_apart(truths: Truths) -> None:
    for rows in truths.values():
        flat = [score for row in rows[: 3 * len(ROWS)] for score in row]
        assert len({round(score, 2) for score in flat}) > 0.9 * len(flat)


@pytest.mark.parametrize("harm", [no_mask, next_positions, no_types])
def test_wrong_inputs_make_the_agreement_fail(
    discriminators: dict[str, Tiny], truths: Truths, monkeypatch: pytest.MonkeyPatch, harm: Any
) -> None:
    made = scorer(discriminators["electra"])
    broken_tensors(monkeypatch, harm)
    found = made.score([prompt_of(case, WORDS) for case in cases()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, truths["electra"])


def test_reading_one_position_off_makes_the_agreement_fail(
    named: Named, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tiny = named
    shifted_reading(monkeypatch)
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(scorer(tiny).score([prompt_of(case, WORDS) for case in cases()]), truths[name])


def test_the_head_of_deberta_looks_at_the_first_token_beside_each(
    discriminators: dict[str, Tiny], truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(self: Any, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.classifier(self.activation(self.dense(self.LayerNorm(states))))[..., 0]
        return found

    monkeypatch.setattr(ReplacedTokenHead, "forward", alone)
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(
            scorer(discriminators["deberta"]).score([prompt_of(case, WORDS) for case in cases()]), truths["deberta"]
        )


def test_a_head_that_cannot_be_run_at_the_word_alone_stays_on(
    discriminators: dict[str, Tiny], truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, forward = (
        discriminators["electra"],
        transformers.models.electra.modeling_electra.ElectraDiscriminatorPredictions,
    )

    def crowded(self: Any, states: torch.Tensor) -> torch.Tensor:
        odd = self.dense_prediction(self.activation(self.dense(states + states.mean(1, keepdim=True))))
        found: torch.Tensor = odd.squeeze(-1)
        return found

    monkeypatch.setattr(forward, "forward", crowded)
    made = scorer(tiny)
    assert made.head.sparse is False
    assert made.mates == "even"  # padding changes what it says
    wanted = expected(tiny, cases(), WORDS)
    assert_agrees(made.score([prompt_of(case, WORDS) for case in cases()]), wanted)
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(made.score([prompt_of(case, WORDS) for case in cases()]), truths["electra"])


def test_a_word_that_is_surely_replaced_has_negative_odds(discriminators: dict[str, Tiny]) -> None:
    tiny = discriminators["electra"]
    prompts = [prompt_of([(f"{row} It was ", ".")], ["good"]) for row in ROWS[:4]]
    before = scorer(tiny).score(prompts)
    made = scorer(tiny)
    with torch.no_grad():
        made.model.discriminator_predictions.dense_prediction.bias.add_(7.0)  # every token is surer to be replaced
    for old, new in zip(before, made.score(prompts), strict=True):
        assert new.scores[0] == pytest.approx(old.scores[0] - 7.0, abs=1e-4)


def test_a_score_is_the_same_where_several_choices_may_hold(discriminators: dict[str, Tiny]) -> None:
    prompts = [prompt_of(case, WORDS) for case in cases()[:5]]
    made = scorer(discriminators["deberta"])
    assert made.score([replace(one, several=True) for one in prompts]) == made.score(prompts)


# ------------------------------------------------------------------ words and spaces


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_means_are_over_a_words_own_tokens(discriminators: dict[str, Tiny], batch_size: int | None) -> None:
    tiny = discriminators["bytes"]
    rows = [row[:50] for row in ROWS[:5]]
    found: list[list[Segment]] = [
        [(row + before, after)] for row in rows for before, after in ((" It was ", "."), ("：", "新闻"))
    ]
    scored = scorer(tiny, batch_size=batch_size).score([prompt_of(case, WORDS) for case in found])
    assert_agrees(scored, expected(tiny, found, WORDS))
    wanted = [[reference.rtd_mean(tiny.model, tiny.tokenizer, c, word) for word in WORDS] for c in found]
    assert_agrees(reference.means(scored), wanted)
    assert {len(one.lead) for one in scored} == {0, len(WORDS)}
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(reference.means([replace(one, lead=()) for one in scored]), wanted)


@pytest.mark.parametrize("name", [one for one in library.names("templates") if one.endswith("-rtd")])
def test_every_template_of_the_shelf_scores_its_example(discriminators: dict[str, Tiny], name: str) -> None:
    template = library.template(name)
    recipe = Recipe.of(template, library.verbalizer_of(template), "rtd")
    made = scorer(discriminators["bytes" if name.startswith("zh") else "electra"])  # with a token for every letter
    (found,) = Classifier(recipe, made).outcomes([example_row(template)])
    assert isinstance(found, Prediction), found
    assert found.gold is not None


@pytest.mark.parametrize("text", ["The {text} was <> .", "<> , it was {text}", "{text} news <>", "sports <> {text}"])
def test_the_sequence_is_the_one_the_tokenizer_makes_of_the_text(discriminators: dict[str, Tiny], text: str) -> None:
    keys = {"scorer": "rtd", "text": text.replace("<>", "{mask}")}
    for tiny in discriminators.values():
        made = scorer(tiny)
        for word, query in zip(WORDS, made.plan(rendered(keys, {"text": "great game"}, WORDS)).queries, strict=True):
            whole = text.replace("<>", word).replace("{text}", "great game")
            assert query.ids == tiny.tokenizer(whole)["input_ids"]
            asked = tiny.tokenizer.decode([query.ids[place] for place in query.asked])
            assert asked.replace(" ", "") == word


def test_each_choice_is_a_forward_of_its_own_and_twins_are_one(
    discriminators: dict[str, Tiny], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scorer(discriminators["electra"])
    prompt = prompt_of([("It was ", ". " + LONG)], ["good", "awful", "GOOD"])
    run: list[int] = []
    answer = made.answer
    monkeypatch.setattr(made, "answer", lambda batch: (run.append(len(batch)), answer(batch))[1])
    first, second = made.score([prompt, prompt])
    assert sum(run) == 2  # GOOD is spelled as good, and both prompts are one
    assert first == second
    assert first.scores[0] == first.scores[2] != first.scores[1]


def test_special_tokens_in_a_text_stay_text(named: Named) -> None:
    _, tiny = named
    text = "[MASK] a [SEP] b </s> e [CLS] f [PAD]"
    segments: list[Segment] = [("It was ", ". " + text)]
    prompt = prompt_of(segments, ["good", "[SEP]"])
    made = scorer(tiny)
    for query in made.plan(prompt).queries:
        special = {tiny.tokenizer.convert_tokens_to_ids(token) for token in SPECIAL.values()}
        special.discard(tiny.tokenizer.unk_token_id)
        assert [i for i in query.ids if i in special] == [query.ids[0], query.ids[-1]]
    assert_agrees(made.score([prompt]), expected(tiny, [segments], ["good", "[SEP]"]))


@pytest.mark.parametrize("cut", ["tail", "head", "middle"])
def test_a_long_text_is_cut_the_same_for_every_choice(named: Named, cut: str) -> None:
    _, tiny = named
    keys = {"scorer": "rtd", "text": "{mask}满意。{text}很好", "fields": {"text": {"cut": cut}}}
    prompt = rendered(keys, {"text": " ".join([LONG] * 4)}, ["很", "不是的"])
    made = scorer(tiny, max_length=30)
    plan = made.plan(prompt)
    text = plan.fitted.pieces[2].text
    assert [len(q.ids) for q in plan.queries] == [28, 30]
    (found,) = made.score([prompt])
    assert found.cut == plan.fitted.cut > 0
    assert_agrees([found], expected(tiny, [[("", f"满意。{text}很好")]], ["很", "不是的"]))


def test_a_word_of_which_the_tokenizer_makes_nothing_fails_its_prompt_alone(discriminators: dict[str, Tiny]) -> None:
    made = scorer(discriminators["electra"])
    good, bad = prompt_of([("It was ", ".")], ["good"]), prompt_of([("It was ", ".")], ["good", "\u0301"])
    first, second = made.score([bad, good])
    assert first.error == "the word '\u0301' is nothing to the tokenizer"
    assert second.error is None


def test_what_a_score_is_the_sum_of_is_told_token_by_token(named: Named) -> None:
    _, tiny = named
    made = scorer(tiny)
    assert isinstance(made, Spelling)
    prompts = [prompt_of(case, WORDS) for case in cases()[:6]]
    for spelled, scored in zip(made.spell(prompts), made.score(prompts), strict=True):
        assert [sum(one.score for one in word) for word in spelled] == pytest.approx(scored.scores, abs=1e-4)
        assert [len(word) for word in spelled] == list(scored.tokens)


def test_a_preview_shows_the_word_in_its_blank(discriminators: dict[str, Tiny]) -> None:
    tokenizer = load_tokenizer(ModelOptions(discriminators["electra"].name))
    assert "rtd" in tokenizer.kinds
    (found,) = tokenizer.tokenized("rtd", [prompt_of([("it was ", " . good day")], ["体育新闻", "awful"])])
    (plan,) = [scorer(discriminators["electra"]).plan(prompt_of([("it was ", " . good day")], ["体育新闻"]))]
    assert [token.id for token in found.tokens] == plan.queries[0].ids
    assert [token.text for token in found.tokens if token.kind is Kind.MASK] == ["体", "育", "新", "闻"]


# ------------------------------------------------------------------ which head is whose


def resaved(tiny: Tiny, folder: Path, **config: Any) -> str:
    """The checkpoint with another config.json; a None takes a key away."""
    shutil.copytree(tiny.folder, folder)
    said = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps({key: value for key, value in said.items() if value is not None}))
    return str(folder)


@pytest.mark.parametrize("said", [["ElectraForMaskedLM"], ["ElectraForPreTraining"], None])
def test_a_generator_and_a_discriminator_are_told_apart_by_their_heads(
    discriminators: dict[str, Tiny], tmp_path: Path, said: list[str] | None
) -> None:
    """Whatever config.json says."""
    generator = electra(tmp_path / "g", transformers.ElectraForMaskedLM)
    for kind, wanted, tiny in (
        ("rtd", "masked-LM head", generator),
        ("mlm", "replaced-token head", discriminators["electra"]),
    ):
        other = {"rtd": "mlm", "mlm": "rtd"}[kind]
        folder = resaved(tiny, tmp_path / kind, architectures=said)
        with pytest.raises(HeadError) as caught:
            load(kind, ModelOptions(folder))
        assert f"what it has is a {wanted}: use a template for scorer {other}" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert load(other, ModelOptions(folder)).score([prompt_of([("It was ", ".")], WORDS)])[0].error is None


def test_a_generator_scores_as_a_cloze(tmp_path: Path) -> None:
    tiny = electra(tmp_path, transformers.ElectraForMaskedLM)
    wanted = [[reference.mlm(tiny.model, tiny.tokenizer, case, word) for word in WORDS] for case in cases()]
    assert_agrees(load("mlm", ModelOptions(tiny.name)).score([prompt_of(c, WORDS) for c in cases()]), wanted)


def test_a_deberta_v3_asked_for_a_cloze_says_which_scorer_it_is_for(discriminators: dict[str, Tiny]) -> None:
    with pytest.raises(HeadError, match="what it has is a replaced-token head: use a template for scorer rtd"):
        load("mlm", ModelOptions(discriminators["deberta"].name))


def test_a_deberta_with_a_masked_lm_head_alone_is_refused(tmp_path: Path) -> None:
    tiny = deberta_v3(tmp_path, transformers.DebertaV2ForMaskedLM)
    with pytest.raises(HeadError, match=r"no replaced-token head: .* what it has is a masked-LM head") as caught:
        scorer(tiny)
    names = ["LayerNorm.bias", "LayerNorm.weight", "classifier.bias", "classifier.weight", "dense.bias", "dense.weight"]
    assert caught.value.lost == tuple(f"mask_predictions.{name}" for name in names)


@pytest.mark.parametrize("lost", ["dense.weight", "LayerNorm.bias", "classifier.bias"])
def test_a_part_of_the_head_that_is_missing_is_named(
    discriminators: dict[str, Tiny], tmp_path: Path, lost: str
) -> None:
    folder = shutil.copytree(discriminators["deberta"].folder, tmp_path / "m")
    file = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    del tensors[f"mask_predictions.{lost}"]
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    with pytest.raises(HeadError, match="no replaced-token head: its weights are not in the checkpoint") as caught:
        load("rtd", ModelOptions(str(folder)))
    assert caught.value.lost == (f"mask_predictions.{lost}",)


def test_pickled_weights_are_read_by_flag_only(discriminators: dict[str, Tiny], tmp_path: Path) -> None:
    """As microsoft/deberta-v3-base has them, whose config.json names no architecture."""
    tiny = discriminators["deberta"]
    folder = resaved(tiny, tmp_path / "m", architectures=None)
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(tiny.model.state_dict(), tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="--allow-pickle"):
        load("rtd", ModelOptions(folder))
    made = load("rtd", ModelOptions(folder, allow_pickle=True))
    assert_agrees(made.score([prompt_of(case, WORDS) for case in cases()[:4]]), expected(tiny, cases()[:4], WORDS))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_families_without_the_head_are_refused_in_one_line(request: pytest.FixtureRequest, family: str) -> None:
    tiny: Tiny = request.getfixturevalue(family)
    with pytest.raises(
        HeadError, match=f"a {family} model has no replaced-token head; use the discriminator of an ELECTRA"
    ):
        load("rtd", ModelOptions(tiny.name))


def test_without_a_model_it_says_that_none_is_built_in() -> None:
    with pytest.raises(OptionError, match="scorer rtd has no built-in model; -m google/electra-base-discriminator"):
        load("rtd", ModelOptions())


def test_what_a_user_types_goes_through(
    discriminators: dict[str, Tiny], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": row, "label": SIDES[i % 2]}) + "\n" for i, row in enumerate(ROWS)))
    model, out = discriminators["electra"].name, str(tmp_path / "out.jsonl")
    assert run_command(["classify", str(rows), "-t", "en-sentiment-rtd", "-m", model, "-o", out]) == 0
    told = json.loads(Path(out + ".run.json").read_text())
    assert told["recipe"]["scorer"] == "rtd"
    assert told["recipe"]["options"]["head"] == ""
    assert len(Path(out).read_text().splitlines()) == len(ROWS)
    assert run_command(["explain", ROWS[1], "-t", "en-sentiment-rtd", "-m", model]) == 0
    assert run_command(["templates", "preview", "en-sentiment-rtd", "-m", model]) == 0
    assert run_command(["templates", "lint", "en-sentiment-rtd", "-m", model]) in (0, 3)
    assert run_command(["classify", str(rows), "-m", model, "-q"]) == 0  # no template: the model's head tells
    assert "Traceback" not in capsys.readouterr().err
    assert run_command(["doctor", "-m", model, "--scorer", "rtd"]) == 3  # random weights
    said = capsys.readouterr().err
    assert re.search(r"^ +ok +fast = plain", said, re.MULTILINE)
    assert "no better than random weights" in said


# ------------------------------------------------------------------ ALBERT


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return albert(tmp_path_factory.mktemp("albert"))


def in_order(tiny: Tiny, a: str, b: str) -> float:
    """z0 - z1 of the head for the order of sentences; 0 is in order."""
    first, second = reference.encode(tiny.tokenizer, a), reference.encode(tiny.tokenizer, b)
    ids = [tiny.tokenizer.cls_token_id, *first, tiny.tokenizer.sep_token_id, *second, tiny.tokenizer.sep_token_id]
    types = torch.tensor([[0] * (len(first) + 2) + [1] * (len(second) + 1)])
    with torch.inference_mode():
        z = tiny.model(input_ids=torch.tensor([ids]), token_type_ids=types).sop_logits[0].double()
    return float(z[0] - z[1])


def pairs() -> list[Prompt]:
    return [prompt_of([row, ("这是", "新闻")], WORDS) for row in [*ROWS, ROWS[1]]]


def test_the_cloze_of_albert_is_sound(both: Tiny) -> None:
    model = transformers.AlbertForMaskedLM.from_pretrained(both.folder).eval()
    wanted = [[reference.mlm(model, both.tokenizer, case, word) for word in WORDS] for case in cases()]
    assert_agrees(load("mlm", ModelOptions(both.name)).score([prompt_of(c, WORDS) for c in cases()]), wanted)


def test_the_order_of_sentences_is_no_next_sentence(both: Tiny) -> None:
    with pytest.raises(HeadError) as caught:
        load("nsp", ModelOptions(both.name))
    assert (
        "an albert model has no next-sentence head, but a sentence-order head, which tells whether A and B stand"
        in str(caught.value)
    )
    assert "if that is what you ask, --head sop" in caught.value.hint


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 3}, {"batch_size": 32}, {"plain": True}])
def test_the_order_of_sentences_is_asked_when_it_is_named(both: Tiny, options: dict[str, Any]) -> None:
    made = load("nsp", ModelOptions(both.name, head="sop", **options))
    wanted = [[in_order(both, row, f"这是{word}新闻") for word in WORDS] for row in [*ROWS, ROWS[1]]]
    order = shuffled(len(wanted))
    found = made.score([pairs()[i] for i in order])
    assert_agrees(found, [wanted[i] for i in order])
    assert made.details["head"] == "sentence-order head"  # type: ignore[attr-defined]


def test_an_albert_without_its_order_head_is_refused(tmp_path: Path) -> None:
    tiny = albert(tmp_path, transformers.AlbertForMaskedLM)
    with pytest.raises(HeadError, match="no sentence-order head: its weights are not in the checkpoint") as caught:
        load("nsp", ModelOptions(tiny.name, head="sop"))
    assert "sop_classifier.classifier.weight" in caught.value.lost
    assert load("mlm", ModelOptions(tiny.name))


@pytest.mark.parametrize(
    ("kind", "family", "said"),
    [
        ("mlm", "bert", "scorer mlm has no head 'sop'; that is for scorer nsp; leave out --head"),
        ("nsp", "bert", "a bert model has no sentence-order head; leave out --head"),
    ],
)
def test_a_head_that_is_not_there_is_one_line(
    request: pytest.FixtureRequest, kind: str, family: str, said: str
) -> None:
    tiny: Tiny = request.getfixturevalue(family)
    with pytest.raises((HeadError, OptionError), match=said):
        load(kind, ModelOptions(tiny.name, head="sop"))


def test_a_run_that_asks_another_head_says_so_and_is_another_run(
    both: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": row, "label": SIDES[i % 2]}) + "\n" for i, row in enumerate(ROWS)))
    out = str(tmp_path / "out.jsonl")
    asked = ["classify", str(rows), "-t", "en-sentiment-nsp", "-m", both.name]
    assert run_command([*asked, "-o", out, "--head", "sop"]) == 0
    assert (
        "the sentence-order head was asked in the place of the next-sentence head: it tells" in capsys.readouterr().err
    )
    told = json.loads(Path(out + ".run.json").read_text())
    assert told["recipe"]["options"]["head"] == "sop"
    assert told["machine"]["head"] == "sentence-order head"
    assert ModelOptions("m", head="sop").identity() != ModelOptions("m").identity()
    assert run_command(["doctor", "-m", both.name, "--head", "sop", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)["findings"]
    assert ("nsp", "fast = plain") in {(one["scorer"], one["check"]) for one in found}


# ------------------------------------------------------------------ RoFormer


def test_roformer_scores_as_the_reference_under_a_cloze(tmp_path: Path) -> None:
    made = wordpiece()
    config = transformers.RoFormerConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, embedding_size=32, **SIZES
    )
    tiny = build(tmp_path, transformers.RoFormerForMaskedLM, config, made, **SPECIAL)
    wanted = [[reference.mlm(tiny.model, tiny.tokenizer, case, word) for word in WORDS] for case in cases()]
    for options in ({}, {"batch_size": 1}, {"batch_size": 3}, {"batch_size": 32}):
        found = load("mlm", ModelOptions(tiny.name, **options)).score([prompt_of(c, WORDS) for c in cases()])
        assert_agrees(found, wanted)


def test_the_class_for_deberta_is_read_from_a_folder_as_it_was_saved(discriminators: dict[str, Tiny]) -> None:
    tiny = discriminators["deberta"]
    again, report = DebertaV2ForReplacedTokens.from_pretrained(tiny.folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    ids = torch.arange(5, 15)[None]
    assert torch.equal(again.eval()(ids).logits, tiny.model(ids).logits)
