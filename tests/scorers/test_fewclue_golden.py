"""What each scorer reads of the nine tasks of FewCLUE, token by token, as the papers have it: `golden/tokens/`.

PROMPTSHOT_UPDATE_GOLDEN=1 writes the files; they are read against the papers' patterns, then kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny import SPECIAL, save_tokenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from promptshot.compare import suite
from promptshot.compare.suite import TaskSuite
from promptshot.kinds import KINDS, loaded
from promptshot.prompts import library
from promptshot.rows.row import Row
from promptshot.scorers import load_tokenizer
from promptshot.scorers.engine.plans import Plan, Query
from promptshot.scoring import ModelOptions

pytestmark = pytest.mark.torch

GOLDEN = Path(__file__).parent.parent / "golden" / "tokens"
SHOWN = 3  # words of each prompt
# Rows of ours, in FewCLUE's own layout.
ROWS: dict[str, dict[str, Any]] = {
    "eprstmt": {"id": 1, "sentence": "杯子漏水", "label": "Negative"},
    "csldcp": {"content": "桥墩受冲刷", "label": "土木工程", "id": 1},
    "tnews": {"label": "108", "label_desc": "news_edu", "sentence": "高考放榜", "keywords": "", "id": 1},
    "iflytek": {"label": 0, "label_des": "打车", "sentence": "一键叫车", "id": 1},
    "ocnli": {"sentence1": "他在睡觉", "sentence2": "他醒着", "label": "contradiction"},
    "bustm": {"id": 1, "sentence1": "放首歌", "sentence2": "来点音乐", "label": "1"},
    "csl": {"id": 1, "abst": "本文测量潮汐", "keyword": ["潮汐", "测量"], "label": "1"},
    "chid": {"id": 1, "content": "他#idiom#地走", "candidates": ["小心翼翼", "大摇大摆"], "answer": 0},
    "cluewsc": {
        "target": {"span2_index": 4, "span1_index": 0, "span1_text": "猫", "span2_text": "它"},
        "idx": 1,
        "label": "true",
        "text": "猫饿了，它叫",
    },
}
CHANNEL = {"csldcp": "zh-paper-channel-causal", "tnews": "zh-news-channel-causal", "iflytek": "zh-app-channel-causal"}
FEWCLUE = suite.load(suite.find("fewclue"))
assert isinstance(FEWCLUE, TaskSuite)
CASES = [
    (task, name)
    for task, said in FEWCLUE.tasks.items()
    for name in [*said.templates, *([CHANNEL[task]] if task in CHANNEL else [])]
]


def characters() -> list[str]:
    """All that templates, label words and rows say."""
    seen = set("".join(map(str, ROWS.values())))
    for _, name in CASES:
        template = library.template(name)
        seen |= set(str(template.spec))
        if not template.spec.words_from and not template.spec.ordered:
            seen |= set("".join(library.verbalizer_of(template).choices(Row({}))))
    return sorted(seen - {" ", "\n"})


def encoder_in(folder: Path, kind: str) -> Any:
    """One token for each character; only a BERT has special ones around them."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL.values(), *characters()])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.add_special_tokens(list(SPECIAL.values()))
    if kind == "bert":
        ends = ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
        made.post_processor = processors.BertProcessing(*ends)
    save_tokenizer(made, folder, model_max_length=256, **SPECIAL)
    size = '"max_position_embeddings": 256, "n_positions": 256'
    (folder / "config.json").write_text(f'{{"model_type": "{kind}", {size}}}', encoding="utf-8")
    return load_tokenizer(ModelOptions(str(folder))).encoder  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {kind: encoder_in(tmp_path_factory.mktemp(kind), kind) for kind in ("bert", "gpt2")}


def shown(encoder: Any, plan: Plan, words: list[str]) -> Iterator[str]:
    """The sequences of the first words: tokens, segments and positions where there are any, and what is read."""
    seen = set[tuple[int, ...]]()
    for query in plan.queries:
        if set(query.choices) <= seen or min(query.choices) >= SHOWN:
            continue
        yield ""
        yield f"tokens     {' '.join(encoder.tokenizer.convert_ids_to_tokens(query.ids))}"
        if query.types is not None and any(query.types):
            yield f"segments   {' '.join(map(str, query.types))}"
        if query.positions is not None:
            yield f"positions  {' '.join(map(str, query.positions))}"
        yield from _read(encoder, query, words)


def _read(encoder: Any, query: Query, words: list[str]) -> Iterator[str]:
    """Of each word, which token is wanted at which place; of pairs that are judged as a whole, which word it is."""
    for choice, targets in zip(query.choices, query.targets or [()] * len(query.choices), strict=True):
        if choice >= SHOWN:
            continue
        wanted = zip(query.asked, encoder.tokenizer.convert_ids_to_tokens(list(targets)), strict=False)
        pairs = " ".join(f"{place}:{token}" for place, token in wanted) or "the pair"
        yield f"{words[choice] or '-':<8} {pairs}"


@pytest.mark.parametrize(("task", "name"), CASES)
def test_what_is_read_is_what_the_paper_says(task: str, name: str, encoders: dict[str, Any]) -> None:
    template = library.template(name)
    said = FEWCLUE.tasks[task].layouts[0]
    row = Row(ROWS[task], columns=dict(said.map))
    words = [""] if template.spec.ordered else list(library.verbalizer_of(template).choices(row))
    encoder = encoders["gpt2" if template.kind.left_to_right else "bert"]
    planner = loaded(KINDS[template.spec.scorer].planner)(encoder, 256)
    plan = planner.plan(template.render(row, words))
    text = f"{task}: {name}, {len(words)} words\n" + "\n".join(shown(encoder, plan, words)) + "\n"
    file = GOLDEN / f"{task}-{name}.txt"
    if os.environ.get("PROMPTSHOT_UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text
    assert "[UNK]" not in text


def test_no_file_is_left_of_what_is_asked_no_more() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == {f"{task}-{name}" for task, name in CASES}
