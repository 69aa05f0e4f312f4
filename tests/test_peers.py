"""Agreement with other tools on the same strings, and the defects read in them, each as a case of ours.

A peer that is not installed is skipped. lm-evaluation-harness and minicons: `pip install lm-eval minicons`.
OpenPrompt lives in an environment of its own: see tests/peers/openprompt_scores.py, and name that environment's
Python in PROMPTSHOT_OPENPROMPT_PYTHON.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LONG, ROWS, Tiny, prompt_of, rendered
from reference import assert_agrees

from promptshot import shelf
from promptshot.classify.classifier import Classifier
from promptshot.classify.recipe import Recipe
from promptshot.errors import RowError, TemplateError, VerbalizerError
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.row import Row
from promptshot.scorers import load
from promptshot.scorers.mlm import MlmScorer
from promptshot.scoring import Kind, ModelOptions, Prompt, Scored

pytestmark = pytest.mark.torch

TOLERANCE = 1e-4
OPENPROMPT = os.environ.get("PROMPTSHOT_OPENPROMPT_PYTHON")


def assert_close(name: str, found: Sequence[Scored], wanted: Sequence[Sequence[float]]) -> None:
    """Agreement to 1e-4; `pytest -s` shows the largest difference."""
    pairs = [(a, b) for scored, row in zip(found, wanted, strict=True) for a, b in zip(scored.scores, row, strict=True)]
    print(f"\n{name}: {len(pairs)} scores, largest difference {max(abs(a - b) for a, b in pairs):.1e}")
    assert_agrees(found, wanted, TOLERANCE)


@pytest.fixture(scope="module")
def built_in_bert() -> Path:
    return Path(str(shelf.builtin_model("builtin:bert")))


@pytest.fixture(scope="module")
def built_in_gpt2() -> Path:
    return Path(str(shelf.builtin_model("builtin:gpt2")))


# ------------------------------------------------------------------ transformers: fill-mask


def fill_mask(folder: Path, texts: Sequence[str], entries: Sequence[str]) -> list[list[float]]:
    """ln of what the pipeline says of these entries of the vocabulary."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).float().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipe = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")
    wanted = []
    for text in texts:
        said = pipe(text.replace("[MASK]", tokenizer.mask_token), targets=list(entries))
        score = {answer["token"]: math.log(answer["score"]) for answer in said}
        wanted.append([score[tokenizer.convert_tokens_to_ids(entry)] for entry in entries])
    return wanted


def cloze_rows() -> list[tuple[str, str]]:
    """The texts before and after the blank."""
    return [("", f"满意。{row}") for row in ROWS] + [(f"{row} It was ", ".") for row in ROWS]


def test_cloze_scores_are_those_of_the_fill_mask_pipeline(bert_mlm: Tiny) -> None:
    words = ["good", "好", "great", "不"]
    wanted = fill_mask(bert_mlm.folder, [f"{a}[MASK]{b}" for a, b in cloze_rows()], words)
    found = load("mlm", ModelOptions(bert_mlm.name)).score([prompt_of([case], words) for case in cloze_rows()])
    assert_close("fill-mask, tiny BERT", found, wanted)


def test_cloze_scores_of_byte_level_tokenizers_are_those_of_the_pipeline(roberta: Tiny) -> None:
    tokenizer = roberta.tokenizer
    vocabulary = tokenizer.get_vocab()
    words = [w for w in ("a", "the", "it", "b", "good", "great", "was") if f"Ġ{w}" in vocabulary]
    assert len(words) > 1
    cases = [case for case in cloze_rows() if case[0].endswith(" ")]
    wanted = fill_mask(roberta.folder, [f"{a}[MASK]{b}" for a, b in cases], [f"Ġ{word}" for word in words])
    found = load("mlm", ModelOptions(roberta.name)).score([prompt_of([case], words) for case in cases])
    assert_close("fill-mask, tiny RoBERTa", found, wanted)


def test_cloze_scores_of_the_built_in_model_are_those_of_the_pipeline(built_in_bert: Path) -> None:
    words = ["很", "不", "good", "bad"]
    wanted = fill_mask(built_in_bert, [f"{a}[MASK]{b}" for a, b in cloze_rows()], words)
    found = load("mlm", ModelOptions()).score([prompt_of([case], words) for case in cloze_rows()])
    assert_close("fill-mask, built-in BERT", found, wanted)


# ------------------------------------------------------------------ transformers: next sentences


@torch.inference_mode()
def next_sentence(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """z0 - z1 of BertForNextSentencePrediction, one pair after the other."""
    model = transformers.BertForNextSentencePrediction.from_pretrained(folder).float().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    margins = []
    for a, b in pairs:
        logits = model(**tokenizer(a, b, return_tensors="pt", return_token_type_ids=True)).logits[0]
        margins.append(float(logits[0] - logits[1]))
    return margins


@pytest.mark.parametrize("name", ["tiny", "built-in"])
def test_pair_scores_are_those_of_a_plain_loop(name: str, bert_nsp: Tiny, built_in_bert: Path) -> None:
    folder = bert_nsp.folder if name == "tiny" else built_in_bert
    words = ["体育", "good", "财经"]
    wanted = [next_sentence(folder, [(f"这是一则{word}新闻", row) for word in words]) for row in ROWS]
    prompts = [prompt_of([("这是一则", "新闻"), row], words) for row in ROWS]
    assert_close(
        f"BertForNextSentencePrediction, {name}", load("nsp", ModelOptions(str(folder))).score(prompts), wanted
    )


# ------------------------------------------------------------------ lm-evaluation-harness


def completions() -> list[tuple[str, list[str]]]:
    """Contexts with and without a space at the end, words of several tokens."""
    words = ["great", "very awful", "a", "体育 news"]
    return [(f"Article: {row}\nTopic: ", words) for row in ROWS] + [(f"{row}。主题：", words) for row in ROWS]


def harness(folder: Path, cases: Sequence[tuple[str, list[str]]]) -> list[list[float]]:
    """HFLM.loglikelihood of every (context, continuation)."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=4)
    asked = [(context, word) for context, words in cases for word in words]
    requests = [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i) for i, pair in enumerate(asked)]
    said = iter(model.loglikelihood(requests, disable_tqdm=True))
    return [[next(said)[0] for _ in words] for _, words in cases]


@pytest.mark.parametrize("name", ["gpt2", "llama", "built-in"])
def test_completions_score_as_in_the_evaluation_harness(
    name: str, gpt2: Tiny, llama: Tiny, built_in_gpt2: Path
) -> None:
    folder = {"gpt2": gpt2.folder, "llama": llama.folder, "built-in": built_in_gpt2}[name]
    cases = completions() + ([("", ["great news", "体育"])] if name != "built-in" else [])
    wanted = harness(folder, cases)
    found = load("causal", ModelOptions(str(folder))).score([prompt_of([(a, "")], words) for a, words in cases])
    assert_close(f"lm-eval, {name}", found, wanted)


# ------------------------------------------------------------------ minicons


def test_completions_score_as_in_minicons(gpt2: Tiny, built_in_gpt2: Path) -> None:
    minicons = pytest.importorskip("minicons.scorer", reason="minicons is not installed")
    words = ["great news", "awful", "体育"]
    contexts = [f"{row} It was" for row in ROWS]
    for folder in (gpt2.folder, built_in_gpt2):
        peer = minicons.IncrementalLMScorer(str(folder), "cpu", dtype=torch.float32)
        wanted = [
            [peer.conditional_score([c], [w], reduction=lambda scores: float(scores.sum()))[0] for w in words]
            for c in contexts
        ]
        found = load("causal", ModelOptions(str(folder))).score([prompt_of([(f"{c} ", "")], words) for c in contexts])
        assert_close(f"minicons conditional_score, {folder.name}", found, wanted)


def test_one_masked_token_scores_as_in_minicons(bert_mlm: Tiny, built_in_bert: Path) -> None:
    minicons = pytest.importorskip("minicons.scorer", reason="minicons is not installed")
    cases = [("the food was ", " but we liked it"), ("it is a ", " story"), ("news about ", " last night")]
    words = ["good", "great", "sports"]
    for folder in (bert_mlm.folder, built_in_bert):
        peer = minicons.MaskedLMScorer(str(folder), "cpu", dtype=torch.float32)
        wanted = [[peer.cloze([(a + word + b, word)])[0] for word in words] for a, b in cases]
        found = load("mlm", ModelOptions(str(folder))).score([prompt_of([case], words) for case in cases])
        assert_close(f"minicons cloze, {folder.name}", found, wanted)


# ------------------------------------------------------------------ OpenPrompt


def for_openprompt(source: Path, target: Path) -> None:
    """The checkpoint as an old transformers reads it: with vocab.txt and float32 weights."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    transformers.BertForMaskedLM.from_pretrained(source).float().save_pretrained(target)
    entries = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    (target / "vocab.txt").write_text("\n".join(entry for entry, _ in entries) + "\n", encoding="utf-8")


def openprompt(folder: Path, jobs: Sequence[dict[str, Any]]) -> list[list[list[float]]]:
    """What OpenPrompt says, from its own environment."""
    script = Path(__file__).parent / "peers" / "openprompt_scores.py"
    asked = json.dumps({"model": str(folder), "jobs": [{"max_length": 96, "prefix": "", **job} for job in jobs]})
    done = subprocess.run(
        [str(OPENPROMPT), str(script)], input=asked, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said: list[list[list[float]]] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.skipif(not OPENPROMPT, reason="PROMPTSHOT_OPENPROMPT_PYTHON names no Python")
@pytest.mark.parametrize("name", ["tiny", "built-in"])
def test_cloze_probabilities_are_those_of_openprompt(
    name: str, bert_mlm: Tiny, built_in_bert: Path, tmp_path: Path
) -> None:
    source = bert_mlm.folder if name == "tiny" else built_in_bert
    for_openprompt(source, tmp_path)
    zh, en = ["很", "不", "好"], ["good", "great", "awful" if name == "tiny" else "bad"]
    said = openprompt(
        tmp_path,
        [
            {"text": '{"mask"}满意。{"placeholder": "text_a"}', "words": zh, "rows": ROWS},
            {"text": '{"placeholder": "text_a"} It was {"mask"} .', "words": en, "rows": ROWS},
        ],
    )
    scorer = load("mlm", ModelOptions(str(source)))
    found = [
        *scorer.score([prompt_of([("", f"满意。{row}")], zh) for row in ROWS]),
        *scorer.score([prompt_of([(f"{row} It was ", " .")], en) for row in ROWS]),
    ]
    shares = [Scored(tuple(torch.tensor(one.scores).double().log_softmax(-1).tolist()), one.tokens) for one in found]
    assert_close(f"OpenPrompt, {name}", shares, [row for job in said for row in job])


# ------------------------------------------------------------------ defects read in peers' sources


def test_a_mask_token_in_the_data_does_not_take_the_place_of_the_blank(bert_mlm: Tiny, roberta: Tiny) -> None:
    """PET takes the first mask id of the row."""
    for tiny, sign in ((bert_mlm, "[MASK]"), (roberta, "<mask>")):
        scorer = load("mlm", ModelOptions(tiny.name))
        row = f"a {sign} story {sign}"
        prompt = rendered({"scorer": "mlm", "text": "{text} was {mask} ."}, {"text": row}, ["good", "great"])
        for query in scorer.plan(prompt).queries:
            masked = [i for i, token in enumerate(query.ids) if token == scorer.planner.mask]
            assert masked == list(query.asked)
        case = (f"{row} was ", " .")
        wanted = [reference.mlm(tiny.model, tiny.tokenizer, [case], word) for word in prompt.choices]
        assert_agrees(scorer.score([prompt]), [wanted])


def test_what_a_row_says_is_never_filled_in_again() -> None:
    """OpenICL replaces its slots one after the other, so that a row's text may name the next slot."""
    row = {"text": "{mask} {title} </text> {{x}} </E>", "title": "{text} {mask}"}
    prompt = rendered({"scorer": "causal", "text": "{title} | {text}: {mask}"}, row, ["{title}", "{mask}"])
    assert [piece.kind for piece in prompt.pieces].count(Kind.MASK) == 1
    assert prompt.text("{title}") == "{text} {mask} | {mask} {title} </text> {{x}} </E>: {title}"


@pytest.mark.parametrize("cut", ["tail", "head", "middle"])
@pytest.mark.parametrize("count", [1, 10, 80, 2000])
def test_truncation_never_eats_the_blank(bert_mlm: Tiny, gpt2: Tiny, cut: str, count: int) -> None:
    """FewCLUE's scripts cut the finished prompt on the right, and lose a blank at the end of a long row."""
    row, keys = {"text": "very long " * count}, {"fields": {"text": {"cut": cut}}}
    cloze = rendered({"scorer": "mlm", "text": "{text} It was {mask} .", **keys}, row, ["good", "体育新闻"])
    masked = load("mlm", ModelOptions(bert_mlm.name))
    for query in masked.plan(cloze).queries:
        assert len(query.ids) <= masked.limit
        assert {query.ids[place] for place in query.asked} == {masked.planner.mask}
        before = masked.tokenizer.decode(query.ids[: query.asked[0]])
        assert before.endswith("it was")
    completion = rendered({"scorer": "causal", "text": "{text}\nTopic: {mask}", **keys}, row, ["good", "体育"])
    left_to_right = load("causal", ModelOptions(gpt2.name))
    for query, word in zip(left_to_right.plan(completion).queries, completion.choices, strict=True):
        assert len(query.ids) <= left_to_right.limit
        assert left_to_right.tokenizer.decode(query.ids).endswith(f"\nTopic: {word}")
    for found in (*masked.score([cloze]), *left_to_right.score([completion])):
        assert found.error is None
        assert (found.cut > 0) == (count > 40)


def test_words_of_unequal_length_share_a_batch(bert_mlm: Tiny, gpt2: Tiny) -> None:
    """LM-BFF wants one token a word, FewCLUE the same number of characters for all."""
    words = ["a", "good", "体育新闻", "a very long game last night"]
    cases = [(f"{row} It was ", "") for row in ROWS]
    prompts = [prompt_of([case], words) for case in cases]
    wanted = [[reference.mlm(bert_mlm.model, bert_mlm.tokenizer, [case], word) for word in words] for case in cases]
    found = load("mlm", ModelOptions(bert_mlm.name, batch_size=len(prompts) * len(words))).score(prompts)
    assert len(set(found[0].tokens)) > 2
    assert_agrees(found, wanted)
    wanted = [[reference.causal(gpt2.model, gpt2.tokenizer, before, word) for word in words] for before, _ in cases]
    assert_agrees(load("causal", ModelOptions(gpt2.name, batch_size=len(prompts) * len(words))).score(prompts), wanted)


def test_labels_with_the_same_tag_are_refused() -> None:
    """FewCLUE's two-character tags fold two disciplines into one word, and count their confusion as right."""
    labels = {"theory of economics": ["经济"], "applied economics": ["经济"]}
    with pytest.raises(VerbalizerError, match="经济"):
        Verbalizer.parse({"labels": labels}, "tags")


def test_tags_that_the_tokenizer_spells_the_same_are_refused(bert_mlm: Tiny) -> None:
    template = Template.of(TemplateSpec(scorer="mlm", text="{mask}: {text}"), "test")
    verbalizer = Verbalizer.parse({"labels": {"up": ["Great"], "down": ["great"]}}, "tags")
    options = ModelOptions(bert_mlm.name)
    with pytest.raises(VerbalizerError, match="Great"):
        Classifier(Recipe.of(template, verbalizer, "mlm", options), load("mlm", options))


@pytest.fixture
def by_frequency(bert_mlm: Tiny, tmp_path: Path) -> Path:
    """A BERT that predicts by frequency alone: 好 .5, 体 .2, 育 .2, 不 .05, and the rest shares what is left."""
    model = transformers.BertForMaskedLM.from_pretrained(bert_mlm.folder)
    rest = 0.05 / (model.config.vocab_size - 4)
    shares = torch.full((model.config.vocab_size,), rest)
    for character, share in (("好", 0.5), ("体", 0.2), ("育", 0.2), ("不", 0.05)):
        shares[bert_mlm.tokenizer.convert_tokens_to_ids(character)] = share
    head = model.cls.predictions
    with torch.no_grad():
        head.transform.LayerNorm.weight.zero_()  # the head sees nothing, and only its bias speaks
        head.transform.LayerNorm.bias.zero_()
        head.bias.copy_(shares.log())
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((bert_mlm.folder / name).read_bytes())
    return tmp_path


def test_several_masks_add_their_logarithms(by_frequency: Path) -> None:
    """PaddleNLP multiplies logarithms, which turns the order of two-token words round.

    体育  .2 x .2  = .04     ln .2 x ln .2  = 2.59
    好不  .5 x .05 = .025    ln .5 x ln .05 = 2.08
    好好  .5 x .5  = .25     ln .5 x ln .5  = 0.48
    """
    (found,) = load("mlm", ModelOptions(str(by_frequency))).score(
        [prompt_of([("", "。news")], ["体育", "好不", "好好"])]
    )
    assert [round(math.exp(score), 6) for score in found.scores] == [0.04, 0.025, 0.25]
    assert max(range(3), key=lambda i: found.scores[i]) == 2


def test_later_tokens_of_a_label_follow_the_label_itself(gpt2: Tiny) -> None:
    """minicons' fixed_label_score reads them behind what the model itself would have said."""
    context, word = "the movie was", " awful"
    tokenizer, model = gpt2.tokenizer, gpt2.model
    head, tail = reference.encode(tokenizer, context), reference.encode(tokenizer, word)
    assert len(tail) > 1
    own = greedy = 0.0
    said = list(head)
    for i, token in enumerate(tail):
        own += float(reference.logits_of(model, head + tail[:i])[-1].log_softmax(-1)[token])
        log_p = reference.logits_of(model, said)[-1].log_softmax(-1)
        greedy += float(log_p[token])
        said.append(int(log_p.argmax()))
    (found,) = load("causal", ModelOptions(gpt2.name)).score([prompt_of([(f"{context} ", "")], ["awful"])])
    assert found.scores[0] == pytest.approx(own, abs=TOLERANCE)
    assert abs(own - greedy) > 0.1


@pytest.mark.parametrize(
    "text",
    [
        "{mask} {__import__('os').abort()}",
        '{mask} {"placeholder": "text_a"}',
        "{mask} {text!r}",
        "{mask} {text[0]}",
        "{",
    ],
)
def test_template_text_is_data_and_a_bad_one_is_a_clear_line(text: str) -> None:
    """OpenPrompt and PaddleNLP evaluate it as Python, and leave the process on a syntax error."""
    with pytest.raises(TemplateError) as caught:
        Template.of(TemplateSpec(scorer="mlm", text=text), "test")
    assert len(str(caught.value).splitlines()) == 1
    assert "column" in str(caught.value)


def test_a_field_name_with_dots_reads_no_attribute() -> None:
    template = Template.of(TemplateSpec(scorer="mlm", text="{mask} {text.__class__}"), "test")
    with pytest.raises(RowError, match="__class__"):
        template.render(Row({"text": "a"}), ("x",))
    assert template.render(Row({"text.__class__": "b"}), ("x",)).text("x") == "x b"


def test_cutting_the_head_keeps_the_end(bert_mlm: Tiny) -> None:
    """OpenPrompt's head truncation cuts tails."""
    keys = {"scorer": "mlm", "text": "{mask}: {text}", "fields": {"text": {"cut": "head"}}}
    prompt: Prompt = rendered(keys, {"text": f"{LONG} {LONG * 6} good day"}, ["good"])
    plan = MlmScorer.from_checkpoint(ModelOptions(bert_mlm.name)).plan(prompt)
    assert plan.fitted.pieces[-1].text.endswith("good day")
    assert plan.fitted.cut > 0
