"""T5-PEGASUS: the words of jieba in a BERT vocabulary, and a decoder that writes what a text comes to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import Tiny, prompt_of, rendered, write_rows
from reference import assert_agrees
from tiny import SPECIAL, randomized, t5_config, unigram

from promptshot.cli import run_command
from promptshot.errors import ModelError
from promptshot.scorers import load
from promptshot.scorers.checkpoints.t5_pegasus import T5PegasusEncoder
from promptshot.scoring import ModelOptions

jieba = pytest.importorskip("jieba")

pytestmark = pytest.mark.torch

WORDS = ["房间", "干净", "早餐", "不错", "体育", "新闻", "满意", "天气", "北京", "大学", "文章"]
CHARACTERS = [*"房间干净早餐也不错。这是一则体育新闻，很满意天气真好北京大学的文章"]
LATIN = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?[]#", "good", "day", "##s", "##y", "nba"]
ROWS = [
    "房间干净，早餐也不错。",
    "这是一则体育新闻，很满意！",
    "Good days 天气真好",
    "北京大学的文章",
    "[MASK]很[SEP]满意 龘",
]


def vocabulary() -> list[str]:
    return [*SPECIAL.values(), *LATIN, *dict.fromkeys(CHARACTERS), *WORDS]


@pytest.fixture(scope="module")
def pegasus(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A checkpoint that calls itself mT5 and brings a vocab.txt, and no more."""
    folder = tmp_path_factory.mktemp("t5-pegasus")
    kind = transformers.MT5Config
    config = t5_config(unigram(), kind, vocab_size=len(vocabulary()), feed_forward_proj="gated-gelu")
    model = randomized(transformers.MT5ForConditionalGeneration(config), seed=1)
    own = torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(7))
    model.lm_head.weight = torch.nn.Parameter(own * 0.1)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    return Tiny(folder, model, transformers.BertTokenizerFast(str(folder / "vocab.txt")))


def plainly(tokenizer: Any, text: str) -> list[int]:
    """As bojone's tokenizer has it: jieba's words that the vocabulary has are whole, of others the WordPieces."""
    special = set(SPECIAL.values())
    ids: list[int] = []
    for word in jieba.lcut(text.lower(), HMM=False):
        if word in tokenizer.vocab and word not in special:
            ids.append(tokenizer.vocab[word])
        else:
            ids += reference.encode(tokenizer, word)
    return ids


def test_a_word_of_the_vocabulary_is_one_token_and_others_are_pieces(pegasus: Tiny) -> None:
    encoder = load("seq2seq", ModelOptions(pegasus.name)).encoder  # type: ignore[attr-defined]
    assert isinstance(encoder, T5PegasusEncoder)
    for row in ROWS:
        assert encoder.ids(row) == plainly(pegasus.tokenizer, row)
    shown = [encoder.shown(i) for i in encoder.ids("体育的新闻，北京大学")]
    assert shown == ["体育", "的", "新闻", "，", "北", "京", "大", "学"]  # jieba has 北京大学, the vocabulary has not
    assert not {"[MASK]", "[SEP]"} & {encoder.shown(i) for i in encoder.ids(ROWS[-1])}


def test_every_token_stands_where_its_text_is(pegasus: Tiny) -> None:
    encoder = load("seq2seq", ModelOptions(pegasus.name)).encoder  # type: ignore[attr-defined]
    for row in ROWS:
        spans = encoder.spans(row)
        assert len(spans) == len(encoder.ids(row))
        for (begin, end), token in zip(spans, encoder.ids(row), strict=True):
            if token != pegasus.tokenizer.unk_token_id:
                assert row[begin:end].lower() == encoder.shown(token).removeprefix("##")


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_a_word_is_what_the_decoder_writes_of_a_text_and_its_end(pegasus: Tiny, batch_size: int | None) -> None:
    words, cls, sep = ["体育", "干净的早餐", "北京大学"], pegasus.tokenizer.cls_token_id, pegasus.tokenizer.sep_token_id
    made = load("seq2seq", ModelOptions(pegasus.name, batch_size=batch_size))
    wanted = []
    for row in ROWS:
        encoded = [cls, *plainly(pegasus.tokenizer, row + "主题："), sep]
        spelled = [[*plainly(pegasus.tokenizer, word), sep] for word in words]
        wanted.append([reference.seq2seq(pegasus.model, encoded, [cls], word) for word in spelled])
    found = made.score([prompt_of([(f"{row}主题：", "")], words) for row in ROWS])
    assert_agrees(found, wanted)
    assert {scored.tokens for scored in found} == {(1, 3, 4)}


def test_a_gap_within_a_text_is_refused_for_it_was_trained_for_summaries(pegasus: Tiny) -> None:
    made = load("seq2seq", ModelOptions(pegasus.name))
    keys = {"scorer": "seq2seq", "text": "{mask}满意。{text}"}
    (found,) = made.score([rendered(keys, {"text": "房间"}, ["很", "不"])])
    assert found.error == "this model writes what a text ends with: the template must end with {mask}"


def test_a_run_says_that_the_model_sums_texts_up(
    pegasus: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": "房间干净的体育", "label": "体育"}])
    keys = ["-t", "{text}主题：{mask}", "--labels", "体育,新闻,天气"]
    assert run_command(["classify", rows, "-m", pegasus.name, "--scorer", "seq2seq", *keys]) == 0
    err = capsys.readouterr().err
    assert "the model was trained to sum texts up, not to fill gaps: a word is scored as the summary of its row" in err


def test_a_doctor_does_not_call_a_model_unsound_that_cannot_be_asked(
    pegasus: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["doctor", "-m", pegasus.name, "--scorer", "seq2seq"]) == 0
    err = capsys.readouterr().err
    assert "none of the questions can be asked: this model writes what a text ends with" in err
    assert "look at this" in err


def test_a_text_is_cut_between_words(pegasus: Tiny) -> None:
    made: Any = load("seq2seq", ModelOptions(pegasus.name, max_length=12))
    keys = {"scorer": "seq2seq", "text": "{text}主题：{mask}"}
    prompt = rendered(keys, {"text": "房间干净" * 9}, ["体育", "新闻"])
    plan = made.plan(prompt)
    assert len(plan.queries[0].ids) == 12
    assert plan.fitted.pieces[0].text == "房间干净" * (len(plan.fitted.pieces[0].text) // 4) + "房间" * (
        len(plan.fitted.pieces[0].text) % 4 // 2
    )


def test_a_vocabulary_of_characters_is_no_vocabulary_of_words(pegasus: Tiny, tmp_path: Path) -> None:
    for path in pegasus.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    only = [token for token in vocabulary() if token not in WORDS] + [f"[unused{i}]" for i in WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(only) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    found = load("seq2seq", ModelOptions(str(tmp_path)))
    assert not isinstance(found.encoder, T5PegasusEncoder)  # type: ignore[attr-defined]


def test_without_jieba_the_extra_is_named(pegasus: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(
        ModelError, match=r"T5-PEGASUS's tokenizer needs the package jieba; pip install 'promptshot\[cpm\]'"
    ):
        load("seq2seq", ModelOptions(pegasus.name))
