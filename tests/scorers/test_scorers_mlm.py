"""The cloze scorer against the reference, on a tiny BERT and a tiny RoBERTa."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import reference
import transformers
from helpers import LENGTH, LONG, ROWS, Tiny, prompt_of, rendered, shuffled
from reference import Segment, assert_agrees
from tiny import (
    bert_config,
    broken_tensors,
    build,
    next_positions,
    no_mask,
    no_types,
    sentencepiece_bpe,
    shifted_reading,
    wordpiece,
)

from promptshot.errors import ModelError
from promptshot.scorers.engine import heads
from promptshot.scorers.mlm import MlmScorer
from promptshot.scoring import Kind, ModelOptions, Piece, Prompt, Scored

pytestmark = pytest.mark.torch

WORDS = ["good", "好", "体育新闻", "awful"]  # of different token counts
SPECIALS = "[MASK] a [SEP] b <mask> c </s> d <s> e [CLS] <pad> f [PAD]"


def cases() -> list[list[Segment]]:
    """Prefix, suffix and pair templates around rows of very different lengths."""
    found: list[list[Segment]] = []
    for i, row in enumerate(ROWS):
        found.append([("", "满意。" + row)] if i % 2 else [("It was ", ". " + row)])
        found.append([(row + " It was ", ".")] if i % 3 else [(row, "")])
        found.append([row[:40], ("the ", " news")] if i % 2 else [("", "新闻"), row[:40]])
    return found


def expected(tiny: Tiny, prompts: list[list[Segment]], words: list[str]) -> list[list[float]]:
    """What the reference says."""
    return [[reference.mlm(tiny.model, tiny.tokenizer, p, word) for word in words] for p in prompts]


def scorer(tiny: Tiny, **options: Any) -> MlmScorer:
    return MlmScorer.from_checkpoint(ModelOptions(tiny.name, **options))


@pytest.fixture(scope="module")
def truths(bert_mlm: Tiny, roberta: Tiny) -> dict[str, list[list[float]]]:
    """The reference's scores, computed once."""
    return {"bert_mlm": expected(bert_mlm, cases(), WORDS), "roberta": expected(roberta, cases(), WORDS)}


@pytest.fixture(params=["bert_mlm", "roberta"])
def named(request: pytest.FixtureRequest) -> tuple[str, Tiny]:
    return request.param, request.getfixturevalue(request.param)


Truths = dict[str, list[list[float]]]
Named = tuple[str, Tiny]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_scores_equal_the_reference_for_every_batch_size(named: Named, truths: Truths, batch_size: int | None) -> None:
    name, tiny = named
    found = scorer(tiny, batch_size=batch_size).score([prompt_of(case, WORDS) for case in cases()])
    assert_agrees(found, truths[name])
    assert all(scored.cut == 0 for scored in found)


def test_scores_do_not_depend_on_the_order_of_the_prompts(named: Named, truths: Truths) -> None:
    name, tiny = named
    order = shuffled(len(cases()))
    found = scorer(tiny, batch_size=5).score([prompt_of(cases()[i], WORDS) for i in order])
    assert_agrees(found, [truths[name][i] for i in order])


def test_the_reference_tells_choices_and_rows_apart(truths: Truths) -> None:
    for rows in truths.values():
        flat = [score for row in rows for score in row]
        assert len({round(score, 2) for score in flat}) > 0.9 * len(flat)


@pytest.mark.parametrize("harm", [no_mask, next_positions, no_types])
def test_wrong_inputs_make_the_agreement_fail(
    bert_mlm: Tiny, truths: Truths, monkeypatch: pytest.MonkeyPatch, harm: Any
) -> None:
    made = scorer(bert_mlm)
    broken_tensors(monkeypatch, harm)
    found = made.score([prompt_of(case, WORDS) for case in cases()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, truths["bert_mlm"])


def test_padding_that_is_attended_to_makes_the_agreement_fail_for_roberta(
    roberta: Tiny, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scorer(roberta)
    broken_tensors(monkeypatch, no_mask)
    found = made.score([prompt_of(case, WORDS) for case in cases()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, truths["roberta"])


def test_reading_one_position_off_makes_the_agreement_fail(
    named: Named, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, tiny = named
    shifted_reading(monkeypatch)
    found = scorer(tiny).score([prompt_of(case, WORDS) for case in cases()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, truths[name])


def test_tokens_are_counted_for_each_word(bert_mlm: Tiny) -> None:
    (found,) = scorer(bert_mlm).score([prompt_of([("很", "满意")], WORDS)])
    assert found.tokens == (1, 1, 4, 1)


def mean_cases() -> list[list[Segment]]:
    """With and without a space before the blank, in the middle and at the beginning."""
    rows = [row[:60] for row in ROWS[:5]]
    return [[(row + before, after)] for row in rows for before, after in ((" It was ", "."), ("：", "新闻"))] + [
        [("", " 是" + row)] for row in rows
    ]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_means_are_over_a_words_own_tokens_for_every_batch_size(named: Named, batch_size: int | None) -> None:
    _, tiny = named
    found = scorer(tiny, batch_size=batch_size).score([prompt_of(case, WORDS) for case in mean_cases()])
    wanted = [[reference.mlm_mean(tiny.model, tiny.tokenizer, c, word) for word in WORDS] for c in mean_cases()]
    assert_agrees(reference.means(found), wanted)


def test_a_space_that_is_counted_with_the_word_makes_the_agreement_fail(roberta: Tiny) -> None:
    made = scorer(roberta)
    prompts = [prompt_of(case, WORDS) for case in mean_cases()]
    found = made.score(prompts)
    wanted = [[reference.mlm_mean(roberta.model, roberta.tokenizer, c, word) for word in WORDS] for c in mean_cases()]
    assert {len(one.lead) for one in found} == {0, len(WORDS)}
    for wrong in ([replace(one, lead=()) for one in found], [with_leads(made, *pair) for pair in zip(prompts, found)]):  # noqa: B905
        with pytest.raises(AssertionError, match="is not"):
            assert_agrees(reference.means(wrong), wanted)


def with_leads(made: MlmScorer, prompt: Prompt, found: Scored) -> Scored:
    """The same with every mask counted."""
    masks = {i: len(query.asked) for query in made.plan(prompt).queries for i in query.choices}
    return replace(found, tokens=tuple(masks[i] for i in range(len(WORDS))), lead=())


def test_a_space_of_its_own_has_a_mask_and_is_no_token_of_the_word(roberta: Tiny) -> None:
    made = scorer(roberta)
    one = prompt_of([("it was ", ".")], ["great", "体"])
    assert [roberta.tokenizer.decode(word) for word in made.planner.words(one)] == [" great", "体"]
    plan = made.plan(one)
    assert plan.tokens == tuple(map(len, made.planner.words(one)))
    masks = {query.choices: len(query.asked) for query in plan.queries}
    assert masks == {(0,): plan.tokens[0], (1,): plan.tokens[1] + 1}
    (found,) = made.score([one])
    assert found.lead[0] == 0 > found.lead[1]


def test_words_of_one_length_share_a_forward(bert_mlm: Tiny) -> None:
    plan = scorer(bert_mlm).plan(prompt_of([("", "满意")], ["好", "体育", "不", "新闻"]))
    assert [query.choices for query in plan.queries] == [(0, 2), (1, 3)]


@pytest.mark.parametrize(
    "text", ["The movie was <mask>.", "<mask> , it was great", "great<mask> news", "great, <mask>", "很<mask>满意。"]
)
def test_the_sequence_is_the_one_the_tokenizer_makes_of_a_text_with_its_mask(
    bert_mlm: Tiny, roberta: Tiny, xlm: Tiny, text: str
) -> None:
    before, after = text.split("<mask>")
    for tiny in (bert_mlm, roberta, xlm):
        made = scorer(tiny)
        (query,) = made.plan(prompt_of([(before, after)], ["a"])).queries
        assert query.ids == tiny.tokenizer(text.replace("<mask>", tiny.tokenizer.mask_token))["input_ids"]


def test_a_space_before_the_blank_moves_into_the_word(roberta: Tiny) -> None:
    made = scorer(roberta)
    spelled = made.plan(prompt_of([("it was ", ".")], ["great"])).queries[0].targets[0]
    assert roberta.tokenizer.decode(spelled) == " great"
    spelled = made.plan(prompt_of([("it was", ".")], ["great"])).queries[0].targets[0]
    assert roberta.tokenizer.decode(spelled) == "great"


def test_a_space_at_the_end_of_the_other_segment_stays_there(roberta: Tiny) -> None:
    segments: list[Segment] = ["it was ", ("", " news")]
    made = scorer(roberta)
    prompt = prompt_of(segments, ["great"])
    assert roberta.tokenizer.decode(made.plan(prompt).queries[0].targets[0]) == "great"
    assert_agrees(made.score([prompt]), expected(roberta, [segments], ["great"]))


def test_special_tokens_in_a_text_stay_text(named: Named) -> None:
    _, tiny = named
    segments: list[Segment] = [("It was ", ". " + SPECIALS)]
    made = scorer(tiny)
    prompt = prompt_of(segments, ["good"])
    ids = made.plan(prompt).queries[0].ids
    tokenizer = tiny.tokenizer
    assert ids.count(tokenizer.mask_token_id) == len(made.plan(prompt).queries[0].targets[0])
    assert [i for i in ids if i in (tokenizer.cls_token_id, tokenizer.sep_token_id)] == [ids[0], ids[-1]]
    assert tokenizer.pad_token_id not in ids
    assert_agrees(made.score([prompt]), expected(tiny, [segments], ["good"]))


def long_prompt(**keys: Any) -> Prompt:
    """The template "{mask}满意。{text}很好" around a text of 60 words, and its keys."""
    text = " ".join([LONG] * 4)
    return rendered({"scorer": "mlm", "text": "{mask}满意。{text}很好", **keys}, {"text": text}, ["很", "不是的"])


@pytest.mark.parametrize("cut", ["tail", "head", "middle"])
def test_a_long_text_is_cut_and_the_template_and_the_longest_word_stay(bert_mlm: Tiny, cut: str) -> None:
    made = scorer(bert_mlm, max_length=30)
    prompt = long_prompt(fields={"text": {"cut": cut}})
    plan = made.plan(prompt)
    (found,) = made.score([prompt])
    text = plan.fitted.pieces[2].text
    assert [len(q.ids) for q in plan.queries] == [28, 30]
    assert found.cut == plan.fitted.cut == 60 + 4 - 20
    assert text.startswith("the movie") == (cut != "head")
    assert text.endswith("a lot") == (cut != "tail")
    wanted = [reference.mlm(bert_mlm.model, bert_mlm.tokenizer, [("", f"满意。{text}很好")], w) for w in prompt.choices]
    assert_agrees([found], [wanted])


def test_a_text_of_bytes_is_cut_to_fit_and_scored_as_cut(roberta: Tiny) -> None:
    made = scorer(roberta, max_length=40)
    for cut in ("tail", "head", "middle"):
        keys = {"scorer": "mlm", "text": "{text} It was {mask}.", "fields": {"text": {"cut": cut}}}
        prompt = rendered(keys, {"text": "龘𠮷😀 a déjà " * 9}, ["good", "awful"])
        plan = made.plan(prompt)
        assert plan.fitted.cut > 0
        assert max(len(q.ids) for q in plan.queries) in range(34, 41)
        text = plan.fitted.pieces[0].text + " It was "
        wanted = [reference.mlm(roberta.model, roberta.tokenizer, [(text, ".")], w) for w in prompt.choices]
        assert_agrees(made.score([prompt]), [wanted])


def test_a_prompt_that_cannot_fit_carries_its_error_and_the_others_are_scored(bert_mlm: Tiny, truths: Truths) -> None:
    prompts = [prompt_of(case, WORDS) for case in cases()]
    too_long = rendered({"scorer": "mlm", "text": "很" * LENGTH + "{mask}{text}"}, {"text": "a b c"}, WORDS)
    found = scorer(bert_mlm).score([*prompts[:3], too_long, *prompts[3:]])
    assert found[3].error is not None
    assert f"of {LENGTH} tokens" in found[3].error
    assert found[3].scores == ()
    assert_agrees(found[:3] + found[4:], truths["bert_mlm"])


def test_demonstrations_stand_before_the_text(bert_mlm: Tiny) -> None:
    keys = {"scorer": "mlm", "text": "{text}，很{mask}。"}
    prompt = rendered(keys, {"text": "房间"}, ["好"], "早餐，很好。\n", "天气，不好。\n")
    segments: list[Segment] = [("早餐，很好。\n天气，不好。\n房间，很", "。")]
    assert_agrees(scorer(bert_mlm).score([prompt]), expected(bert_mlm, [segments], ["好"]))


def test_a_hole_beside_the_blank_is_closed(bert_mlm: Tiny) -> None:
    pieces = (Piece(Kind.MASK), Piece(Kind.FIELD, "：天气"), Piece(Kind.HOLE), Piece(Kind.FIELD, "真好"))
    found = scorer(bert_mlm).score([Prompt(pieces, ("好",))])
    assert_agrees(found, expected(bert_mlm, [[("", "：天气真好")]], ["好"]))


def test_the_head_runs_on_the_read_positions_only(named: Named) -> None:
    assert scorer(named[1]).head.sparse


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("family", ["DistilBert", "Electra", "ModernBert", "Albert", "DebertaV2", "RoFormer", "Ernie"])
def test_encoders_of_other_families_give_the_same_scores(
    family: str, sparse: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the head on the read positions only, and with the whole model's logits where that is not possible."""
    made = wordpiece()
    sizes = {"DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}}.get(
        family, {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    )
    kind = getattr(transformers, f"{family}ForMaskedLM")
    config = getattr(transformers, f"{family}Config")(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, pad_token_id=0, **sizes
    )
    tiny = build(tmp_path, kind, config, made, **dict(bert_special()))
    if not sparse:
        monkeypatch.setattr(heads, "same", lambda *ways: False)
    found = scorer(tiny)
    assert found.head.sparse is sparse
    plain: list[list[Segment]] = [case for case in cases() if len(case) == 1]
    scores = found.score([prompt_of(c, WORDS) for c in plain])
    if not getattr(config, "type_vocab_size", 0):
        tiny.model.config.type_vocab_size = 0
    assert_agrees(scores, expected(tiny, plain, WORDS))


def test_behind_the_last_attention_only_read_positions_go_on(bert_mlm: Tiny) -> None:
    made = scorer(bert_mlm)
    seen: list[int] = []
    layer = made.model.base_model.encoder.layer
    layer[0].output.register_forward_hook(lambda module, inputs, found: seen.append(found.shape[-2]))
    layer[-1].output.register_forward_hook(lambda module, inputs, found: seen.append(found.shape[-2]))
    made.score([prompt_of([("", "天气真好，我们去公园")], ["好", "坏"])])
    assert seen[0] > 5
    assert seen[1] == 1


def bert_special() -> list[tuple[str, str]]:
    """The names of BERT's special tokens."""
    return [(f"{name}_token", f"[{name.upper()}]") for name in ("pad", "unk", "cls", "sep", "mask")]


def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path: Any) -> None:
    made = wordpiece()
    names = {name: token for name, token in bert_special() if name != "mask_token"}
    tiny = build(tmp_path, transformers.BertForMaskedLM, bert_config(made), made, **names)
    with pytest.raises(ModelError, match="no mask token"):
        scorer(tiny)


def test_a_model_that_mixes_padding_in_is_refused(tmp_path: Any) -> None:
    made = wordpiece()
    config = transformers.FNetConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, hidden_size=32, num_hidden_layers=1,
        intermediate_size=32, type_vocab_size=2,
    )  # fmt: skip
    tiny = build(tmp_path, transformers.FNetForMaskedLM, config, made, **dict(bert_special()))
    with pytest.raises(ModelError, match="fnet model cannot leave out the padding"):
        scorer(tiny)


@pytest.fixture(scope="module")
def xlm(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """RoBERTa with a tokenizer that marks spaces, as XLM-RoBERTa has it."""
    made = sentencepiece_bpe()
    made.add_special_tokens([transformers.AddedToken("<mask>", lstrip=True, special=True)])
    config = transformers.RobertaConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH + 2, hidden_size=32, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32, type_vocab_size=1,
    )  # fmt: skip
    names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
    folder = tmp_path_factory.mktemp("xlm")
    return build(folder, transformers.RobertaForMaskedLM, config, made, **names)


# ------------------------------------------------------------------ demonstrations

FILLED = ["the movie was great. It was good.\n", "的文章很满意。好\n", "sports news last night. It was awful.\n"]
BEFORE = "".join(FILLED)


def test_filled_sentences_before_a_text_equal_the_reference(named: Named) -> None:
    _, tiny = named
    one, two = {"scorer": "mlm", "text": "{text} It was {mask}."}, {"scorer": "mlm", "text": ["{mask}新闻", "{text}"]}
    prompts = [rendered(keys, {"text": text}, WORDS, *FILLED) for text in ROWS[:4] for keys in (one, two)]
    wanted: list[list[Segment]] = []
    for text in ROWS[:4]:
        wanted += [[(f"{BEFORE}{text} It was ", ".")], [(BEFORE, "新闻"), text]]
    kept = [(prompt, case) for prompt, case in zip(prompts, wanted, strict=True) if fits(tiny, case)]
    assert len(kept) > 4
    made = scorer(tiny, batch_size=3)
    assert_agrees(made.score([prompt for prompt, _ in kept]), expected(tiny, [case for _, case in kept], WORDS))


def fits(tiny: Tiny, case: list[Segment]) -> bool:
    """Whether it need not be cut, whichever the word."""
    texts = [segment if isinstance(segment, str) else "".join(segment) for segment in case]
    longest = max(len(reference.encode(tiny.tokenizer, f" {word}")) for word in WORDS)
    return sum(len(reference.encode(tiny.tokenizer, text)) for text in texts) + longest + 6 <= LENGTH


def test_whole_demonstrations_go_oldest_first_before_the_text_of_a_cloze_is_cut(bert_mlm: Tiny) -> None:
    keys = {"scorer": "mlm", "text": ["It was {mask}. {text}", "{other}"]}
    filled = [f"It was good. the food was great {i}\n" for i in range(9)]
    prompt = rendered(keys, {"text": LONG, "other": "good day"}, ["good"], *filled)
    made = scorer(bert_mlm)
    (found,), dropped = made.score([prompt]), made.plan(prompt).fitted.dropped
    assert 0 < dropped < 9
    assert (found.dropped, found.cut) == (dropped, 0)
    case: list[Segment] = [("".join(filled[dropped:]) + "It was ", f". {LONG}"), "good day"]
    assert_agrees([found], expected(bert_mlm, [case], ["good"]))
