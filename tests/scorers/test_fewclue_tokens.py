"""The prompts of FewCLUE, token by token, with one token a character: where masks, segments and positions stand."""

from __future__ import annotations

from typing import Any

import pytest
from tiny import SPECIAL, save_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from promptshot.classify.decide import bucket, rank, thresholds
from promptshot.kinds import KINDS, loaded
from promptshot.prompts import library
from promptshot.prompts.template import example_row
from promptshot.rows.row import Row
from promptshot.scorers import load_tokenizer
from promptshot.scorers.engine.plans import Query
from promptshot.scoring import ModelOptions

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One token for each character of the examples and label words."""
    named = [library.template(name) for name in library.names("templates") if name.startswith("zh-")]
    seen = {c for one in named for c in f"{one.spec.text}{one.spec.example}"} | set("手机黑屏了怎么办这他")
    seen |= {c for one in named for word in library.verbalizer_of(one).choices(example_row(one)) for c in word}
    vocabulary = {token: i for i, token in enumerate([*SPECIAL.values(), *sorted(seen - {" ", "\n"})])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.add_special_tokens(list(SPECIAL.values()))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    folder = tmp_path_factory.mktemp("characters")
    save_tokenizer(made, folder, model_max_length=256, **SPECIAL)
    (folder / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 256}', encoding="utf-8")
    return load_tokenizer(ModelOptions(str(folder))).encoder  # type: ignore[attr-defined]


def queries(encoder: Any, name: str, **fields: Any) -> list[Query]:
    template = library.template(name)
    row = Row(fields)
    words = [""] if template.spec.ordered else library.verbalizer_of(template).choices(row)
    planner = loaded(KINDS[template.spec.scorer].planner)(encoder, 256)
    return list(planner.plan(template.render(row, words)).queries)


def tokens(encoder: Any, query: Query) -> list[str]:
    return list(encoder.tokenizer.convert_ids_to_tokens(query.ids))


def test_the_two_masks_of_a_headline_are_tokens_7_and_8(encoder: Any) -> None:
    (query,) = queries(encoder, "zh-news-mlm", text="手机黑屏")
    expected = "[CLS] 下 面 报 导 一 则 [MASK] [MASK] 新 闻 。 手 机 黑 屏 [SEP]"
    assert tokens(encoder, query) == expected.split()
    assert query.asked == (7, 8)


def test_a_review_has_one_mask_behind_the_first_token(encoder: Any) -> None:
    (query,) = queries(encoder, "zh-sentiment-mlm", text="怎么办")
    assert tokens(encoder, query) == ["[CLS]", "[MASK]", "满", "意", "。", "怎", "么", "办", "[SEP]"]
    assert query.asked == (1,)


def test_the_prompt_of_the_source_is_segment_a_and_the_text_segment_b(encoder: Any) -> None:
    found = queries(encoder, "zh-news-nsp", text="手机")
    assert len(found) == 15
    assert tokens(encoder, found[1]) == [
        "[CLS]",
        "这",
        "是",
        "一",
        "则",
        "文",
        "化",
        "新",
        "闻",
        "[SEP]",
        "手",
        "机",
        "[SEP]",
    ]
    assert found[1].types == [0] * 10 + [1] * 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # l = 2, r = 1, k = 4:  0 | 2+l..2+l+k-1 | 1 | 2..1+l | 2+l+k..1+l+k+r | last+1
        ("zh-idiom-nsp", [0, 4, 5, 6, 7, 1, 2, 3, 8, 9]),
        # 0 | 1..l | 1+l+k..l+k+r | l+k+r+1 | 1+l..l+k | l+r+k+2
        ("zh-idiom-suffix-nsp", [0, 1, 2, 7, 8, 3, 4, 5, 6, 9]),
    ],
)
def test_an_idiom_takes_the_positions_of_the_hole_on_either_side(name: str, expected: list[int], encoder: Any) -> None:
    own = ["小心翼翼", "马马虎虎", "兴高采烈"]
    found = queries(encoder, name, content="手机#idiom#了", candidates=own, answer="小心翼翼")
    assert len(found) == 3
    assert [query.positions for query in found] == [expected] * 3


def test_seven_rows_in_three_even_buckets_leave_the_odd_one_to_the_last() -> None:
    found = rank([0.7, 0.1, 0.4, 0.2, 0.6, 0.3, 0.5], [1 / 3] * 3)
    assert found == [2, 0, 1, 0, 2, 1, 2]


def test_with_shares_of_nine_to_one_only_the_highest_of_ten_is_in_the_last_bucket() -> None:
    assert rank([5, 3, 9, 1, 7, 2, 8, 4, 6, 0], [0.9, 0.1]) == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]


def test_thresholds_of_dev_rows_decide_each_later_row_alone() -> None:
    cuts = thresholds([4.0, 1.0, 3.0, 2.0], [0.5, 0.5])
    assert cuts == [2.5]
    assert [bucket(score, cuts) for score in (2.4, 2.6, 100.0)] == [0, 1, 1]
