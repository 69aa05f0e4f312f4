"""Texts that a model writes, to be looked at: from nothing, around fixed words, for a label, or a template anew.

A masked model's conditionals are those of no joint distribution, and a model repeats what its corpus was full of: what
is drawn says what a model finds likely, and is no data to train or to measure with.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptshot.errors import OptionError, TemplateError
from promptshot.prompts.template import MASK, Template, example_row, parse
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.scoring import Draft, Drawing, Drawn, Gap, Kind, Sampling, Scorer

LENGTH = (8, 32)  # tokens, where nothing is said: as the source of Gibbs sampling has it
SHARE = 0.5  # of a template's words that are drawn anew
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+")  # a Chinese character, or letters
Lengths = Sequence[tuple[int, int]]
Part = str | Gap | Kind


@dataclass(frozen=True)
class Text:
    """A text that was drawn; `filled` is what stands in its gaps, `label` and `template` what it was drawn for."""

    text: str
    filled: tuple[str, ...]
    tokens: int
    log_probability: float
    label: str = ""
    template: Template | None = None

    def record(self) -> dict[str, Any]:
        """Plain data."""
        said = {"text": self.text, "filled": list(self.filled), "tokens": self.tokens}
        label = {"label": self.label} if self.label else {}
        return {**said, "log_probability": self.log_probability, **label}


@dataclass(frozen=True)
class Samples:
    """What was drawn, each text once; `repeated` were the same as another (or as what they were drawn from), and
    `spoilt` made no template."""

    texts: tuple[Text, ...]
    repeated: int = 0
    spoilt: int = 0


def texts(
    scorer: Scorer,
    said: str = "",
    count: int = 5,
    lengths: Lengths = (),
    seed: int = 0,
    chains: int | None = None,
    how: Drawing | None = None,
    watch: Callable[[str], object] = str,
) -> Samples:
    """Texts with something drawn for each {mask}; of a text without one a cloze draws every token anew, and a causal
    model goes on behind it. Raises OptionError."""
    sampler, goes_on = _sampler(scorer)
    flaws: list[Any] = []
    parsed = parse(said, flaws)
    if flaws or any(part.kind is Kind.FIELD for part in parsed):
        raise OptionError("a text has {mask} for what is drawn, and no fields", hint="fields are for -t TEMPLATE")
    slots = sum(part.kind is Kind.MASK for part in parsed)
    room = _lengths(lengths, slots or 1)
    gaps = iter([Gap(*size) for size in room])
    parts: list[Part] = [next(gaps) if part.kind is Kind.MASK else part.text for part in parsed]
    if not slots:
        plain = "".join(part.text for part in parsed)
        begun: list[Part] = [plain] if plain else []
        parts = [*begun, next(gaps)] if goes_on or not plain else [Gap(start=plain)]
    drafts = _drafts([parts], count, seed, chains)
    drawn = sampler.sample(drafts, how or Drawing(), watch)
    return _distinct([_filled(parts, one) for of in drawn for one in of])


def examples(
    scorer: Scorer,
    template: Template,
    words: Verbalizer,
    label: str,
    count: int = 5,
    lengths: Lengths = (),
    seed: int = 0,
    chains: int | None = None,
    how: Drawing | None = None,
    watch: Callable[[str], object] = str,
) -> Samples:
    """Texts for the fields of a template, with a word of the label in its blank. Raises OptionError where the model
    would write them before it has read the word."""
    sampler, goes_on = _sampler(scorer)
    if label not in words.labels:
        raise OptionError(f"no label {label!r}", hint=f"there are {', '.join(words.names[:8])}")
    kinds = [part.kind for segment in template.segments for part in segment]
    if Kind.MASK not in kinds or Kind.FIELD not in kinds:
        raise OptionError(f"{template.name} has no field, or no blank of its own", hint="take another template")
    if goes_on and kinds.index(Kind.FIELD) < kinds.index(Kind.MASK):
        what = f"in {template.name} the text stands before the label's word, which a causal model has not read then"
        raise OptionError(what, hint="take a template with direction: channel, or one for mlm")
    room = iter(_lengths(lengths, kinds.count(Kind.FIELD)))
    word = next(iter(words.labels[label]))
    parts: list[Part] = []
    for number, segment in enumerate(template.segments):
        parts += [Kind.BREAK] if number else []
        for part in segment:
            here: Part = Gap(*next(room)) if part.kind is Kind.FIELD else part.text
            parts.append(word if part.kind is Kind.MASK else here)
    drawn = sampler.sample(_drafts([parts], count, seed, chains), how or Drawing(), watch)
    made = [replace(_filled(parts, one), text=" | ".join(one.filled), label=label) for of in drawn for one in of]
    return _distinct(made)


def paraphrases(
    scorer: Scorer,
    template: Template,
    words: Verbalizer,
    count: int = 5,
    share: float = SHARE,
    seed: int = 0,
    how: Drawing | None = None,
    watch: Callable[[str], object] = str,
    lengths: Lengths = (),
) -> Samples:
    """The template with a share of its own words drawn anew, around the text of its example and words of its labels in
    turn; fields and blank stay where they are. Raises OptionError where it has no example or no words."""
    sampler, _ = _sampler(scorer)
    if len(lengths) > 1:
        raise OptionError("a paraphrase has one place to draw for", hint="give --tokens once")
    if not template.spec.example:
        raise OptionError(f"{template.name} has no example, and words are drawn around one", hint="add 'example'")
    if not _words_of(template):
        raise OptionError(f"{template.name} has no words of its own to draw anew", hint="take another template")
    row, labels = example_row(template), list(words.labels.values())
    shapes, drafts = [], []
    for number in range(count):
        shape = _holed(template, share, random.Random(f"{seed} {number} words"), lengths[0] if lengths else None)
        word = next(iter(labels[number % len(labels)]))
        shapes.append(shape)
        shown = [_shown(part, template, row, word) for part in shape]
        drafts.append(Draft(tuple(shown), f"{seed} {number}"))
    drawn = sampler.sample(drafts, how or Drawing(), watch)
    made = []
    for number, (shape, (one,)) in enumerate(zip(shapes, drawn, strict=True)):
        made.append(_paraphrase(template, shape, one, number + 1))
    sound = [text for text in made if text is not None]
    found = _distinct([text for text in sound if text.text != inline(template)])
    return replace(found, repeated=len(sound) - len(found.texts), spoilt=len(made) - len(sound))


# ------------------------------------------------------------------ drafts

_Holed = tuple[Kind, str] | Gap  # a part of a template, or words of it that are drawn anew


def _words_of(template: Template) -> list[tuple[int, int, re.Match[str]]]:
    """The words of a template's own text: segment, part and place."""
    return [
        (i, j, found)
        for i, segment in enumerate(template.segments)
        for j, part in enumerate(segment)
        if part.kind is Kind.FIXED
        for found in _WORD.finditer(part.text)
    ]


def _holed(
    template: Template, share: float, draw: random.Random, length: tuple[int, int] | None = None
) -> list[_Holed]:
    """The parts of a template, with a gap for a share of its words (at least one) that follow one another; a blank or
    a field among them makes two of it. It is as long as was said, or as there are words, or a token longer."""
    every = _words_of(template)
    count = max(1, min(len(every), round(share * len(every))))
    first = draw.randrange(len(every) - count + 1)
    places: dict[tuple[int, int], list[re.Match[str]]] = {}
    for i, j, found in every[first : first + count]:
        places.setdefault((i, j), []).append(found)
    shape: list[_Holed] = []
    for i, segment in enumerate(template.segments):
        shape += [(Kind.BREAK, "")] if i else []
        for j, part in enumerate(segment):
            last = 0
            if words := places.get((i, j)):
                begin, last = words[0].start(), words[-1].end()
                shape += [(Kind.FIXED, part.text[:begin])] if begin else []
                shape.append(Gap(*(length or (len(words), len(words) + 1))))
            shape += [(part.kind, part.text[last:])] if part.kind is not Kind.FIXED or last < len(part.text) else []
    return shape


def _shown(part: _Holed, template: Template, row: Any, word: str) -> Part:
    """A part as a model reads it: the example's text for a field, a label's word for the blank."""
    if isinstance(part, Gap):
        return part
    kind, text = part
    if kind is Kind.FIELD:
        rule = template.spec.fields.get(text)
        return str(row.text(text, rule.join if rule else None))
    return Kind.BREAK if kind is Kind.BREAK else word if kind is Kind.MASK else text


def _paraphrase(template: Template, shape: Sequence[_Holed], drawn: Drawn, number: int) -> Text | None:
    """The template with what was drawn; None where that is none, as words of braces may be."""
    filled, segments = iter(drawn.filled), [""]
    for part in shape:
        if isinstance(part, Gap):
            segments[-1] += _escaped(next(filled))
        elif part[0] is Kind.BREAK:
            segments.append("")
        else:
            segments[-1] += {Kind.FIELD: f"{{{part[1]}}}", Kind.MASK: f"{{{MASK}}}"}.get(part[0], _escaped(part[1]))
    text = segments if len(segments) > 1 else segments[0]
    try:
        made = Template.of(template.spec.model_copy(update={"text": text}), f"{template.name}-{number}")
    except TemplateError:
        return None
    return Text(inline(made), drawn.filled, drawn.tokens, drawn.log_probability, template=made)


def inline(template: Template) -> str:
    """The text of a template as `-t` takes it on a command line: a line break is written as one."""
    said = template.spec.text
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return typed(text) if isinstance(said, str) else text.replace("\\", "\\\\")


def typed(text: str) -> str:
    """A text in one line, as it is typed in a shell."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _sampler(scorer: Scorer) -> tuple[Sampling, bool]:
    """The scorer as what writes texts, and whether it goes on from left to right; raises OptionError."""
    name = str(getattr(scorer, "name", type(scorer).__name__))
    if not isinstance(scorer, Sampling):
        raise OptionError(f"scorer {name} cannot write texts", hint="use --scorer mlm or causal, with such a model")
    kind = getattr(scorer, "kind", None)
    return scorer, bool(kind and kind.left_to_right)


def _lengths(said: Lengths, slots: int) -> list[tuple[int, int]]:
    if len(said) not in (0, 1, slots):
        raise OptionError(f"{len(said)} lengths for {slots} places", hint="give --tokens once, or once for each")
    return list(said) if len(said) == slots else [said[0] if said else LENGTH] * slots


def _drafts(parts: Sequence[Sequence[Part]], count: int, seed: int, chains: int | None) -> list[Draft]:
    """Drafts that give so many texts in all: a chain for each, or as many chains as are wanted."""
    number = min(count, chains or count)
    sizes = [count // number + (i < count % number) for i in range(number)]
    return [Draft(tuple(parts[0]), f"{seed} {i}", size) for i, size in enumerate(sizes)]


def _filled(parts: Sequence[Part], drawn: Drawn) -> Text:
    filled = iter(drawn.filled)
    shown = [next(filled) if isinstance(p, Gap) else " | " if isinstance(p, Kind) else p for p in parts]
    return Text("".join(shown), drawn.filled, drawn.tokens, drawn.log_probability)


def _distinct(made: Sequence[Text]) -> Samples:
    found = {text.text: text for text in reversed(made)}
    kept = tuple(text for text in made if found[text.text] is text)
    return Samples(kept, len(made) - len(kept))
