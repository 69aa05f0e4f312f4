"""The scorer of encoder-decoders against the reference, on tiny models of the families that it is made for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LENGTH, LONG, ROWS, Tiny, prompt_of, rendered, shuffled
from reference import assert_agrees
from tiny import (
    BART_NAMES,
    T5_NAMES,
    TEXTS,
    bart_config,
    broken_tensors,
    build,
    no_mask,
    randomized,
    roberta_bpe,
    t5_config,
    unigram,
    wordpiece,
)
from tokenizers import AddedToken, Tokenizer

from promptshot.errors import HeadError, ModelError
from promptshot.kinds import made_for
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.engine.decoder import Begun, Decoder
from promptshot.scorers.seq2seq import Seq2seqScorer
from promptshot.scoring import Embedding, ModelOptions, Prompt, Proposing, Spelling

pytestmark = pytest.mark.torch

WORDS = ["good", "好", "体育新闻", "a very long game", "good day", "a very good day"]  # with beginnings in common
Case = tuple[str, str]  # the text before and after the gap
Reference = Callable[[Any, Any, str, str, str], float]


def cases() -> list[Case]:
    """Gaps at the beginning, within and at the end of rows of very different lengths."""
    found: list[Case] = []
    for i, row in enumerate(ROWS):
        found.append(("", "满意。" + row[:60]) if i % 2 else ("It was ", ". " + row[:60]))
        found.append((row[:60] + " It was ", ".") if i % 3 else (row[:60], ""))
    return found


def prompts_of(found: list[Case], words: list[str] | None = None) -> list[Prompt]:
    return [prompt_of([case], words or WORDS) for case in found]


def expected(tiny: Tiny, how: Reference, found: list[Case], words: list[str] | None = None) -> list[list[float]]:
    """What the reference says."""
    return [[how(tiny.model, tiny.tokenizer, *case, word) for word in words or WORDS] for case in found]


def scorer(tiny: Tiny, **options: Any) -> Seq2seqScorer:
    return Seq2seqScorer.from_checkpoint(ModelOptions(tiny.name, **options))


WAYS: dict[str, Reference] = {"t5": reference.t5, "bart": reference.bart}
Truths = dict[str, list[list[float]]]
Named = tuple[str, Tiny]


@pytest.fixture(scope="module")
def truths(t5: Tiny, bart: Tiny) -> Truths:
    """The reference's scores, computed once."""
    return {"t5": expected(t5, reference.t5, cases()), "bart": expected(bart, reference.bart, cases())}


@pytest.fixture(params=[*WAYS])
def named(request: pytest.FixtureRequest) -> Named:
    return request.param, request.getfixturevalue(request.param)


# ------------------------------------------------------------------ scores


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_scores_equal_the_reference_for_every_batch_size(named: Named, truths: Truths, batch_size: int | None) -> None:
    name, tiny = named
    made = scorer(tiny, batch_size=batch_size)
    assert made.details["engine"] == "shared encoder"
    assert made.mates == "any"
    found = made.score(prompts_of(cases()))
    assert_agrees(found, truths[name])
    assert all(scored.cut == 0 for scored in found)


def test_scores_do_not_depend_on_the_order_or_on_doubles(named: Named, truths: Truths) -> None:
    name, tiny = named
    order = [*shuffled(len(cases())), 3, 0, 3, 5]
    found = scorer(tiny, batch_size=5).score(prompts_of([cases()[i] for i in order]))
    assert_agrees(found, [truths[name][i] for i in order])


@pytest.mark.parametrize("way", ["asked for", "not proven"])
def test_the_plain_way_gives_the_same_scores(
    named: Named, truths: Truths, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tiny = named
    if way == "not proven":
        monkeypatch.setattr(Decoder, "_doubt", lambda self: "a probe is off by 1")
    made = scorer(tiny, plain=way == "asked for")
    assert made.details["engine"].startswith("plain (")
    assert_agrees(made.score(prompts_of(cases())), truths[name])


def test_the_reference_tells_choices_and_rows_apart(truths: Truths) -> None:
    for rows in truths.values():
        flat = [score for row in rows for score in row]
        assert len({round(score, 2) for score in flat}) > 0.9 * len(flat)


def test_padding_that_is_attended_to_makes_the_agreement_fail(
    named: Named, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tiny = named
    made = scorer(tiny)
    broken_tensors(monkeypatch, no_mask)
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(made.score(prompts_of(cases())), truths[name])


def test_words_behind_another_rows_states_make_the_agreement_fail(
    named: Named, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tiny = named
    made, of = scorer(tiny), Begun.of
    monkeypatch.setattr(Begun, "of", lambda self, rows: of(self, rows.roll(1)))
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(made.score(prompts_of(cases())), truths[name])


def test_a_way_that_does_not_give_the_models_numbers_is_not_taken(
    named: Named, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tiny = named
    of = Begun.of
    monkeypatch.setattr(Begun, "of", lambda self, rows: of(self, rows.roll(1)))
    made = scorer(tiny)
    assert made.details["engine"].startswith("plain (a probe is off by")
    assert_agrees(made.score(prompts_of(cases())), truths[name])


def test_many_words_are_run_in_parts_of_what_they_see(
    named: Named, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tiny = named
    monkeypatch.setattr("promptshot.scorers.engine.decoder.LEAST_AT_ONCE", 60)
    monkeypatch.setattr("promptshot.scorers.engine.decoder.WORDS_AT_ONCE", 0.1)
    made = scorer(tiny, batch_size=4)
    seen: list[int] = []
    monkeypatch.setattr(Begun, "of", lambda self, rows, of=Begun.of: seen.append(len(rows)) or of(self, rows))
    assert_agrees(made.score(prompts_of(cases())), truths[name])
    assert len(seen) > 2 * math.ceil(len(cases()) / 4)


def test_whole_fillings_of_a_gap_are_of_different_lengths_and_only_one_is_true(t5: Tiny) -> None:
    """The sum over all fillings of one and two tokens is below 1, where words without their end come to more."""
    vocabulary = t5.tokenizer.get_vocab()
    words = [t.lstrip("▁") for t in vocabulary if t.startswith("▁") and len(t) > 3][:6]
    pairs = [*words, *(f"{a} {b}" for a in words for b in words)]
    (found,) = scorer(t5).score([prompt_of([("It was ", ".")], pairs)])
    assert 0 < sum(map(math.exp, found.scores)) < 1


def test_the_tokens_of_a_word_are_its_own(named: Named) -> None:
    _, tiny = named
    made = scorer(tiny)
    (found,) = made.score([prompt_of([("It was ", ".")], WORDS)])
    own = made.planner.words(prompt_of([("It was ", ".")], WORDS))
    assert list(found.tokens) == [len(word) for word in own]
    lead = found.lead
    assert lead[0] == 0 > lead[1]  # "▁" stands alone before a Chinese character
    assert tiny.tokenizer.decode(own[0]).strip() == "good"


# ------------------------------------------------------------------ families


def gated(kind: type[Any], **others: Any) -> Any:
    return t5_config(unigram(), kind, feed_forward_proj="gated-gelu", **others)


FAMILIES: dict[str, tuple[str, Callable[[], Any]]] = {
    "T5 1.1": ("T5", lambda: gated(transformers.T5Config)),
    "mT5": ("MT5", lambda: gated(transformers.MT5Config)),
    "UMT5": ("UMT5", lambda: gated(transformers.UMT5Config)),
    "LongT5": ("LongT5", lambda: t5_config(unigram(), transformers.LongT5Config, local_radius=LENGTH)),
    "Switch": (
        "SwitchTransformers",
        lambda: t5_config(unigram(), transformers.SwitchTransformersConfig, num_experts=2, expert_capacity=LENGTH),
    ),
}


UNTIED = ("T5 1.1", "mT5", "UMT5")


def of_family(name: str, folder: Path) -> Tiny:
    family, config = FAMILIES[name]
    kind = getattr(transformers, f"{family}ForConditionalGeneration")
    tiny = build(folder, kind, config(), unigram(), **T5_NAMES)
    return untied(tiny) if name in UNTIED else tiny


def untied(tiny: Tiny) -> Tiny:
    """With a head of its own, small enough for scores not to be differences of very large numbers; its config.json says
    so as those on the hub do. (transformers itself writes down that all T5 are tied.)"""
    own = torch.randn(tiny.model.lm_head.weight.shape, generator=torch.Generator().manual_seed(7))
    tiny.model.lm_head.weight = torch.nn.Parameter(own * 0.1)
    tiny.model.save_pretrained(tiny.folder)
    path = tiny.folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": False}))
    return tiny


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("name", [*FAMILIES])
def test_families_with_sentinels_give_the_scores_of_the_reference(name: str, batch_size: int, tmp_path: Path) -> None:
    tiny = of_family(name, tmp_path)
    some = [cases()[i] for i in shuffled(len(cases()))[:9]]
    found = scorer(tiny, batch_size=batch_size).score(prompts_of(some))
    assert_agrees(found, expected(tiny, reference.t5, some))


@pytest.mark.parametrize("tied", [True, False])
def test_a_bart_of_chinese_characters_gives_the_scores_of_the_reference(tied: bool, tmp_path: Path) -> None:
    made = wordpiece()
    config = bart_config(roberta_bpe(), tie_word_embeddings=tied)
    config.vocab_size, config.pad_token_id = made.get_vocab_size(), 0
    config.decoder_start_token_id = made.token_to_id("[SEP]")
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tiny = build(tmp_path, transformers.BartForConditionalGeneration, config, made, **names)
    assert_agrees(scorer(tiny).score(prompts_of(cases())), expected(tiny, reference.bart, cases()))


def test_a_longformers_encoder_decoder_is_read_as_bart(tmp_path: Path) -> None:
    made = roberta_bpe()
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40}
    config = transformers.LEDConfig(
        vocab_size=made.get_vocab_size(), max_encoder_position_embeddings=LENGTH, d_model=32,
        max_decoder_position_embeddings=LENGTH, encoder_attention_heads=4, decoder_attention_heads=2,
        attention_window=[16], decoder_start_token_id=2, pad_token_id=1, bos_token_id=0, eos_token_id=2, **sizes,
    )  # fmt: skip
    names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tiny = build(
        tmp_path,
        transformers.LEDForConditionalGeneration,
        config,
        made,
        **names,
        unk_token="<unk>",
        mask_token="<mask>",
    )
    assert_agrees(scorer(tiny).score(prompts_of(cases()[:6])), expected(tiny, reference.bart, cases()[:6]))


def pegasus(folder: Path) -> Tiny:
    """Pegasus, whose sign for a sentence that is left out is <mask_1>, and whose <mask_2> is for its encoder alone."""
    made = unigram(sentinels=0)
    made.add_special_tokens(["<mask_1>", "<mask_2>"])
    sizes = {"encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40}
    config = transformers.PegasusConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, d_model=32, encoder_attention_heads=4,
        decoder_attention_heads=2, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **sizes,
    )  # fmt: skip
    kind = transformers.PegasusForConditionalGeneration
    return build(folder, kind, config, made, **T5_NAMES, mask_token="<mask_2>")


def test_pegasus_writes_the_sentence_that_is_left_out_and_its_end(tmp_path: Path) -> None:
    tiny = pegasus(tmp_path)
    sign, start, end = tiny.tokenizer.convert_tokens_to_ids("<mask_1>"), 0, tiny.tokenizer.eos_token_id
    wanted = []
    for before, after in cases()[:6]:
        head, _, tail = reference.in_a_text(tiny.tokenizer, before, "", after)
        words = [[*reference.encode(tiny.tokenizer, word), end] for word in WORDS]
        wanted.append([reference.seq2seq(tiny.model, [*head, sign, *tail, end], [start], word) for word in words])
    assert_agrees(scorer(tiny).score(prompts_of(cases()[:6])), wanted)


def test_byt5_leaves_out_spans_by_its_last_bytes_as_it_was_trained(tmp_path: Path) -> None:
    tokenizer = transformers.ByT5Tokenizer()
    torch.manual_seed(0)
    config = t5_config(unigram(), vocab_size=384)
    model = randomized(transformers.T5ForConditionalGeneration(config), seed=1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made = scorer(Tiny(tmp_path, model, tokenizer))
    (found,) = made.score([prompt_of([("it is ", " 好")], ["a", "很", "ÿ"])])

    def own(text: str) -> list[int]:
        return [byte + 3 for byte in text.encode()]

    encoded = [*own("it is"), 258, *own(" 好"), 1]
    words = [[*own(f" {word}"), 257] for word in ("a", "很", "ÿ")]
    assert_agrees([found], [[reference.seq2seq(model, encoded, [0, 258], word) for word in words]])
    assert found.tokens == (1, 3, 2)
    assert made.plan(prompt_of([("<extra_id_0>ÿ ", "")], ["a"])).queries[0].ids.count(258) == 1


# ------------------------------------------------------------------ sentinels


def plainly(found: Tokenizer, marks: str) -> Tokenizer:
    """The tokenizer with its sentinels as plain pieces, as mT5 has them: {marks}<extra_id_0>, none of them special."""
    said = json.loads(found.to_str())
    said["added_tokens"] = [t for t in said["added_tokens"] if "extra" not in t["content"]]
    vocab = said["model"]["vocab"]
    said["model"]["vocab"] = [[marks + p if p.startswith("<extra") else p, score] for p, score in vocab]
    return Tokenizer.from_str(json.dumps(said))


def test_the_sentinels_of_mt5_are_pieces_and_a_text_cannot_say_them(tmp_path: Path) -> None:
    made = plainly(unigram(), "▁")
    config = gated(transformers.MT5Config)
    tiny = build(tmp_path, transformers.MT5ForConditionalGeneration, config, made, **T5_NAMES)
    first, second = (made.token_to_id(f"▁<extra_id_{i}>") for i in range(2))
    assert first > second
    assert tiny.tokenizer("a <extra_id_0> b")["input_ids"].count(first) == 1  # the tokenizer itself would
    made_of = scorer(tiny)
    (query,) = made_of.plan(prompt_of([("a <extra_id_0> ", " <extra_id_1> b")], ["good"])).queries
    assert (query.ids.count(first), query.ids.count(second)) == (1, 0)
    assert query.context == (first,)
    assert query.targets[0][-1] == second
    (found,) = made_of.score([prompt_of([("It was ", ", good")], ["good", "体育"])])
    head, _, tail = reference.in_a_text(tiny.tokenizer, "It was ", "", ", good")
    words = [[*reference.in_a_text(tiny.tokenizer, "It was ", w, "")[1], second] for w in ("good", "体育")]
    wanted = [reference.seq2seq(tiny.model, [*head, first, *tail, 1], [0, first], word) for word in words]
    assert_agrees([found], [wanted])


@pytest.mark.parametrize("special", [True, False])
def test_a_sign_for_a_gap_in_a_text_stays_text(special: bool, tmp_path: Path) -> None:
    made = unigram(sentinels=0)
    made.add_tokens([AddedToken(f"<extra_id_{i}>", special=special, normalized=False) for i in range(3)])
    config = t5_config(made)
    tiny = build(tmp_path, transformers.T5ForConditionalGeneration, config, made, **T5_NAMES)
    signs = {tiny.tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in range(3)}
    row = "<extra_id_0> good <extra_id_1></s> <pad> a<extra_id_2>"
    keys = {"scorer": "seq2seq", "text": "It was {mask}. {text}"}
    (query,) = scorer(tiny).plan(rendered(keys, {"text": row}, ["good", "<extra_id_1>"])).queries
    assert [i for i in query.ids if i in signs] == [*query.context]
    assert [i for i in query.ids if i in (0, 1)] == [1]
    assert all(not signs & set(word[:-1]) for word in query.targets)


def test_the_specials_of_bart_in_a_text_stay_text(bart: Tiny) -> None:
    keys = {"scorer": "seq2seq", "text": "{text} It was {mask}."}
    (query,) = scorer(bart).plan(rendered(keys, {"text": "<mask> good </s><s> a"}, ["good"])).queries
    assert query.ids.count(bart.tokenizer.mask_token_id) == 1
    assert query.ids.count(2) == 1
    assert [*query.context].count(0) == 1
    assert bart.tokenizer.mask_token_id not in query.context


# ------------------------------------------------------------------ what is run how often


def test_the_encoder_reads_each_row_once_in_a_window_whatever_words_are_asked_for(named: Named) -> None:
    _, tiny = named
    made = scorer(tiny)
    rows: list[int] = []
    made.head.encoder.register_forward_hook(lambda module, args, kept, out: rows.append(len(out[0])), with_kwargs=True)
    twice = [("It was ", "."), ("It was ", "."), ("很", "。")]
    prompts = [
        prompt_of([case], words) for case, words in zip(twice, (["good", "体育"], ["awful day"], WORDS), strict=True)
    ]
    found = made.score(prompts)
    assert sum(rows) == 2
    wanted = [
        expected(tiny, WAYS[named[0]], [case], list(p.choices))[0] for case, p in zip(twice, prompts, strict=True)
    ]
    assert_agrees(found, wanted)
    assert (found[0].lead != (), found[1].lead) == (True, ())


def test_words_with_a_beginning_in_common_are_run_once(t5: Tiny) -> None:
    made = scorer(t5)
    written: list[torch.Tensor] = []
    made.head.decoder.register_forward_hook(
        lambda module, args, kwargs, out: written.append(kwargs["input_ids"]), with_kwargs=True
    )
    made.score([prompt_of([("It was ", ".")], ["good", "good day", "good day sports", "awful"])])
    context, words, *_ = written  # then its head runs, behind a decoder that has been run
    assert context.tolist() == [[0, t5.tokenizer.convert_tokens_to_ids("<extra_id_0>")]]
    assert len(words) == 2  # "awful", and the longest of the others
    assert words.shape[1] == 3


# ------------------------------------------------------------------ fitting


@pytest.mark.parametrize("cut", ["tail", "head", "middle"])
def test_a_long_text_is_cut_and_the_template_and_the_longest_word_stay(named: Named, cut: str) -> None:
    name, tiny = named
    made = scorer(tiny, max_length=40)
    keys = {"scorer": "seq2seq", "text": "{text} It was {mask}.", "fields": {"text": {"cut": cut}}}
    prompt = rendered(keys, {"text": " ".join([*[LONG] * 4, "good night a lot"])}, ["good", "a very long game"])
    plan = made.plan(prompt)
    (found,) = made.score([prompt])
    (query,) = plan.queries
    written = len(made.head.start) + len(query.context) + max(map(len, query.targets)) - 1
    assert max(len(query.ids), written) in range(36, 41)
    assert found.cut == plan.fitted.cut > 0
    text = plan.fitted.pieces[0].text
    assert text.startswith("the movie") == (cut != "head")
    assert text.endswith("good night a lot") == (cut != "tail")
    assert_agrees([found], expected(tiny, WAYS[name], [(f"{text} It was ", ".")], list(prompt.choices)))


def test_what_the_decoder_has_before_a_word_fits_too(bart: Tiny) -> None:
    """The text stands before the gap, and the word is longer than what follows it."""
    made = scorer(bart)
    keys = {"scorer": "seq2seq", "text": "{text} {mask}"}
    prompt = rendered(keys, {"text": " ".join([LONG] * 4)}, [" ".join([LONG] * 1)[:30]])
    (query,) = made.plan(prompt).queries
    assert 1 + len(query.context) + len(query.targets[0]) - 1 <= LENGTH
    assert len(query.ids) < LENGTH - 5
    assert made.score([prompt])[0].error is None


def test_a_prompt_that_cannot_fit_carries_its_error_and_the_others_are_scored(t5: Tiny, truths: Truths) -> None:
    too_long = rendered({"scorer": "seq2seq", "text": "很" * LENGTH + "{mask}{text}"}, {"text": "a b c"}, WORDS)
    found = scorer(t5).score([*prompts_of(cases())[:3], too_long])
    assert found[3].error is not None
    assert f"of {LENGTH} tokens" in found[3].error
    assert_agrees(found[:3], truths["t5"][:3])


# ------------------------------------------------------------------ what is refused


def test_an_encoder_without_its_decoder_is_refused(t5: Tiny, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes((t5.folder / name).read_bytes())
    transformers.T5EncoderModel.from_pretrained(t5.folder).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((t5.folder / "config.json").read_bytes())
    with pytest.raises(HeadError, match="no decoder with a language-model head: its weights are not in") as caught:
        load("seq2seq", ModelOptions(str(tmp_path)))
    assert any(key.startswith("decoder.block.0") for key in caught.value.lost)


@pytest.mark.parametrize("family", ["T5", "Bart"])
def test_a_body_alone_is_enough_where_its_embeddings_are_the_head(
    family: str, t5: Tiny, bart: Tiny, tmp_path: Path
) -> None:
    tiny = t5 if family == "T5" else bart
    for path in tiny.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    getattr(transformers, f"{family}Model").from_pretrained(tiny.folder).save_pretrained(tmp_path)
    found = load("seq2seq", ModelOptions(str(tmp_path))).score(prompts_of(cases()[:4]))
    assert_agrees(found, expected(tiny, WAYS[family.lower()], cases()[:4]))


def lost_head(tiny: Tiny) -> None:
    """From here on the head is not in the checkpoint."""
    from safetensors.torch import load_file, save_file

    path = tiny.folder / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != "lm_head.weight"}, path, {"format": "pt"})


@pytest.mark.parametrize("family", ["T5 1.1", "mT5", "UMT5", "Bart"])
def test_a_head_of_its_own_that_is_lost_is_refused(family: str, tmp_path: Path) -> None:
    """transformers ties the head of every T5 that lacks one to its embeddings, and says nothing."""
    if family == "Bart":
        made = roberta_bpe()
        kind = transformers.BartForConditionalGeneration
        tiny = build(tmp_path, kind, bart_config(made, tie_word_embeddings=False), made, **BART_NAMES)
    else:
        tiny = of_family(family, tmp_path)
    made_of = load("seq2seq", ModelOptions(tiny.name))
    assert made_of.model.lm_head.weight is not made_of.model.get_input_embeddings().weight  # type: ignore[attr-defined]
    lost_head(tiny)
    with pytest.raises(HeadError, match="no decoder with a language-model head: its weights are not in") as caught:
        load("seq2seq", ModelOptions(tiny.name))
    assert caught.value.lost == ("lm_head.weight",)


def test_models_of_other_kinds_are_refused_with_what_to_take(bert: Tiny, gpt2: Tiny) -> None:
    for tiny in (bert, gpt2):
        with pytest.raises(HeadError, match="is no encoder-decoder for text; use a T5, mT5 or BART"):
            scorer(tiny)


def test_a_tokenizer_without_a_sign_for_a_gap_is_refused(tmp_path: Path) -> None:
    made = unigram(sentinels=0)
    tiny = build(tmp_path, transformers.T5ForConditionalGeneration, t5_config(made), made, **T5_NAMES)
    with pytest.raises(ModelError, match="neither <extra_id_0> nor a mask token"):
        scorer(tiny)


def test_a_model_that_does_not_say_how_its_decoder_begins_is_refused(t5: Tiny, tmp_path: Path) -> None:
    for path in t5.folder.iterdir():
        said = path.read_bytes()
        if path.name in ("config.json", "generation_config.json"):
            found = json.loads(said)
            found.pop("decoder_start_token_id", None)
            said = json.dumps(found).encode()
        (tmp_path / path.name).write_bytes(said)
    with pytest.raises(ModelError, match="no decoder_start_token_id"):
        load("seq2seq", ModelOptions(str(tmp_path)))


def test_a_model_that_writes_in_a_language_of_its_code_is_refused(bart: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(load_tokenizer(ModelOptions(bart.name)).encoder.tokenizer)  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "src_lang", "en_XX", raising=False)
    with pytest.raises(ModelError, match="in a language that a code names"):
        scorer(bart)
    assert "mlm" in load_tokenizer(ModelOptions(bart.name)).kinds  # which asks for no language


def test_signs_that_the_model_has_no_embedding_for_are_refused(tmp_path: Path) -> None:
    made = unigram()
    config = t5_config(made, vocab_size=made.get_vocab_size() - 5)
    tiny = build(tmp_path, transformers.T5ForConditionalGeneration, config, made, **T5_NAMES)
    with pytest.raises(ModelError, match="<extra_id_0>"):
        scorer(tiny)


# ------------------------------------------------------------------ what it can do besides


def test_the_tokens_of_a_word_and_what_closes_it_sum_to_its_score(named: Named) -> None:
    name, tiny = named
    made = scorer(tiny)
    assert isinstance(made, Spelling)
    prompts = prompts_of(cases())
    for scored, spelled in zip(made.score(prompts), made.spell(prompts), strict=True):
        assert [sum(t.score for t in of) for of in spelled] == pytest.approx(scored.scores, abs=1e-4)
        leads = [sum(t.score for t in of if t.lead) for of in spelled]
        assert leads == pytest.approx(scored.lead or [0.0] * len(leads), abs=1e-4)
        ends = int(name == "t5")
        assert [sum(not t.lead for t in of) - ends for of in spelled] == list(scored.tokens)
        assert all(of[-1].text == "<extra_id_1>" for of in spelled) == (name == "t5")


@pytest.mark.parametrize("plain", [True, False])
def test_the_likeliest_tokens_in_a_gap_are_those_of_the_model(t5: Tiny, plain: bool) -> None:
    made = scorer(t5, plain=plain)
    first = t5.tokenizer.convert_tokens_to_ids("<extra_id_0>")
    found = made.top([prompt_of([("It was ", ".")], ["good"]), prompt_of([("", "好")], ["very"])], 3)
    for (before, after), top in zip((("It was ", "."), ("", "好")), found, strict=True):
        head, _, tail = reference.in_a_text(t5.tokenizer, before, "", after)
        ids = torch.tensor([[*head, first, *tail, 1]])
        with torch.inference_mode():
            logits = t5.model(input_ids=ids, decoder_input_ids=torch.tensor([[0, first]])).logits[0, -1]
        best = logits.double().log_softmax(-1).topk(3)
        assert [score for _, score in top] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_words_are_proposed_that_are_one_token_in_the_gap(named: Named) -> None:
    _, tiny = named
    made = scorer(tiny)
    assert isinstance(made, Proposing)
    prompts = [prompt_of([(f"{row[:30]} It was ", ".")], ["good"]) for row in ROWS[:3]]
    (found,) = made.propose(prompts, [[1.0, 1.0, 1.0]], 12)
    assert len(found) == len(set(found)) == 12
    (scored, *_) = made.score([prompt_of([(f"{ROWS[0]} It was ", ".")], found)])
    assert set(scored.tokens) == {1}
    means = [sum(of) for of in zip(*(_first_tokens(made, prompt, found) for prompt in prompts), strict=True)]
    assert means == sorted(means, reverse=True)


def _first_tokens(made: Seq2seqScorer, prompt: Prompt, words: list[str]) -> list[float]:
    (spelled,) = made.spell([Prompt(prompt.pieces, tuple(words))])
    return [of[0].score for of in spelled]


def test_texts_are_embedded_by_the_encoder(named: Named) -> None:
    _, tiny = named
    made = scorer(tiny)
    assert isinstance(made, Embedding)
    found = made.embed([*ROWS])
    for row, vector in zip(ROWS, found, strict=True):
        ids = tiny.tokenizer(row, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            wanted = tiny.model.get_encoder()(ids)[0][0].mean(0)
        assert list(vector) == pytest.approx(wanted.tolist(), abs=1e-4)


def test_layers_of_both_sides_count(t5: Tiny, bart: Tiny) -> None:
    assert (scorer(t5).layers, scorer(bart).layers) == (5, 6)


@pytest.mark.parametrize(
    ("architecture", "wanted"),
    [
        ("T5ForConditionalGeneration", "seq2seq"),
        ("T5WithLMHeadModel", "seq2seq"),
        ("UMT5ForConditionalGeneration", "seq2seq"),
        ("BartForConditionalGeneration", "seq2seq"),
        ("PegasusForConditionalGeneration", "seq2seq"),
        ("WhisperForConditionalGeneration", None),
        ("Qwen2AudioForConditionalGeneration", None),
        ("MBartForConditionalGeneration", None),
        ("T5EncoderModel", None),
    ],
)
def test_a_configuration_tells_that_a_model_is_made_for_it(architecture: str, wanted: str | None) -> None:
    assert made_for({"architectures": [architecture], "is_encoder_decoder": True}) == wanted


def test_every_text_of_the_tests_is_known_to_their_tokenizer() -> None:
    made = unigram()
    assert all(2 not in made.encode(text).ids for text in TEXTS)
