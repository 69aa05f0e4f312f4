"""What is asked of every kind of scorer on a GPU, and of one that is only pretended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tiny
from helpers import ROWS, Tiny, prompt_of

from promptshot.kinds import builtin_for
from promptshot.scorers import load
from promptshot.scoring import ModelOptions, Prompt, Scored, Scorer

WORDS = ["good", "好", "体育新闻", "a very long game"]  # of different token counts
# A scorer, and what makes the folder of its model; nothing for the built-in one.
CASES: dict[str, Callable[[Path], Tiny] | None] = {
    "mlm": tiny.bert,
    "mlm, roberta": tiny.roberta,
    "mlm, built in": None,
    "nsp": tiny.bert,
    "nsp, built in": None,
    "causal": tiny.llama,
    "causal, gpt2": tiny.gpt2,
    "causal, built in": None,
    "seq2seq": tiny.t5,
    "seq2seq, bart": tiny.bart,
    "rtd": tiny.electra,
    "rtd, deberta": tiny.deberta_v3,
    "nli": tiny.inference,
    "embed": tiny.encoder,
    "embed, built in": None,
}


class Models:
    """The folders of the models, each made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, str] = {}

    def scorer(self, case: str, **options: Any) -> Scorer:
        """The scorer of a case."""
        kind = kind_of(case)
        if case not in self.made:
            make = CASES[case]
            self.made[case] = make(self.folder / case.replace(", ", "-")).name if make else builtin_for(kind)
        return load(kind, ModelOptions(self.made[case], **options))

    def plain(self, case: str, **options: Any) -> list[Scored]:
        """What the plain way says on the CPU, in float32."""
        found = self.scorer(case, device="cpu", dtype="float32", plain=True, **options).score(prompts(case))
        assert all(one.error is None for one in found)
        return found


def kind_of(case: str) -> str:
    return case.partition(",")[0]


def prompts(case: str) -> list[Prompt]:
    """Rows of very different lengths, some twice, with the blank behind them or before them."""
    if kind_of(case) in ("nsp", "nli", "embed"):
        return [prompt_of([row, ("it was ", "")], WORDS) for row in [*ROWS, *ROWS[:2]]]
    ended = kind_of(case) == "causal"
    sides = [(f"{row} It was ", "") if i % 2 or ended else ("It was ", f". {row}") for i, row in enumerate(ROWS)]
    return [prompt_of([side], WORDS) for side in [*sides, *sides[:2]]]


def apart(found: Sequence[Scored], expected: Sequence[Scored]) -> float:
    """The largest difference of a score."""
    assert [one.error for one in found] == [None] * len(expected)
    return max(
        abs(a - b)
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one.scores, other.scores, strict=True)
    )
