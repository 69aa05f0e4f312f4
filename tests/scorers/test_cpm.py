"""CPM's tokenizer, against the four lines that CPM's authors published, and its scores against plain ones."""

from __future__ import annotations

import importlib
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import rendered
from reference import assert_agrees
from tiny import randomized

from promptshot.errors import ModelError
from promptshot.scorers.causal import CausalScorer
from promptshot.scorers.checkpoints import cpm
from promptshot.scorers.checkpoints.cpm import CpmEncoder, CpmTokenizer
from promptshot.scorers.checkpoints.encoder import Layout
from promptshot.scorers.checkpoints.fitting import TooLong, fit
from promptshot.scoring import Kind, ModelOptions, Piece, Prompt

pytestmark = pytest.mark.torch

jieba = pytest.importorskip("jieba")
sentencepiece = pytest.importorskip("sentencepiece")

LENGTH = 64
SENTENCES = [
    "美国的首都是华盛顿，法国的首都是巴黎，日本的首都是东京。",
    "这是关于体育的文章：昨晚的比赛非常精彩，球队赢了。",
    "这是关于财经的新闻：股票今天涨了，大家都很高兴！",
    "房间干净，早餐也不错，服务员很热情，下次还会再来。",
    "这是关于科技和教育的应用程序吗？不是，情感故事很多。",
    "他说 hello world ，然后就走了……",
]
LABELS = ["体育", "财经新闻", "科技", "不是"]
TEXTS = [
    "昨晚的比赛非常精彩",
    "美国的首都是华盛顿\n法国的首都是",
    "狗 dog\n猫 cat\n鸟 ",
    "房间干净，早餐也不错……  很\t好\n\n",
    "A股 ２０２０年 涨了3.5%！",
    " 前面有空格",
    "龘",
]
SPECIAL = ["<sep>", "<pad>", "<mask>", "<eod>"]


def learnt(old: bool = False) -> bytes:
    """A small sentencepiece model with CPM's first ids: <unk> <s> </s> newline <sep> <pad> <mask> <eod>, and ▂.

    The first release has <cls> in the place of the newline, as a control symbol: no text is cut into it.
    """
    symbols: dict[str, Any] = {"user_defined_symbols": ["▃", *SPECIAL, "▂"]}
    if old:
        symbols = {"control_symbols": ["<cls>", *SPECIAL], "user_defined_symbols": ["▂"]}
    made = io.BytesIO()
    joined = [" ".join(jieba.cut(text)) for text in SENTENCES * 4]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(joined), model_writer=made, vocab_size=240, hard_vocab_limit=False,
        **symbols, pad_id=-1, character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    return made.getvalue()


@pytest.fixture(scope="session")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sentencepiece file."""
    file = tmp_path_factory.mktemp("pieces") / "chinese_vocab.model"
    file.write_bytes(learnt())
    return file


@pytest.fixture(scope="session")
def tokenizer(pieces: Path) -> CpmTokenizer:
    return CpmTokenizer(pieces)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, pieces: Path) -> Path:
    """A checkpoint as CPM's: a GPT-2, a sentencepiece file, and the name of the tokenizer's class."""
    made = tmp_path_factory.mktemp("cpm")
    size = sentencepiece.SentencePieceProcessor(model_file=str(pieces)).get_piece_size()
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=size, n_positions=LENGTH, n_embd=32, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=None
    )
    randomized(transformers.GPT2LMHeadModel(config), seed=1).save_pretrained(made)
    (made / "spiece.model").write_bytes(pieces.read_bytes())
    (made / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CpmTokenizer"}), encoding="utf-8")
    return made


@pytest.fixture(scope="session")
def scorer(folder: Path) -> CausalScorer:
    return CausalScorer.from_checkpoint(ModelOptions(str(folder)))


def published(file: Path, text: str) -> list[int]:
    """The procedure of CPM-Generate, line by line."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(file))
    segments = [word.translate(str.maketrans(" \n", "\u2582\u2583")) for word in jieba.cut(text, cut_all=False)]
    ids: list[int] = model.encode(" ".join(segments))
    return ids


# ------------------------------------------------------------------ ids


@pytest.mark.parametrize("text", [*TEXTS, *SENTENCES, ""])
def test_ids_are_those_of_the_published_procedure(pieces: Path, tokenizer: CpmTokenizer, text: str) -> None:
    assert list(tokenizer.encode(text)) == published(pieces, text)


def test_ids_have_the_places_that_cpm_gives_them(tokenizer: CpmTokenizer) -> None:
    assert tokenizer.unk_token_id == 0
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id) == (5, 7, None)
    assert 3 in tokenizer.encode("法国\n日本")


def test_spaces_and_line_breaks_are_tokens_and_come_back(tokenizer: CpmTokenizer) -> None:
    for text in ["美国的首都是华盛顿\n法国的首都是", "这是 关于 体育\n\n的文章 "]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("体育 ")[-1] == tokenizer.pieces.piece_to_id("▂")
    assert tokenizer.encode("体育\n")[-1] == 3


def test_what_looks_like_a_special_token_is_text(tokenizer: CpmTokenizer) -> None:
    ids = tokenizer.encode("体育<eod><sep> <mask>财经<pad></s><s><unk>")
    assert not set(ids) & {1, 2, 4, 5, 6, 7}


def test_a_model_of_the_first_release_has_another_sign_for_a_line_break(tmp_path: Path) -> None:
    file = tmp_path / "old.model"
    file.write_bytes(learnt(old=True))
    old = CpmTokenizer(file)
    assert old.encode("体育\n财经").count(3) == 1
    assert old.decode(old.encode("体育\n财经")) == "体育\n财经"
    assert 3 not in old.encode("体育<cls>财经")
    assert old.spans("体育\n财经")[old.encode("体育\n财经").index(3)] == (2, 3)


def test_words_added_to_the_common_dictionary_change_nothing(pieces: Path, tokenizer: CpmTokenizer) -> None:
    text = "情感故事很多"
    before = list(tokenizer.encode(text))
    jieba.add_word("感故")
    try:
        assert list(CpmTokenizer(pieces).encode(text)) == before
    finally:
        jieba.del_word("感故")


def test_loading_is_silent(pieces: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level = logging.getLogger(jieba.default_logger.name).level
    CpmTokenizer(pieces)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger(jieba.default_logger.name).level == level


# ------------------------------------------------------------------ spans and fitting


@pytest.mark.parametrize("text", [*TEXTS, *SENTENCES])
def test_spans_cover_the_text_in_order_one_for_each_token(tokenizer: CpmTokenizer, text: str) -> None:
    spans = tokenizer.spans(text)
    assert len(spans) == len(tokenizer.encode(text))
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert [end for _, end in spans] == sorted(end for _, end in spans)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    covered = {i for start, end in spans for i in range(start, end)}
    assert {i for i, character in enumerate(text) if not character.isspace()} <= covered


def test_a_span_names_the_characters_of_its_token(tokenizer: CpmTokenizer) -> None:
    text = "这是关于体育的文章"
    for (start, end), token in zip(tokenizer.spans(text), tokenizer.encode(text), strict=True):
        assert tokenizer.decode([token]) == text[start:end]


@pytest.mark.parametrize("cut", ["tail", "head", "middle"])
@pytest.mark.parametrize("limit", range(3, 24, 4))
def test_fields_are_cut_to_the_limit(tokenizer: CpmTokenizer, cut: Any, limit: int) -> None:
    encoder = CpmEncoder(tokenizer)
    pieces = [Piece(Kind.FIXED, "新闻："), Piece(Kind.FIELD, "".join(SENTENCES[:3]) + "\n" + TEXTS[2], cut)]

    def size(pieces: Sequence[Piece]) -> int:
        return len(encoder.ids("".join(piece.text for piece in pieces)))

    try:
        fitted = fit(pieces, size, limit, encoder)
    except TooLong:
        assert limit <= len(encoder.ids("新闻：")) + 3  # a space mark and a piece are no text yet
        return
    left = iter(pieces[1].text)
    assert size(fitted.pieces) in range(limit - 4, limit + 1)
    assert fitted.pieces[0] == pieces[0]
    assert all(character in left for character in fitted.pieces[1].text)


def test_the_encoder_adds_nothing_and_keeps_texts_apart(tokenizer: CpmTokenizer) -> None:
    encoder = CpmEncoder(tokenizer)
    assert encoder.apart
    assert encoder.layout(pair=False) == encoder.layout(pair=True) == Layout([], [], [], (0, 0))
    assert encoder.continuing("体育") == encoder.ids("体育")
    assert encoder.unknown(["体育", "龘", "！"]) == ["龘"]
    assert encoder.alike(["体育", "！", "!"]) == [("！", "!")]


# ------------------------------------------------------------------ scores


def plain(folder: Path, context: str, continuation: str) -> float:
    """log p(continuation | context), both tokenized by the published procedure, one forward."""
    model = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    first, second = published(folder / "spiece.model", context), published(folder / "spiece.model", continuation)
    return reference.continued(model, first + second, len(first))


def test_prompt_and_word_are_tokenized_apart(folder: Path, scorer: CausalScorer) -> None:
    file = folder / "spiece.model"
    context, word = "这是", "不是"
    together, apart = published(file, context + word), published(file, context) + published(file, word)
    assert together != apart  # jieba looks at the neighbours
    prompt = rendered({"scorer": "causal", "text": "{text}{mask}"}, {"text": context}, [word])
    (query,) = scorer.plan(prompt).queries
    assert query.ids == apart
    assert_agrees(scorer.score([prompt]), [[plain(folder, context, word)]])


@pytest.mark.parametrize("batch_size", [None, 1])
def test_words_score_as_plainly_computed(folder: Path, batch_size: int | None) -> None:
    scorer = CausalScorer.from_checkpoint(ModelOptions(str(folder), batch_size=batch_size))
    prompts = [rendered({"scorer": "causal", "text": "{text} 这是{mask}"}, {"text": text}, LABELS) for text in TEXTS]
    wanted = [[plain(folder, f"{text} 这是", word) for word in LABELS] for text in TEXTS]
    assert_agrees(scorer.score(prompts), wanted)


def test_the_text_given_the_label_scores_as_plainly_computed(folder: Path, scorer: CausalScorer) -> None:
    keys = {"scorer": "causal", "text": "这是关于{mask}{text}", "direction": "channel"}
    texts = [text for text in TEXTS if text.strip() == text]
    prompts = [rendered(keys, {"text": text}, LABELS) for text in texts]
    wanted = [[plain(folder, f"这是关于{word}", text) for word in LABELS] for text in texts]
    assert_agrees(scorer.score(prompts), wanted)


def test_the_word_and_what_follows_it_score_as_plainly_computed(folder: Path, scorer: CausalScorer) -> None:
    prompts = [rendered({"scorer": "causal", "text": "{text}是{mask}新闻。"}, {"text": text}, LABELS) for text in TEXTS]
    wanted = [[plain(folder, f"{text}是", f"{word}新闻。") for word in LABELS] for text in TEXTS]
    assert_agrees(scorer.score(prompts), wanted)


def test_a_space_at_the_end_of_the_context_stays_there(scorer: CausalScorer) -> None:
    prompt = rendered({"scorer": "causal", "text": "{text} {mask}"}, {"text": "鸟"}, ["体育"])
    (query,) = scorer.plan(prompt).queries
    assert query.ids[query.asked[0]] == scorer.tokenizer.pieces.piece_to_id("▂")


def test_a_word_at_the_very_beginning_follows_the_end_of_a_document(scorer: CausalScorer) -> None:
    keys = {"scorer": "causal", "text": "{mask}：{text}"}
    plan = scorer.plan(rendered(keys, {"text": TEXTS[0]}, LABELS))
    assert {query.ids[0] for query in plan.queries} == {7}


def test_a_long_text_is_cut_and_scored_as_cut(folder: Path, scorer: CausalScorer) -> None:
    long = rendered({"scorer": "causal", "text": "{text}\n这是{mask}"}, {"text": "".join(SENTENCES)}, LABELS)
    plan = scorer.plan(long)
    kept = plan.fitted.pieces[0].text
    assert plan.fitted.cut > 0
    assert max(len(query.ids) for query in plan.queries) in range(LENGTH - 3, LENGTH + 1)
    assert_agrees(scorer.score([long]), [[plain(folder, f"{kept}\n这是", word) for word in LABELS]])


# ------------------------------------------------------------------ loading


def copy_of(folder: Path, target: Path, *, without: Sequence[str] = ()) -> Path:
    for file in folder.iterdir():
        if file.name not in without:
            (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.mark.parametrize("name", ["spiece.model", "chinese_vocab.model", "any.model"])
@pytest.mark.parametrize("class_name", ["CpmTokenizer", "CpmTokenizerFast"])
def test_the_config_may_name_the_tokenizer_and_the_file_has_any_name(
    folder: Path, tmp_path: Path, name: str, class_name: str
) -> None:
    made = copy_of(folder, tmp_path, without=["spiece.model", "tokenizer_config.json"])
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    (made / "config.json").write_text(json.dumps(config | {"tokenizer_class": class_name}), encoding="utf-8")
    (made / name).write_bytes((folder / "spiece.model").read_bytes())
    assert isinstance(CausalScorer.from_checkpoint(ModelOptions(str(made))).tokenizer, CpmTokenizer)


def test_other_checkpoints_keep_their_own_tokenizer(gpt2: Any, tmp_path: Path) -> None:
    assert not cpm.is_cpm(gpt2.name, gpt2.model.config, {})
    assert not cpm.is_cpm(str(tmp_path), gpt2.model.config, {})
    assert not CausalScorer.from_checkpoint(ModelOptions(gpt2.name)).encoder.apart


def test_a_checkpoint_without_its_sentencepiece_file_is_refused(folder: Path, tmp_path: Path) -> None:
    made = copy_of(folder, tmp_path, without=["spiece.model"])
    with pytest.raises(ModelError, match=r"no spiece\.model or chinese_vocab\.model"):
        CausalScorer.from_checkpoint(ModelOptions(str(made)))
    for name in ("a.model", "b.model"):  # which of them?
        (made / name).write_bytes((folder / "spiece.model").read_bytes())
    with pytest.raises(ModelError, match=r"no spiece\.model"):
        CausalScorer.from_checkpoint(ModelOptions(str(made)))


def test_a_broken_sentencepiece_file_is_refused(folder: Path, tmp_path: Path) -> None:
    made = copy_of(folder, tmp_path)
    (made / "spiece.model").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="no sentencepiece model"):
        CausalScorer.from_checkpoint(ModelOptions(str(made)))


def test_a_sentencepiece_file_larger_than_the_model_is_refused(folder: Path, tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=20, n_positions=LENGTH, n_embd=32, n_layer=1, n_head=2)
    made = copy_of(folder, tmp_path)
    transformers.GPT2LMHeadModel(config).save_pretrained(made)
    with pytest.raises(ModelError, match="the model only 20"):
        CausalScorer.from_checkpoint(ModelOptions(str(made)))


@pytest.mark.parametrize("package", ["jieba", "sentencepiece"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    folder: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.import_module

    def without(name: str, *others: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(name, name=name)
        return found(name, *others)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ModelError, match=rf"needs the package {package}; pip install 'promptshot\[cpm\]'"):
        CausalScorer.from_checkpoint(ModelOptions(str(folder)))


def test_a_hub_name_is_asked_for_with_its_revision_and_offline(
    folder: Path, gpt2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, dict[str, Any]]] = []

    def fetched(place: str, name: str, **options: Any) -> str:
        asked.append((place, name, options))
        if not (folder / name).exists():
            raise OSError(name)
        return str(folder / name)

    monkeypatch.setattr(cpm, "cached_file", fetched)
    where = {"trust_remote_code": False, "revision": "v1", "local_files_only": True}
    assert cpm.is_cpm("someone/cpm", gpt2.model.config, where)
    assert len(cpm.load("someone/cpm", gpt2.model.config, where)) <= gpt2.model.config.vocab_size
    options = {"revision": "v1", "local_files_only": True}
    assert asked == [("someone/cpm", name, options) for name in ("tokenizer_config.json", "spiece.model")]


def test_prompts_carry_over_to_this_tokenizer_unchanged(scorer: CausalScorer) -> None:
    prompt = Prompt((Piece(Kind.FIELD, "体育"), Piece(Kind.MASK)), ("很好",))
    assert scorer.score([prompt])[0].error is None
    assert len(scorer.plan(prompt).tokens) == 1
