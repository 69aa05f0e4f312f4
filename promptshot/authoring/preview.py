"""One row through a template: its text, its tokens without weights, its scores with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from promptshot.classify.classifier import NO_CHAT, Classifier
from promptshot.classify.decide import Several
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.errors import InputError, ModelError, OptionError, RowError, shortlist
from promptshot.kinds import builtin_for, with_heads
from promptshot.prompts.task import Task
from promptshot.prompts.template import Template, example_row
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows import read
from promptshot.rows.once import once
from promptshot.rows.row import Reject, Row
from promptshot.scorers import Loader
from promptshot.scoring import Filling, ModelOptions, Prompt, Tokenized

TOP = 10  # likeliest words shown
_AT = re.compile(r"(.+):(\d{1,18})", re.DOTALL)
_FILE = re.compile(r"\S+\.(jsonl|ndjson|json|csv|tsv|parquet|arrow|feather)(\.gz)?(:\d+)?", re.IGNORECASE)  # no text


@dataclass(frozen=True)
class Preview:
    """What became of one row: `tokenized` with a tokenizer, `prediction` and `top` with weights; else None and empty.

    `labels` names the label of every word that may fill the blank, in the order of `prompt.choices`.
    """

    template: Template
    row: Row
    prompt: Prompt
    labels: Sequence[str]
    model: str = ""
    limit: int | None = None
    tokenized: Tokenized | None = None
    prediction: Prediction | None = None
    top: Sequence[tuple[str, float]] = ()
    piece: tuple[int, int] = (1, 1)  # which of how many pieces of a long text


class Previewer:
    """Makes previews; a tokenizer or model is loaded when it is first needed, and kept."""

    def __init__(
        self, options: ModelOptions, tokens: bool = False, scores: bool = False, loader: Loader | None = None
    ) -> None:
        """With `tokens` the tokenizer is asked, with `scores` the whole model too."""
        self.options, self.tokens, self.scores = options, tokens or scores or options.long != "cut", scores
        self.loader = loader or Loader()

    def of(self, template: Template, verbalizer: Verbalizer | None, row: Row) -> Preview:
        """The row's preview; raises RowError where it cannot be filled in, ModelError where the model does not fit."""
        task = Task(template, verbalizer) if verbalizer else None
        words = task.choices(row) if task else ("",)
        labels = _labels_of(words, task.verbalizer) if task and not task.paired else []
        found = Preview(template, row, template.render(row, words), labels)
        if self.tokens:
            found = self._with_tokens(found)
        if self.scores:
            if verbalizer is None:
                raise OptionError("no label words to score", hint="say --labels A,B or --verbalizer NAME")
            found = self._with_scores(found, verbalizer)
        return found

    def pieces(self, template: Template, verbalizer: Verbalizer | None, row: Row) -> list[Preview]:
        """The row's previews: one, or one for each piece in which a text that is too long is read, of which the first
        has the scores of all. Raises what `of` does."""
        if verbalizer is not None:
            Recipe.of(template, verbalizer, template.spec.scorer, self.options).check()
        whole, kind = self.of(template, verbalizer, row), template.spec.scorer
        if self.options.long != "windows":
            return [whole]
        tokenizer = self.loader.tokenizer(replace(self.options, model=whole.model))
        prompts = tokenizer.windows(kind, whole.prompt, self.options.long_stride)
        pairs = zip(prompts, tokenizer.tokenized(kind, prompts), strict=True)
        found = [
            replace(whole, prompt=prompt, tokenized=tokenized, piece=(number, len(prompts)))
            for number, (prompt, tokenized) in enumerate(pairs, 1)
        ]
        return [found[0], *(replace(one, prediction=None, top=()) for one in found[1:])]

    def _with_tokens(self, preview: Preview) -> Preview:
        kind = preview.template.spec.scorer
        model = self.options.model or builtin_for(kind)
        if not model:
            raise OptionError(f"scorer {kind} has no built-in model", hint="name one with -m")
        tokenizer = self.loader.tokenizer(replace(self.options, model=model))
        if kind not in tokenizer.kinds:
            what = f"the model is made for {shortlist(with_heads(tokenizer.kinds))}, the template for {kind}"
            raise ModelError(what, where=model, hint="name another model with -m")
        if preview.prompt.chat and (why := tokenizer.no_chat()):
            raise ModelError(f"no chat: {why}", where=model, hint=NO_CHAT)
        (tokenized,) = tokenizer.tokenized(kind, [preview.prompt])
        return replace(preview, model=model, limit=tokenizer.limit, tokenized=tokenized)

    def _with_scores(self, preview: Preview, verbalizer: Verbalizer) -> Preview:
        kind = preview.template.spec.scorer
        recipe = Recipe.of(preview.template, verbalizer, kind, self.options)
        if isinstance(recipe.decision, Several) and recipe.decision.cuts is None:  # scores are shown, and no labels
            recipe = replace(recipe, decision=recipe.decision.idle)
        classifier = Classifier.of(recipe, self.loader)
        scorer = classifier.scorer
        (outcome,) = classifier.outcomes([preview.row])
        if isinstance(outcome, Reject):
            raise RowError(outcome.reason, where=outcome.source)
        at_blank = isinstance(scorer, Filling) and preview.prompt.scored != "rest"  # a channel reads the text instead
        top = scorer.top([preview.prompt], TOP)[0] if isinstance(scorer, Filling) and at_blank else ()
        return replace(preview, prediction=outcome, top=top)


def _labels_of(words: Sequence[str], verbalizer: Verbalizer) -> list[str]:
    named = {word: label for label, of in verbalizer.labels.items() for word in of}
    return [named.get(word, word) for word in words]


def rows_of(said: Sequence[str], template: Template, kept: Callable[[str], str] | None = None) -> list[Row]:
    """The rows a user means: JSON, a plain text where the template reads one field, FILE:LINE; else the example.

    `kept` reads what can be read only once, and remembers it (see `once`). Raises InputError or RowError with what was
    said.
    """
    if not said:
        if template.spec.example:
            return [example_row(template)]
        needs = ", ".join(template.needs)
        raise InputError(
            "the template has no example", where=template.where, hint=f"give a row: a text, or JSON with {needs}"
        )
    kept = kept or cache(once)
    return [_row(text, number, template, kept) for number, text in enumerate(said, 1)]


def _row(said: str, number: int, template: Template, kept: Callable[[str], str]) -> Row:
    place, name = _AT.fullmatch(said), f"row {number}"
    if place and is_file(place[1]):
        return _at(kept(place[1]), int(place[2]))
    if is_file(said):
        hint = f"for its first row write {said}:1"
        raise RowError("this is the name of a file, not the text of a row", where=f"{name}: {said}", hint=hint)
    if _FILE.fullmatch(said):
        raise RowError(
            "no such file", where=f"{name}: {said}", hint='check the path; a text is also {"field": "value"}'
        )
    if said.lstrip().startswith("{"):
        found = read.parse(said, name)
        if isinstance(found, Reject):
            raise RowError(found.reason, where=name, hint='write it as {"field": "value"}')
        return found
    if len(template.needs) != 1:
        needs = json.dumps(dict.fromkeys(template.needs, "..."), ensure_ascii=False)
        raise RowError(f"the template needs {', '.join(template.needs)}", where=name, hint=f"write {needs}")
    return Row({template.needs[0]: said}, name)


def is_file(said: str) -> bool:
    """Whether it is the name of a file or a pipe; a text may be longer than any name."""
    try:
        return Path(said).exists() and not Path(said).is_dir()
    except (OSError, ValueError):
        return False


def _at(path: str, line: int) -> Row:
    """The row on that line of a file; raises InputError where there is none, RowError where it is broken."""
    for item in read.read([path]):
        if item.source == f"{path}:{line}":
            if isinstance(item, Reject):
                raise RowError(item.reason, where=item.source)
            return item
    raise InputError("no row begins on this line", where=f"{path}:{line}", hint="look at the file")
