"""The causal scorer against the reference, on a tiny GPT-2 and a tiny Llama."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reference
import transformers
from helpers import LENGTH, LONG, ROWS, Tiny, prompt_of, rendered, shuffled
from reference import assert_agrees
from tiny import SIZES, TEXTS, build, byte_bpe, later_positions, shifted_reading
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from promptshot.scorers.causal import CausalPlanner, CausalScorer
from promptshot.scoring import ModelOptions, Prompt, Scope

pytestmark = pytest.mark.torch

WORDS = ["great", "very awful", "a", "体育"]
Case = tuple[str, str, Scope]  # text before the blank, text after it, what is scored


def cases() -> list[Case]:
    """The three ways of scoring around rows of very different lengths."""
    found: list[Case] = []
    for row in ROWS:
        found.append((f"Article: {row}\nTopic: ", "", "choice"))
        found.append((f"{row} It was ", " news.", "choice+rest"))
        found.append(("News about ", f":\n{row}", "rest"))
    return found


def prompt(case: Case, words: list[str] = WORDS) -> Prompt:
    before, after, scored = case
    return prompt_of([(before, after)], words, scored)


def expected_of(tiny: Tiny, case: Case, words: list[str] = WORDS) -> list[float]:
    """What the reference says of one prompt."""
    before, after, scored = case
    model, tokenizer = tiny.model, tiny.tokenizer
    if scored == "rest":
        return [reference.channel(model, tokenizer, before, word, after) for word in words]
    rest = after if scored == "choice+rest" else ""
    return [reference.causal(model, tokenizer, before, word + rest) for word in words]


def scorer(tiny: Tiny, **options: Any) -> CausalScorer:
    return CausalScorer.from_checkpoint(ModelOptions(tiny.name, **options))


Truths = dict[str, list[list[float]]]
Named = tuple[str, Tiny]


@pytest.fixture(scope="module")
def truths(gpt2: Tiny, llama: Tiny) -> Truths:
    """The reference's scores, computed once."""
    return {name: [expected_of(tiny, case) for case in cases()] for name, tiny in (("gpt2", gpt2), ("llama", llama))}


@pytest.fixture(params=["gpt2", "llama"])
def named(request: pytest.FixtureRequest) -> Named:
    return request.param, request.getfixturevalue(request.param)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_scores_equal_the_reference_for_every_batch_size(
    named: Named, truths: Truths, batch_size: int | None, plain: bool
) -> None:
    name, tiny = named
    made = scorer(tiny, batch_size=batch_size, plain=plain)
    assert made.details["engine"] == ("plain (as asked for)" if plain else "shared prefix")
    found = made.score([prompt(case) for case in cases()])
    assert_agrees(found, truths[name])
    assert all(scored.cut == 0 for scored in found)


def test_scores_do_not_depend_on_the_order_of_the_prompts(named: Named, truths: Truths) -> None:
    name, tiny = named
    order = shuffled(len(cases()))
    assert_agrees(scorer(tiny).score([prompt(cases()[i]) for i in order]), [truths[name][i] for i in order])


@pytest.mark.parametrize("plain", [False, True])
def test_reading_one_position_off_makes_the_agreement_fail(
    named: Named, truths: Truths, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    name, tiny = named
    made = scorer(tiny, plain=plain)
    shifted_reading(monkeypatch)
    found = made.score([prompt(case) for case in cases()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, truths[name])


@pytest.mark.parametrize("plain", [False, True])
def test_positions_one_further_on_make_the_agreement_fail(
    gpt2: Tiny, truths: Truths, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    short = [i for i, case in enumerate(cases()) if len(case[0] + case[1]) < 40]
    made = scorer(gpt2, plain=plain)
    later_positions(monkeypatch)
    found = made.score([prompt(cases()[i]) for i in short])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, [truths["gpt2"][i] for i in short])


def test_the_space_before_the_blank_belongs_to_the_word(gpt2: Tiny) -> None:
    made = scorer(gpt2)
    query = made.plan(prompt(("Topic: ", "", "choice"))).queries[0]
    assert gpt2.tokenizer.decode(query.targets[0]) == " great"
    assert len(query.targets[0]) == made.plan(prompt(("Topic: ", "", "choice"))).tokens[0]


@pytest.mark.parametrize("scored", ["choice", "rest"])
def test_a_space_that_is_a_token_of_its_own_is_scored_with_what_follows(gpt2: Tiny, scored: Scope) -> None:
    case: Case = ("Topic: ", "", scored) if scored == "choice" else ("Topic", " 体育", scored)
    words = ["体育"] if scored == "choice" else ["a ", "b "]
    assert gpt2.tokenizer.decode(reference.encode(gpt2.tokenizer, " 体育")[:1]) == " "
    assert_agrees(scorer(gpt2).score([prompt(case, words)]), [expected_of(gpt2, case, words)])


@pytest.mark.parametrize("scored", ["choice", "choice+rest"])
def test_a_word_at_the_very_beginning_follows_the_token_that_begins_texts(named: Named, scored: Scope) -> None:
    _, tiny = named
    case: Case = ("", " news is great", scored)
    found = scorer(tiny).score([prompt(case)])
    assert_agrees(found, [expected_of(tiny, case)])
    bos = tiny.tokenizer.bos_token_id
    assert all(query.ids[0] == bos for query in scorer(tiny).plan(prompt(case)).queries)


# ------------------------------------------------------------------ means over a word's own tokens

BEFORE = ["Topic:\n", "Topic: \n\n", "Topic: ", "Topic:  ", "Topic:\t", "主题：\u3000", "主题：\u3000 ", "\n", "a", ""]
AFTER: list[tuple[str, Scope]] = [("", "choice"), (" news\n", "choice+rest")]


def mean_cases() -> list[Case]:
    """All kinds of white space between rows and words; each with a short and with a long row."""
    rows = [*ROWS[:3], ""]
    return [(row + before, after, scored) for before in BEFORE for row in rows for after, scored in AFTER]


def means_of(tiny: Tiny, case: Case) -> list[float]:
    before, after, _ = case
    return [reference.causal_mean(tiny.model, tiny.tokenizer, before, word, after) for word in WORDS]


@pytest.fixture(scope="module")
def means(gpt2: Tiny, llama: Tiny, joining: Tiny) -> Truths:
    """The reference's means, computed once."""
    tinies = {"gpt2": gpt2, "llama": llama, "joining": joining}
    return {name: [means_of(tiny, case) for case in mean_cases()] for name, tiny in tinies.items()}


@pytest.fixture(scope="module")
def joining(tmp_path_factory: pytest.TempPathFactory, gpt2: Tiny) -> Tiny:
    """A GPT-2 whose tokenizer joins a colon and line breaks to one token, as those of Llama 3 and Qwen do."""
    made = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\s\w]+[\r\n]*|\s*[\r\n]+|\s+"), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(False, use_regex=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator([f"{text}:\n\n{text}:\n" for text in TEXTS * 9], trainer)
    made.decoder = decoders.ByteLevel()
    config = transformers.GPT2Config(**{**gpt2.model.config.to_dict(), "vocab_size": made.get_vocab_size()})
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    return build(tmp_path_factory.mktemp("joining"), transformers.GPT2LMHeadModel, config, made, **names)


@pytest.mark.parametrize("name", ["gpt2", "llama", "joining"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 3}, {"batch_size": 32}, {"plain": True}])
def test_means_are_over_a_words_own_tokens_for_every_batch_size(
    name: str, means: Truths, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    found = scorer(request.getfixturevalue(name), **options).score([prompt(case) for case in mean_cases()])
    assert_agrees(reference.means(found), means[name])


@pytest.mark.parametrize("name", ["gpt2", "llama", "joining"])
def test_a_lead_that_is_counted_with_the_word_makes_the_agreement_fail(
    name: str, means: Truths, request: pytest.FixtureRequest
) -> None:
    made = scorer(request.getfixturevalue(name))
    prompts = [prompt(case) for case in mean_cases()]
    found = made.score(prompts)
    counts = [tuple(len(query.asked) for query in made.plan(one).queries) for one in prompts]
    assert counts != [one.tokens for one in found]
    for wrong in (
        [replace(one, lead=()) for one in found],  # its log p is left in
        [replace(one, tokens=count, lead=()) for one, count in zip(found, counts, strict=True)],  # as sums have it
        [replace(one, tokens=count) for one, count in zip(found, counts, strict=True)],
    ):
        with pytest.raises(AssertionError, match="is not"):
            assert_agrees(reference.means(wrong), means[name])


def test_a_colon_that_a_line_break_is_joined_to_is_no_part_of_the_word(joining: Tiny) -> None:
    made = scorer(joining)
    one = prompt(("Topic:\n", "", "choice"), ["great", "very awful"])
    plan = made.plan(one)
    assert {joining.tokenizer.decode(query.targets[0][:1]) for query in plan.queries} == {":\n"}
    assert [query.leads for query in plan.queries] == [(1,), (1,)]
    assert plan.tokens == tuple(len(ids) for ids in made.planner.words(one))
    assert [joining.tokenizer.decode(ids) for ids in made.planner.words(one)] == ["great", "very awful"]


def test_what_means_leave_out_changes_no_sum_and_costs_no_run(gpt2: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scorer(gpt2)
    prompts = [prompt(case) for case in mean_cases()]
    sizes: list[int] = []
    made.model.get_input_embeddings().register_forward_pre_hook(lambda _, ids: sizes.append(ids[0].numel()))
    found, asked = made.score(prompts), list(sizes)
    monkeypatch.setattr(CausalPlanner, "_leads", lambda self, found, begins: [0] * len(begins))
    sizes.clear()
    assert [one.scores for one in made.score(prompts)] == [one.scores for one in found]  # to the last digit
    assert sizes == asked
    assert any(one.lead for one in found)


def test_a_channel_has_no_lead_for_it_scores_the_text(gpt2: Tiny) -> None:
    (found,) = scorer(gpt2).score([prompt(("About ", ":\n a text", "rest"))])
    assert found.lead == ()


def test_the_likeliest_words_are_those_behind_a_line_break(gpt2: Tiny) -> None:
    made = scorer(gpt2)
    (found,) = made.top([prompt(("Topic:\n", "", "choice"))], 3)
    ids = reference.encode(gpt2.tokenizer, "Topic:\n")
    wanted = reference.logits_of(gpt2.model, ids).log_softmax(-1)[-1].topk(3)
    assert [score for _, score in found] == pytest.approx(wanted.values.tolist(), abs=1e-4)


def test_choices_that_grow_together_with_the_context_are_scored_on_one_condition(gpt2: Tiny) -> None:
    """Where "at" joins the last token of "gre", both words are read from before that token."""
    made = scorer(gpt2)
    before, words = "it was gre", ["at", "xx"]
    plan = made.plan(prompt((before, "", "choice"), words))
    tokenizer, model = gpt2.tokenizer, gpt2.model
    context = reference.encode(tokenizer, before)
    wholes = [reference.encode(tokenizer, before + word) for word in words]
    assert [whole[: len(context)] == context for whole in wholes] == [False, True]
    begin = next(i for i, token in enumerate(wholes[0]) if token != context[i])
    assert [query.asked[0] + 1 for query in plan.queries] == [begin, begin]
    wanted = [[reference.continued(model, whole, begin) for whole in wholes]]
    assert_agrees(made.score([prompt((before, "", "choice"), words)]), wanted)


def test_special_tokens_in_a_text_stay_text(named: Named) -> None:
    _, tiny = named
    kinds: tuple[Scope, ...] = ("choice", "rest")
    for scored in kinds:
        case: Case = ("a <|endoftext|> b </s> c <s> ", " <|endoftext|></s><unk>", scored)
        made = scorer(tiny)
        for query in made.plan(prompt(case)).queries:
            assert [i for i in query.ids if i in tiny.tokenizer.all_special_ids] == made.planner.start
        assert_agrees(made.score([prompt(case)]), [expected_of(tiny, case)])


@pytest.mark.parametrize("scored", ["choice", "rest"])
def test_a_long_text_is_cut_and_scored_as_cut(named: Named, scored: Scope) -> None:
    _, tiny = named
    made = scorer(tiny, max_length=40)
    text = "News: {text}\nTopic: {mask}" if scored == "choice" else "About {mask}:\n{text}"
    keys = {"scorer": "causal", "text": text, "direction": "direct" if scored == "choice" else "channel"}
    long = rendered(keys, {"text": " ".join([LONG] * 3)}, WORDS)
    plan = made.plan(long)
    kept = next(piece.text for piece in plan.fitted.pieces if piece.text.startswith("the movie"))
    wanted = expected_of(tiny, (f"News: {kept}\nTopic: ", "", "choice"))
    if scored == "rest":  # the template's own words behind the blank are context
        model, tokenizer = tiny.model, tiny.tokenizer
        wanted = [reference.channel(model, tokenizer, "About ", word, kept, lead=":\n") for word in WORDS]
    assert plan.fitted.cut > 0
    assert max(len(query.ids) for query in plan.queries) in range(37, 41)
    assert_agrees(made.score([long]), [wanted])


def test_demonstrations_are_dropped_oldest_first_before_the_text_is_cut(gpt2: Tiny) -> None:
    keys = {"scorer": "causal", "text": "{text}\nTopic: {mask}"}
    demos = [f"the movie was great {i}\nTopic: sports\n\n" for i in range(5)]
    made = scorer(gpt2, max_length=80)
    long = rendered(keys, {"text": LONG}, WORDS, *demos)
    plan = made.plan(long)
    (found,) = made.score([long])
    kept = plan.fitted.dropped
    assert 0 < kept < 5
    assert found.dropped == kept
    assert found.cut == 0
    assert [piece.text for piece in plan.fitted.pieces[:-3]] == demos[kept:]
    assert_agrees([found], [expected_of(gpt2, ("".join(demos[kept:]) + LONG + "\nTopic: ", "", "choice"))])


def test_a_template_longer_than_the_model_fails_alone(named: Named, truths: Truths) -> None:
    name, tiny = named
    too_long = rendered({"scorer": "causal", "text": "z" * LENGTH + "{text} {mask}"}, {"text": "a"}, WORDS)
    found = scorer(tiny).score([too_long, *(prompt(case) for case in cases())])
    assert "the template alone takes" in str(found[0].error)
    assert_agrees(found[1:], truths[name])


def test_the_head_runs_on_the_read_positions_only(named: Named) -> None:
    assert scorer(named[1]).head.sparse


@pytest.mark.parametrize("budget", [1, 16, 50, 100_000])
def test_scores_do_not_depend_on_the_budget_nor_on_doubles(named: Named, truths: Truths, budget: int) -> None:
    name, tiny = named
    made = scorer(tiny)
    made.budget = budget
    found = made.score([prompt(case) for case in cases() + cases()])
    assert_agrees(found, truths[name] * 2)
    assert found[: len(cases())] == found[len(cases()) :]  # to the last digit: they are the same nodes


def test_a_choice_of_nothing_costs_nothing(gpt2: Tiny) -> None:
    made = scorer(gpt2)
    made.planner.start = []
    made.tokenizer.bos_token_id = made.tokenizer.eos_token_id = None
    (found,) = made.score([prompt(("", "", "choice"), ["", "a"])])
    assert found.error is None
    assert found.scores[0] == 0.0


def gpt2_like(folder: Path, kind: str, **keys: Any) -> Tiny:
    """A tiny model of another kind with GPT-2's sort of tokenizer."""
    made = byte_bpe(["<|endoftext|>"])
    names = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = getattr(transformers, f"{kind}Config")(vocab_size=made.get_vocab_size(), **names, **keys)
    model = getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")
    return build(folder, model, config, made, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
@pytest.mark.parametrize("window", [8, 30, LENGTH])
@pytest.mark.parametrize(
    ("family", "keys"),
    [("Mistral", {}), ("Gemma3Text", {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]})],
)
def test_prompts_beyond_a_sliding_window_share_what_they_share_and_are_right(
    tmp_path: Path, family: str, keys: dict[str, Any], window: int, batch_size: int | None
) -> None:
    grouped = {"num_key_value_heads": 2, "max_position_embeddings": LENGTH, **SIZES, **keys}
    tiny = gpt2_like(tmp_path, family, sliding_window=window, **grouped)
    made = scorer(tiny, batch_size=batch_size)
    assert made.details["engine"] == "shared prefix"
    assert made.reach >= made.limit
    beyond = [len(query.ids) > window for case in cases() for query in made.plan(prompt(case)).queries]
    assert any(beyond) == (window < LENGTH)
    told: list[int] = []
    made.progress = told.append
    assert_agrees(made.score([prompt(c) for c in cases()]), [expected_of(tiny, c) for c in cases()])
    assert sum(told) == len(cases())


def test_a_kind_that_cannot_share_is_run_plainly_and_says_why(tmp_path: Path) -> None:
    tiny = gpt2_like(tmp_path, "Bloom", hidden_size=32, n_layer=2, n_head=4)
    made = scorer(tiny)
    assert made.details["engine"] == "plain (it takes no position ids)"
    assert_agrees(made.score([prompt(c) for c in cases()]), [expected_of(tiny, c) for c in cases()])


@pytest.mark.parametrize("family", ["gemma2", "cohere"])
def test_a_model_that_caps_or_scales_its_logits_gives_the_same_scores(tmp_path: Path, family: str) -> None:
    made = byte_bpe(["<|endoftext|>"])
    common = {
        "vocab_size": made.get_vocab_size(), "max_position_embeddings": LENGTH, "num_key_value_heads": 2,
        "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, **SIZES,
    }  # fmt: skip
    if family == "gemma2":
        config = transformers.Gemma2Config(final_logit_softcapping=3.0, head_dim=8, **common)
        kind = transformers.Gemma2ForCausalLM
    else:
        config = transformers.CohereConfig(logit_scale=0.25, **common)
        kind = transformers.CohereForCausalLM
    tiny = build(tmp_path, kind, config, made, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    found = scorer(tiny)
    assert found.head.sparse
    assert_agrees(found.score([prompt(c) for c in cases()]), [expected_of(tiny, c) for c in cases()])


def test_a_model_of_which_nothing_begins_a_text_still_scores(tmp_path: Path, gpt2: Tiny) -> None:
    made = byte_bpe(["<|endoftext|>"])
    tiny = build(tmp_path, transformers.GPT2LMHeadModel, gpt2.model.config, made)
    found = scorer(tiny).score([prompt(("", "", "choice"), ["great news", "awful news"])])
    assert found[0].error is None
    assert found[0].tokens[0] >= 1
