"""What to use when the user does not say: labels, scorer, language, template; and why.

Nothing is guessed from the texts' meaning: labels come from the user or from the rows' own labels, the
scorer from the model's architecture, the language from the script, and the template from the shelf.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from promptshot import library, spec
from promptshot.errors import InputError, OptionError, PromptshotError, RowError, TemplateError, shortlist
from promptshot.labels import Labels, read_labels, verbalizer_of_labels
from promptshot.prompts import Template, TemplateSpec
from promptshot.rows import Row
from promptshot.verbalizer import Verbalizer, gold_text

MOST_LABELS = 200
SHARE = 0.8  # of a shelf verbalizer's labels that the rows must show before it is taken for theirs
# Where several templates of the shelf fit, these tasks go first, in this order; several words a label before one, which
# leans more to a side.
TASKS = (
    "sentiment-words",
    "sentiment",
    "news-words",
    "news",
    "entailment",
    "same",
    "emotion",
    "intent",
    "spam",
    "subjectivity",
    "question",
)

KINDS = ("mlm", "nsp", "causal")

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Wish:
    """What a user said of templates and label words; empty where nothing was said."""

    templates: tuple[str, ...] = ()
    labels: str | Sequence[str] | Mapping[str, Any] | None = None
    verbalizer: str | Verbalizer | None = None
    scorer: str | None = None
    model: str = ""
    folder: Path | None = None

    @property
    def kind(self) -> str | None:
        """The kind of scorer that was said or that the model is made for."""
        return self.scorer if self.scorer in KINDS else scorer_of(self.model)

    def words(self) -> Verbalizer | None:
        """The label words that were said, in place of a template's own."""
        if self.labels is not None and self.verbalizer is not None:
            raise OptionError("labels and verbalizer both give label words", hint="leave one out")
        if self.labels is not None:
            return self._said.verbalizer
        if isinstance(self.verbalizer, str):
            return library.verbalizer(self.verbalizer, self.folder)
        return self.verbalizer

    @property
    def reasons(self) -> tuple[str, ...]:
        """How labels were read that were not plainly said, one line each."""
        return () if self.labels is None else self._said.reasons

    @cached_property
    def _said(self) -> Labels:
        assert self.labels is not None
        return read_labels(self.labels)


@dataclass(frozen=True)
class Guess:
    """A template with the verbalizer to use, and one line for each thing that was not said."""

    template: Template
    verbalizer: Verbalizer
    reasons: tuple[str, ...] = ()


def language_of(texts: Iterable[str]) -> str:
    """'zh' where at least a fifth of the letters are Chinese characters, else 'en'."""
    text = "".join(texts)
    letters = len(_LETTER.findall(text))
    return "zh" if letters and len(_CHINESE.findall(text)) >= letters / 5 else "en"


def scorer_of(model: str) -> str | None:
    """The scorer for a local or built-in model, from its config.json; None where that does not tell."""
    folder = library.builtin_model(model) if model.startswith(library.BUILTIN) else Path(model)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        heads = " ".join(config.get("architectures") or ())
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    if re.search(r"ForCausalLM|LMHeadModel", heads) and not config.get("is_encoder_decoder"):
        return "causal"
    if re.search(r"ForMaskedLM|ForPreTraining", heads):
        return "mlm"
    return "nsp" if "ForNextSentencePrediction" in heads else None


def template_of(said: str, scorer: str, folder: Path | None) -> Template:
    """The template of that name or path; text with a brace in it is a template itself.

    Inline text for `nsp` has a bar between its segments: "This is {mask} news | {text}".
    """
    if "{" not in said:
        return library.template(said, folder)
    text: str | list[str] = said.split(" | ") if scorer == "nsp" else said
    made = spec.build({"scorer": scorer, "text": text}, TemplateSpec, TemplateError, "-t", {})
    return Template.of(made, "inline", "-t")


def labels_of(rows: Iterable[Row], field: str = "label") -> list[str]:
    """The distinct labels the rows carry, sorted; raises OptionError beyond 200 of them."""
    found: set[str] = set()
    for row in rows:
        column = row.column(field)
        value = gold_text(row, column)
        if value is not None:
            found.add(value.strip())
        if len(found) > MOST_LABELS:
            what = f"more than {MOST_LABELS} different labels in column {column!r}"
            raise OptionError(what, hint="name another --label-field, or say --labels a,b,c")
    return sorted(found)


def choose(wish: Wish, first: Callable[[], Sequence[Row]], every: Callable[[], Iterable[Row]]) -> list[Guess]:
    """A template with label words for each one that was named; where none was, one for the rows.

    `first` gives some rows to look at, `every` all of them; they are called only where they are needed.
    """
    words = wish.words()
    if not wish.templates:
        one = guess(first(), [] if words else labels_of(every()), words, wish.kind, wish.folder)
        return [replace(one, reasons=(*wish.reasons, *one.reasons))]
    found = []
    for said in wish.templates:
        template = template_of(said, wish.kind or "mlm", wish.folder)
        own = template.spec.scorer
        if wish.scorer in KINDS and wish.scorer != own:
            hint = f"use scorer {own}, or a template for {wish.scorer}"
            raise OptionError(f"the template {template.name} is for scorer {own}, not {wish.scorer}", hint=hint)
        if words is None and "{" in said:
            found.append(Guess(template, verbalizer_of_rows(labels_of(every()))))
        else:
            words_of = words or library.verbalizer_of(template, wish.folder)
            found.append(Guess(template, words_of, wish.reasons))
    return found


def guess(
    rows: Sequence[Row], found: Sequence[str], given: Verbalizer | None, scorer: str | None, folder: Path | None
) -> Guess:
    """A template for rows of which no template was named; `found` are the labels that the rows carry.

    Raises OptionError where neither labels nor rows tell what to choose from.
    """
    if not rows:
        raise InputError("no good row to look at", hint="name a template: -t NAME")
    reasons = [] if scorer else ["scorer mlm, the usual first choice"]
    scorer = scorer or "mlm"
    language = language_of(_texts(rows[:200]))
    spoken = {"zh": "Chinese", "en": "English"}[language]
    if given is None:
        for fitting in of_the_shelf(rows[0], found, f"{language}-", f"-{scorer}", folder)[:1]:
            why = f"the rows' labels ({shortlist(found, 6)}) fit {fitting.verbalizer.name}, their texts are {spoken}"
            return Guess(fitting.template, fitting.verbalizer, (*reasons, f"template {fitting.template.name}: {why}"))
        given = verbalizer_of_rows(found)
        reasons.append(f"labels from the rows: {shortlist(found, 6)}")
    template = library.template(f"{language}-topic-{scorer}", folder)
    _refuse_pairs(template, rows[0])
    reasons.append(f"template {template.name}, the general one for {spoken} texts")
    return Guess(template, given, tuple(reasons))


def save(path: Path, found: Sequence[Guess]) -> None:
    """Write template and verbalizer down as one file that `-t` reads."""
    if len(found) != 1:
        raise OptionError("--save-template writes one template, not an ensemble", hint="leave it out")
    template, verbalizer = found[0].template, found[0].verbalizer
    if path.exists():
        raise InputError("exists already", where=str(path), hint="give another name")
    keys = template.spec.model_dump(exclude_defaults=True, exclude={"verbalizer", "example"})
    labels = {label: dict(words) for label, words in verbalizer.labels.items()}
    plain = {label: [*words] if set(words.values()) == {1.0} else words for label, words in labels.items()}
    inside: dict[str, Any] = {"labels": plain}
    if verbalizer.gold:
        inside["gold"] = {label: list(values) for label, values in verbalizer.gold.items()}
    if verbalizer.pool != "mean":
        inside["pool"] = verbalizer.pool
    own = {} if template.spec.words_from else {"verbalizer": inside}  # there each row brings its own
    text = yaml.safe_dump(keys | own, allow_unicode=True, sort_keys=False, width=100)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot be written ({problem.strerror})", where=str(path)) from None


def _texts(rows: Sequence[Row]) -> list[str]:
    """The rows' texts, under whatever names; whatever else they hold where they have no such field."""
    found = []
    for row in rows:
        columns = [column for name in ("text", "text_a", "text_b") if (column := row.column(name))]
        found += [str(row[column]) for column in columns or row.fields]
    return found


def of_the_shelf(row: Row, found: Sequence[str], start: str, end: str, folder: Path | None) -> list[Guess]:
    """The templates of that language and scorer whose verbalizers know all labels of the rows, the likeliest first."""
    fitting: list[tuple[int, int, str, Guess]] = []
    for name in library.names("templates", folder):
        if found and name.startswith(start) and name.endswith(end):
            try:
                template = library.template(name, folder)
                verbalizer = library.verbalizer_of(template, folder)
                known = {verbalizer.gold_label(Row({"label": label}), "label")[0] for label in found}
            except PromptshotError:
                continue
            enough = len(known) == len(found) >= SHARE * len(verbalizer.names)
            if None in known or not enough or any(row.column(need) is None for need in template.needs):
                continue
            task = name.removeprefix(start).removesuffix(end)
            order = TASKS.index(task) if task in TASKS else len(TASKS)
            fitting.append((len(verbalizer.names), order, name, Guess(template, verbalizer)))
    words = [label for label in found if not _NUMBER.fullmatch(label)]
    return [guess for *_, guess in sorted(fitting, key=lambda f: f[:3])] if words else []


def every(rows: Sequence[Row], found: Sequence[str], folder: Path | None = None) -> list[Guess]:
    """All templates of the shelf, for any scorer, that fit the rows' language and the labels they carry.

    Raises OptionError where there is none.
    """
    if not rows:
        raise InputError("no good row to look at", hint="name templates: -t NAME -t NAME")
    if not found:
        raise InputError("no row has a label", where=rows[0].source, hint="name the column: --label-field NAME")
    language = language_of(_texts(rows[:200]))
    guesses = [one for kind in KINDS for one in of_the_shelf(rows[0], found, f"{language}-", f"-{kind}", folder)]
    if not guesses:
        what = f"no template of the shelf fits the rows' labels ({shortlist(found, 6)})"
        raise OptionError(what, hint="name templates: -t NAME -t NAME (see: promptshot templates list)")
    return guesses


def verbalizer_of_rows(found: Sequence[str]) -> Verbalizer:
    """The labels that the rows carry as their own label words; raises OptionError for numbers or none."""
    if not found:
        raise OptionError(
            "no labels to choose from: none were said, and the rows carry none",
            hint="say --labels a,b,c, or -t NAME (see: promptshot templates list)",
        )
    if all(_NUMBER.fullmatch(label) for label in found):
        example = ",".join(f"{label}=WORD" for label in found[:3]) + ("" if len(found) <= 3 else ",...")
        what = f"the rows' labels are numbers ({shortlist(found, 6)})"
        raise OptionError(what, hint=f"say what they mean: --labels '{example}', or -t NAME")
    if len(found) < 2:
        raise OptionError(f"the rows carry only one label, {found[0]!r}", hint="say --labels a,b,c")
    return verbalizer_of_labels(found)


def _refuse_pairs(template: Template, row: Row) -> None:
    try:
        row[template.needs[0]]
    except RowError as problem:
        if row.column("text_a") and row.column("text_b"):
            hint = "name a template for pairs, such as zh-same-nsp or en-entailment-mlm"
            raise OptionError("the rows are pairs of texts", where=row.source, hint=hint) from None
        raise problem
