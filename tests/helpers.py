"""What many test files need: files of rows, commands that refuse, prompts, and scorers with something wrong about them.

Nothing here loads torch. What the author of a scorer needs as well is in `promptshot.testing`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.compare.candidates import Candidate
from promptshot.errors import TemplateError
from promptshot.metrics import Tally
from promptshot.prompts import strict
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.read import read
from promptshot.rows.row import Item, Reject, Row
from promptshot.runs import inputs
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Kind, ModelOptions, Piece, Prompt, Scope, Scored

# ------------------------------------------------------------------ files


def put(path: Path, data: str | bytes) -> Path:
    """A file with this in it, and the folders on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def put_in(folder: Path, name: str, data: str | bytes) -> str:
    """The same by its name, as a command takes it."""
    return str(put(folder / name, data))


def jsonl(rows: Iterable[Any]) -> str:
    """A line of JSON for each row."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_rows(path: str | Path, rows: Iterable[Any]) -> str:
    """A JSONL file of the rows, by its name."""
    Path(path).write_text(jsonl(rows), encoding="utf-8")
    return str(path)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def fields(path: str) -> list[dict[str, Any]]:
    """The fields of every row; no rejects allowed."""
    found = []
    for item in read([path]):
        assert isinstance(item, Row), item
        found.append(dict(item.fields))
    return found


def line(item: Item) -> int:
    """The line that a row or a reject came from."""
    return int(item.source.rsplit(":", 1)[1])


def rejects(path: str) -> list[Reject]:
    """What could not be read of a file."""
    return [item for item in read([path]) if isinstance(item, Reject)]


# ------------------------------------------------------------------ commands


def fake(*arguments: str) -> int:
    """Classify with the fake scorer."""
    return run_command(["classify", *arguments, "--scorer", "fake"])


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command refuses, and nothing stood before it."""
    assert run_command([*arguments]) == 1, arguments
    err = capsys.readouterr().err
    assert err.endswith("\n")
    (line,) = err.splitlines()
    return line


def small_windows(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """So many rows a window from here on, and each is marked in the journal."""
    monkeypatch.setattr(inputs, "Inputs", partial(inputs.Inputs, window=rows))
    monkeypatch.setattr("promptshot.runs.journal.SHARE", 1e9)


def tally(given: dict[tuple[str | None, str], int], *labels: str) -> Tally:
    """A tally of (gold, predicted) so many times."""
    made = Tally(labels)
    for (gold, predicted), count in given.items():
        for _ in range(count):
            made.add(predicted, gold, gold)
    return made


# ------------------------------------------------------------------ prompts

LONG = "the movie was great and the food was awful but we liked the town a lot"
# Very different lengths, so that padding matters.
ROWS = [
    "a",
    LONG,
    "房间干净，早餐也不错。",
    "good day",
    LONG + ", it is a good day to read",
    "这是体育",
    "sports news about a very long game last night",
    "的文章",
    "it was awful , said the old man !",
]


Segment = str | tuple[str, str]  # a row's text, or the template's before and after the blank


def prompt_of(segments: Sequence[Segment], choices: Sequence[str], scored: Scope = "choice") -> Prompt:
    """A prompt of one or two segments: a text, or the texts before and after the blank."""
    pieces: list[Piece] = []
    for number, segment in enumerate(segments):
        pieces += [Piece(Kind.BREAK)] if number else []
        if isinstance(segment, str):
            pieces.append(Piece(Kind.FIELD, segment))
        else:
            pieces += [Piece(Kind.FIXED, segment[0]), Piece(Kind.MASK), Piece(Kind.FIXED, segment[1])]
    return Prompt(tuple(pieces), tuple(choices), scored)


def template_of(**keys: Any) -> Template:
    """A template with these keys, checked as one in a file."""
    return Template.of(strict.build(keys, TemplateSpec, TemplateError, "t", {}), "t")


def rendered(keys: Mapping[str, Any], fields: Mapping[str, str], choices: Sequence[str], *demos: str) -> Prompt:
    """A prompt as a template with these keys makes it."""
    return template_of(**keys).render(Row(dict(fields)), choices, demos)


def shuffled(count: int) -> list[int]:
    """The numbers below `count` in another order, always the same."""
    return random.Random(5).sample(range(count), count)


# ------------------------------------------------------------------ scorers


class Unknowing(FakeScorer):
    """Knows nothing of rows with a 5; named on the command line as helpers:Unknowing."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        found = super().score(prompts)
        return [replace(one, unknown="5" in prompt.text("")) for one, prompt in zip(found, prompts, strict=True)]


class Failing(FakeScorer):
    """A model that gives no number for any row; named on the command line as helpers:Failing."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        return [Scored(error="a score is not finite") for _ in prompts]


class Hearing(FakeScorer):
    """A word is likelier where the text has it, and rare words are less likely; named as helpers:Hearing."""

    asked: ClassVar[list[Prompt]] = []  # by all that are made, until a test clears it

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        self.asked.extend(prompts)
        found = super().score(prompts)
        for i, (prompt, scored) in enumerate(zip(prompts, found, strict=True)):
            texts = [piece.text for piece in prompt.pieces if piece.kind is Kind.FIELD]
            heard = [any(choice in text.split() for text in texts) for choice in prompt.choices]
            prior = [-6.0 - len(choice) / 4 for choice in prompt.choices]
            scores = [p + 4 * h + s / 50 for p, h, s in zip(prior, heard, scored.scores, strict=True)]
            found[i] = replace(scored, scores=tuple(scores))
        return found


A_OR_B = Verbalizer("v", {"a": {"x": 1.0}, "b": {"y": 1.0}})


class Able(FakeScorer):
    """Right about the first so many in a hundred rows; the template says how many. A row's text is "LABEL NUMBER"."""

    def score(self, prompts: Sequence[object]) -> list[Scored]:
        scored = []
        for prompt in prompts:
            skill, _, row = prompt.text("").partition(":")  # type: ignore[attr-defined]
            label, number = row.split()
            right = int(number) % 100 < int(skill)
            scored.append(Scored((1.0, 0.0) if (label == "a") == right else (0.0, 1.0), (1, 1)))
        return scored


def able(*skills: int) -> list[Candidate]:
    """A candidate for each number of rows in a hundred that it is right about."""
    return [
        Candidate(str(skill), Recipe.of(Template.of(TemplateSpec(scorer="mlm", text=f"{skill}:{{mask}}{{text}}"), "t"),
                                     A_OR_B, "helpers:Able", ModelOptions()))
        for skill in skills
    ]  # fmt: skip


LENGTH = 96  # positions of every tiny model


@dataclass(frozen=True)
class Tiny:
    """A saved checkpoint, and the same read by plain transformers for the reference (see `tiny`)."""

    folder: Path
    model: Any
    tokenizer: Any

    @property
    def name(self) -> str:
        return str(self.folder)
