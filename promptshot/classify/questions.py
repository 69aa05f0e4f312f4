"""What a row asks of a scorer, and what the answers come to: a score for each word that may fill the blank.

A row asks one prompt, or several, which a window scores in one go: that is why nobody else pairs rows with prompts.
Many demonstrations are dealt among as many prompts as there are chunks, and one prompt more has none of them. A text
that is too long may be read in pieces, each a prompt; what their scores come to is pooled before all else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import sub
from typing import Any, NamedTuple, TypeVar

from promptshot.classify import decide, demonstrations
from promptshot.classify.demonstrations import Demonstration, Pools, Source, dealt
from promptshot.classify.recipe import Recipe
from promptshot.errors import OptionError, RowError
from promptshot.prompts.task import Task
from promptshot.rows.row import Row
from promptshot.scoring import Kind, LongPool, Prompt, Scored, Windowing, fault

EMPTY = "-"  # what stands for an empty row until its prompt is made: rows that say nothing are refused
Made = TypeVar("Made")
Windows = Callable[[Prompt], Sequence[Prompt]]
WITHOUT = 0.25  # beta: how much of what is said without demonstrations is taken back (kexue.fm 9617)


class Answer(NamedTuple):
    """Word scores in the order of the choices (natural logarithms, or margins), and what is to be known of them."""

    words: Mapping[str, float]
    tokens: tuple[int, ...] = ()  # of each word, those of its own; none where they are not what is scored
    averaged: bool = False  # word scores are means over tokens, for the words differ in length
    cut: int = 0
    dropped: int = 0
    lacking: int = 0  # demonstrations that were the row itself, and no spare took their place
    unknown: bool = False  # the tokenizer knows nothing of the row's own text
    pieces: int = 1  # in which the row was read
    beyond: int = 0  # tokens more than the model was trained on

    @property
    def split(self) -> int:
        """How many words have several tokens."""
        return sum([n > 1 for n in self.tokens])


class Questions:
    """The prompts of rows, and their answers."""

    def __init__(
        self,
        task: Task,
        source: Source | None = None,
        chunks: int = 1,
        windows: Windows | None = None,
        pool: LongPool | None = None,
    ) -> None:
        """With `windows`, which give the prompts that cover one, long texts are read in pieces."""
        self.task, self.demonstrations, self.chunks = task, source, chunks
        self.windows, self.pool = windows, pool or "mean"

    @classmethod
    def of_recipe(cls, recipe: Recipe, scorer: object = None, pools: Pools | None = None) -> Questions:
        """Those that a recipe asks, behind its demonstrations; a scorer is needed only for those that are similar by
        its embeddings, and to read long texts in pieces. What `pools` have is not read again. Raises a
        PromptshotError."""
        chunks, options = recipe.demos.chunks if recipe.demos else 1, recipe.options
        source = demonstrations.of_recipe(recipe, scorer, pools)
        return cls(recipe.task, source, chunks, _windows(recipe, scorer), options.long_pool)

    def of(self, row: Row) -> tuple[Prompt, ...]:
        """What is asked of a row; raises RowError."""
        (found,) = self.of_rows([row])
        if isinstance(found, RowError):
            raise found
        return found

    def of_rows(self, rows: Sequence[Row]) -> list[tuple[Prompt, ...] | RowError]:
        """What is asked of each row, or what is wrong with it; demonstrations are found for all of them at once."""
        if self.demonstrations is None:
            return [_tried(self._prompts, row, ()) for row in rows]
        values = [_tried(self.task.values, row) for row in rows]
        shots = iter(self.demonstrations.for_rows([one for one in values if not isinstance(one, RowError)]))
        pairs = zip(rows, values, strict=True)
        return [one if isinstance(one, RowError) else _tried(self._prompts, row, next(shots)) for row, one in pairs]

    def _prompts(self, row: Row, shots: Sequence[Demonstration]) -> tuple[Prompt, ...]:
        """The prompts of a row behind its demonstrations."""
        parts = [shots] if self.chunks == 1 else [*dealt(shots, self.chunks), ()]
        prompts = [self.task.prompt(row, [shot.piece for shot in part]) for part in parts]
        return tuple(prompts if self.windows is None else [one for p in prompts for one in self.windows(p)])

    def neutral(self, text: str) -> tuple[Prompt, ...]:
        """What would be asked of a row that says only `text`, which may be empty, wherever the template reads it."""
        rules, said = self.task.template.spec.fields, text or EMPTY
        holes = {name: rules[name].hole or "" for name in self.task.template.needs if name in rules}
        prompts = self.of(Row({name: said + holes.get(name, "") for name in self.task.template.needs}, "calibration"))
        return prompts if text else tuple(_emptied(prompt) for prompt in prompts)

    def answer(self, prompts: Sequence[Prompt], scored: Sequence[Scored]) -> Answer | str:
        """What the scores of a row's prompts come to, or why they come to nothing."""
        answers: list[Answer] = []
        for prompt, found in zip(prompts, scored, strict=True):
            answer = self._answer(prompt, found)
            if isinstance(answer, str):
                return answer
            answers.append(answer)
        together = answers[0] if len(answers) == 1 else self._together(prompts, answers)
        return together._replace(lacking=self._lacking(prompts)) if self.demonstrations else together

    def _together(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Answer:
        """What the answers of several prompts of a row come to: of each text its pieces, then of all the texts."""
        texts = list[list[Answer]]()
        for prompt, answer in zip(prompts, answers, strict=True):
            if prompt.goes_on:
                texts[-1].append(answer)
            else:
                texts.append([answer])
        whole = [of[0] if len(of) == 1 else self._pooled(of) for of in texts]
        return whole[0] if len(whole) == 1 else _combined(whole)

    def _answer(self, prompt: Prompt, found: Scored) -> Answer | str:
        """What the scores of one prompt come to."""
        if problem := found.error or fault(found, len(prompt.choices)):
            return problem
        told = (found.cut, found.dropped, 0, found.unknown, 1, found.beyond)
        if self.task.paired:
            return Answer({"": found.scores[0]}, (), False, *told)
        words: Sequence[float] = found.scores
        if averaged := self._averages(found):
            words = list(map(sub, words, found.lead)) if found.lead else words
            words = [score / max(1, n) for score, n in zip(words, found.tokens, strict=True)]
        of_word = dict(zip(prompt.choices, words, strict=True))
        counted = prompt.scored == "choice" and not self.task.template.kind.margin
        return Answer(of_word, found.tokens if counted else (), averaged, *told)

    def _pooled(self, pieces: Sequence[Answer]) -> Answer:
        """What the scores of the pieces of a text come to.

        Odds and cosines can be compared between pieces, and are pooled as they are; so are the scores of labels that
        are judged each by itself. Other scores are log-probabilities that a piece makes smaller or larger as a whole:
        they are made a distribution over the words to choose from first.
        """
        alone = self.task.paired or self.task.several or self.task.template.kind.absolute
        of = [one.words if alone else decide.log_softmax(one.words) for one in pieces]
        words = {word: POOLS[self.pool]([one[word] for one in of]) for word in of[0]}
        cut, dropped = max(one.cut for one in pieces), max(one.dropped for one in pieces)
        averaged, unknown = any(one.averaged for one in pieces), all(one.unknown for one in pieces)
        told = (averaged, cut, dropped, 0, unknown, len(pieces))
        return Answer(words, pieces[0].tokens, *told)

    def _lacking(self, prompts: Sequence[Prompt]) -> int:
        """How many demonstrations the prompts of a row have fewer than they should."""
        assert self.demonstrations is not None
        own = [one for one in prompts if not one.goes_on]
        return self.demonstrations.k - sum(piece.kind is Kind.DEMO for one in own for piece in one.pieces)

    def _averages(self, scored: Scored) -> bool:
        """Mean over a word's own tokens instead of the sum: as the template says, or under a cloze whose words
        differ in what is read for them, where sums would favour the short ones."""
        template = self.task.template
        if template.spec.normalize:
            return template.spec.normalize == "mean"
        return template.kind.means and (len({*scored.tokens}) > 1 or (any(scored.lead) and not all(scored.lead)))


def _log_mean_exp(scores: Sequence[float]) -> float:
    """The natural log of the mean of what the scores are logs of: a text in many pieces has no more than in few."""
    top = max(scores)
    return top + math.log(sum(math.exp(score - top) for score in scores) / len(scores))


POOLS: Mapping[LongPool, Callable[[Sequence[float]], float]] = {
    "mean": lambda scores: sum(scores) / len(scores),
    "max": max,
    "logsumexp": _log_mean_exp,
}


def _windows(recipe: Recipe, scorer: object) -> Windows | None:
    """What gives the prompts that cover one, where a recipe wants that and there is a scorer; raises OptionError."""
    long = recipe.options.long
    if long == "cut" or scorer is None:
        return None
    if not isinstance(scorer, Windowing):
        what = f"--long {long}: the scorer {recipe.scorer!r} does not say what fits"
        raise OptionError(what, hint="leave it out, or use a scorer with a checkpoint")
    return None if long != "windows" else lambda prompt: scorer.windows(prompt, recipe.options.long_stride)


def _emptied(prompt: Prompt) -> Prompt:
    """The prompt without what stands for an empty row."""
    pieces = [replace(piece, text="") if piece.kind is Kind.FIELD else piece for piece in prompt.pieces]
    return replace(prompt, pieces=tuple(pieces))


def _tried(make: Callable[..., Made], *given: Any) -> Made | RowError:
    """What is made of a row, or the RowError that it raises."""
    try:
        return make(*given)
    except RowError as problem:
        return problem


def _combined(answers: Sequence[Answer]) -> Answer:
    """Naive Bayes over chunks of demonstrations; the last answer is the one without any (NBCE, kexue.fm 9617).

    log p(w | all) = (1 + beta) log p(w | the surest chunk) - beta log p(w | none), each a distribution over the words
    to choose from: as word scores these make the label.
    """
    *chunks, without = [decide.log_softmax(answer.words) for answer in answers]
    surest = min(chunks, key=_entropy) if chunks else without
    words = {word: (1 + WITHOUT) * log_p - WITHOUT * without[word] for word, log_p in surest.items()}
    cut, dropped = max(one.cut for one in answers), sum(one.dropped for one in answers)
    averaged = any(one.averaged for one in answers)
    most, beyond = max(one.pieces for one in answers), max(one.beyond for one in answers)
    found = answers[-1]._replace(words=words, averaged=averaged, cut=cut, dropped=dropped)
    return found._replace(pieces=most, beyond=beyond)


def _entropy(log_p: Mapping[str, float]) -> float:
    """Of a distribution, in nats."""
    return -sum(math.exp(one) * one for one in log_p.values())
