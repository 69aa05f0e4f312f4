"""For the tests of a scorer: prompts of each kind, and whether the scorer keeps its word. Nothing here loads torch.

    from promptshot.testing import check_scorer

    def test_my_scorer_keeps_its_word() -> None:
        check_scorer(MyScorer(ModelOptions("a-small-model")), "mlm")

`FakeScorer`, which needs no model, keeps it for every kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from promptshot.errors import told, with_article
from promptshot.kinds import KINDS, ScorerKind
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.rows.row import Row
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Prompt, Scored, Scorer, fault

__all__ = ["TOLERANCE", "FakeScorer", "check_scorer", "hard", "samples"]

TOLERANCE = 1e-4  # of a score, where other prompts are in the batch

# Of very different lengths, so that padding would be seen.
_TEXTS = (
    "a",
    "The room was clean, the breakfast good, and we would come again any time",
    "房间干净，早餐也不错。",
    "她说 very good，就是有点贵",
)
_WORDS = (("good", "bad"), ("很", "不"), ("very good", "bad"))
_PLAIN: tuple[str | list[str], ...] = (
    *("{text} It is {mask}.", "{text}: {mask}", "{mask}满意。{text}"),
    *(["It is {mask}.", "{text}"], ["{text}", "这是{mask}的。"]),
)
_NO_ROOM = "so " * 20_000  # in a template, of which nothing may be left out


def samples(kind: str) -> list[Prompt]:
    """Prompts as templates make them for a kind of scorer ("mlm", see `promptshot.kinds`), one for each text and each
    thing that such a template can say: Chinese and English, long and short; raises KeyError for no such kind."""
    found = [_prompt(kind, keys, text, i) for keys in _templates(KINDS[kind]) for i, text in enumerate(_TEXTS)]
    return found + [replace(prompt, several=True) for prompt in found[: len(_TEXTS)] if KINDS[kind].odds]


def hard(kind: str) -> list[Prompt]:
    """Prompts that a scorer of that kind may have no score for: words and a row that no vocabulary has, and a template
    that no model has room for; raises KeyError for no such kind."""
    keys = next(_templates(KINDS[kind]))
    long = [_NO_ROOM + part for part in keys["text"]] if isinstance(keys["text"], list) else _NO_ROOM + keys["text"]
    odd = Template.of(TemplateSpec(scorer=KINDS[kind].name, **keys), "odd").render(_row("ok"), ("\ue000", "\ue001"))
    return [odd, _prompt(kind, keys, "\ue002 [MASK] </s>"), _prompt(kind, {**keys, "text": long}, "ok")]


def check_scorer(
    scorer: Scorer, kind: str, prompts: Sequence[Prompt] | None = None, tolerance: float = TOLERANCE
) -> None:
    """Comes back where a scorer keeps its word with prompts for that kind; AssertionError says what it does not keep.

    One Scored for each prompt, in their order. In it one number for each choice, a natural logarithm (of a probability
    but where the kind gives margins), finite, and how many tokens the choice has. The same to `tolerance` whatever
    else is in the batch. What cannot be scored carries `error` and no scores, and disturbs no other; `prompts`
    (default: `samples(kind)`) are what the scorer must be able to score.
    """
    asked, difficult = samples(kind) if prompts is None else list(prompts), hard(kind)
    _asked(scorer, [])
    alone = [scored for prompt in asked for scored in _asked(scorer, [prompt])]
    for prompt, scored in zip(asked, alone, strict=True):
        _sound(prompt, scored, KINDS[kind].margin)
    among = [*asked[::-1], difficult[0], *asked, *difficult[1:]]
    for prompt, scored in zip(among, _asked(scorer, among), strict=True):
        if prompt in difficult and scored.error is not None:
            _keep(bool(scored.error) and not scored.scores, f"{_of(prompt)} has an error and scores, or an empty error")
            continue
        _sound(prompt, scored, KINDS[kind].margin)
        if prompt not in difficult:
            expected = alone[asked.index(prompt)]
            _keep(_same(scored, expected, tolerance), f"{_of(prompt)} is {scored} among others, and {expected} alone")


# ------------------------------------------------------------------ prompts


def _templates(kind: ScorerKind) -> Iterator[dict[str, Any]]:
    """What templates of the kind can say."""
    yield from ({"text": text} for text in _PLAIN if (2 if isinstance(text, list) else 1) in kind.segments)
    if kind.left_to_right:
        yield {"text": "It is {mask}: {text}", "direction": "channel"}
    if kind.writes:
        yield {"text": "{text}? {mask}, {other}"}
    if kind.demonstrations:
        yield {"text": "{text}\n{mask}", "separator": "\n\n"}
    if kind.margin:
        yield {"text": ["{text}", "{other}"], "ordered": ["no", "yes"]}
        yield {"text": ["{text} {mask}", "{other}"]}
    if kind.holes:
        yield {"text": ["It is {mask}.", "{hollow}"], "fields": {"hollow": {"hole": "#"}}}


def _row(text: str) -> Row:
    return Row({"text": text, "other": "我们还会再来", "hollow": f"{text} # {text}"})


def _prompt(kind: str, keys: dict[str, Any], text: str, number: int = 0) -> Prompt:
    template = Template.of(TemplateSpec(scorer=KINDS[kind].name, **keys), "sample")
    words = ("",) if "ordered" in keys else _WORDS[number % len(_WORDS)]
    shots = ("good day\ngood\n\n", "很吵\n不\n\n") if "separator" in keys else ()
    return template.render(_row(text), words, shots)


# ------------------------------------------------------------------ checks


def _keep(kept: bool, otherwise: str) -> None:
    if not kept:
        raise AssertionError(otherwise)


def _of(prompt: Prompt) -> str:
    shown = prompt.text()
    return f"the prompt {shown if len(shown) < 60 else shown[:50] + '…'!r} with {list(prompt.choices)}"


def _asked(scorer: Scorer, prompts: Sequence[Prompt]) -> list[Scored]:
    """What the scorer gives, if it is one Scored for each prompt."""
    try:
        found = list(scorer.score(prompts))
    except Exception as problem:
        what = f"score failed for {len(prompts)} prompts, where one of them may carry an error: {told(problem)}"
        raise AssertionError(what) from problem
    _keep(len(found) == len(prompts), f"it gave {len(found)} results for {len(prompts)} prompts")
    other = next((one for one in found if not isinstance(one, Scored)), None)
    _keep(other is None, f"it gave {with_article(type(other).__name__)} for a prompt")
    return found


def _sound(prompt: Prompt, scored: Scored, margin: bool) -> None:
    """One number and one count for each choice, and no error."""
    problem = scored.error if scored.error is not None else fault(scored, len(prompt.choices))
    _keep(not problem and scored.error is None, f"{_of(prompt)}: {problem}")
    _keep(margin or max(scored.scores) <= TOLERANCE, f"{_of(prompt)}: a logarithm of a probability is not above 0")
    counts = (*scored.tokens, scored.cut, scored.dropped)
    _keep(all(isinstance(n, int) and n >= 0 for n in counts), f"{_of(prompt)}: tokens, cut and dropped are counts")


def _same(one: Scored, other: Scored, tolerance: float) -> bool:
    """But for what another batch does to the last digits."""
    numbers = zip((*one.scores, *one.lead), (*other.scores, *other.lead), strict=False)
    alike = len(one.lead) == len(other.lead) and all(abs(a - b) <= tolerance for a, b in numbers)
    rest = [(s.tokens, s.cut, s.dropped, s.unknown) for s in (one, other)]
    return alike and rest[0] == rest[1]
