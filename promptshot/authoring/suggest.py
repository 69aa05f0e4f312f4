"""Label words from rows: found on some of the labelled rows (or on unlabelled ones), judged on the others.

    rows ──┬── finding ── candidates ── scores ── ranking.best ──┐
           └── judging ────────────────────────────────────────── verbalizer: right in how many rows?

What judges has found nothing: neither the candidates nor how they are ranked come from its rows.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import Any

import numpy as np

from promptshot.authoring import ranking, wordlists
from promptshot.authoring.ranking import Matrix
from promptshot.classify.calibrate import Calibration
from promptshot.classify.classifier import Classifier
from promptshot.classify.gold import check_gold
from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.recipe import Recipe
from promptshot.errors import InputError, OptionError, PromptshotError, RowError, VerbalizerError, many, shortlist
from promptshot.metrics import Tally
from promptshot.paired import SURE, Paired
from promptshot.prompts import strict
from promptshot.prompts.language import language_of
from promptshot.prompts.task import Task
from promptshot.prompts.verbalizer import Verbalizer, Words
from promptshot.rows.row import Item, Reject, Row, raw_of
from promptshot.runs.remarks import Remark
from promptshot.scorers import Loader
from promptshot.scoring import Checkpoint, Prompt, Proposing, Scored, Scorer, fault

LEAST = 2  # rows of a label: one finds, one judges
FEW = 8  # rows of a label that find, below which that is said
MOST = 2_000  # rows that find, and that judge
LIKELY = 400  # words that a model proposes for a label
COSTS = 5_000  # texts to run, about; beyond, some rows choose which words the others see
SHARED, ALL = 8, 1_000_000  # words that a causal model reads at the cost of one more text, about, and a cloze
Watch = Callable[[str], object]  # is told what is done next
APART = 18.0  # of a word's prior from that of the middle one, at most: no weight makes up for more


@dataclass(frozen=True)
class Rows:
    """Which rows find words and which judge them; `left_out` cannot be used, `same` say what another one says, and
    `spare` ones are more than it takes."""

    finding: tuple[tuple[Row, str], ...]
    judging: tuple[tuple[Row, str], ...]
    unlabelled: tuple[Row, ...] = ()
    left_out: tuple[Reject, ...] = ()
    same: int = 0
    seed: int = 0
    spare: int = 0

    @classmethod
    def of(cls, items: Iterable[Item], more: Iterable[Item], task: Task, seed: int) -> Rows:
        """Half of each label's rows find, at random, the others judge; rows without label and `more` find too.

        Raises InputError where a label has too few rows, though some have a label.
        """
        by_label: dict[str, list[Row]] = {label: [] for label in task.labels}
        unlabelled: list[Row] = []
        left_out: list[Reject] = []
        seen: set[tuple[str, ...]] = set()
        same = 0
        for item, labelled in (*((item, True) for item in items), *((item, False) for item in more)):
            try:
                row = _usable(item)
                task.prompt(row)
                values = task.values(row)
                label, said = task.gold(row) if labelled else (None, None)
            except RowError as problem:
                left_out.append(_left_out(item, problem))
                continue
            if labelled and label is None and said is not None:
                left_out.append(Reject(row.source, f"the label {said!r} is none of ours", raw_of(row), row.key))
            elif values in seen:
                same += 1
            else:
                seen.add(values)
                (by_label[label] if isinstance(label, str) else unlabelled).append(row)
        if any(by_label.values()):
            _refuse_few(by_label)
        rng = random.Random(seed)
        finding, judging, usable = [], [], len(unlabelled) + sum(map(len, by_label.values()))
        most = max(1, MOST // max(1, len(by_label)))  # of each label
        for label, rows in by_label.items():
            rng.shuffle(rows)
            half = min(most, (len(rows) + 1) // 2)
            finding += [(row, label) for row in rows[:half]]
            judging += [(row, label) for row in rows[half:]]
        judging = judging if len(judging) <= MOST else sorted(rng.sample(judging, MOST), key=lambda one: one[0].key)
        if len(unlabelled) > (room := max(0, MOST - len(finding))):
            unlabelled = rng.sample(unlabelled, room)
        spare = usable - len(finding) - len(judging) - len(unlabelled)
        return cls(tuple(finding), tuple(judging), tuple(unlabelled), tuple(left_out), same, seed, spare)

    @property
    def per_label(self) -> Counter[str]:
        """Labelled rows that find."""
        return Counter(label for _, label in self.finding)


def _usable(item: Item) -> Row:
    if isinstance(item, Reject):
        raise RowError(item.reason, where=item.source)
    return item


def _left_out(item: Item, problem: RowError) -> Reject:
    return item if isinstance(item, Reject) else Reject(item.source, problem.what, raw_of(item), item.key)


def _refuse_few(by_label: Mapping[str, Sequence[Row]]) -> None:
    few = {label: len(rows) for label, rows in by_label.items() if len(rows) < LEAST}
    if few:
        told = shortlist([f"{label} ({n})" for label, n in few.items()], 6)
        what = f"too few labelled rows of: {told}; a label needs {LEAST}, one to find its words and one to judge them"
        raise InputError(what, hint="give more rows, or name the labels that have some: --labels A,B")


@dataclass(frozen=True)
class Word:
    """A label word: its tokens, its weight, its prior (the mean of its score over rows, labels alike), and the judging
    rows' accuracy with it less that without; None where no rows judge, or where it is its label's only word."""

    label: str
    text: str
    tokens: int
    prior: float
    weight: float
    contribution: float | None = None


@dataclass(frozen=True)
class Judged:
    """How the words fare in the rows that judge, and how those fare that they stand in for (None: not to be scored)."""

    found: Tally
    present: Tally | None
    pair: Paired | None

    @classmethod
    def of(cls, found: Sequence[Prediction], present: Sequence[Prediction] | None) -> Judged:
        """From what both make of the same rows."""
        if present is None:
            return cls(_tally(found), None, None)
        pairs = [(old.label == old.gold, new.label == new.gold) for old, new in zip(present, found, strict=True)]
        return cls(_tally(found), _tally(present), Paired.of(pairs))


@dataclass(frozen=True)
class Suggestion:
    """Label words, what is known of each, and how they were found; `gone` are those that were pruned away."""

    verbalizer: Verbalizer
    present: Verbalizer
    words: tuple[Word, ...]
    rows: Rows
    judged: Judged | None
    model: str
    template: str
    candidates: int = 0
    held_out: float | None = None  # share of the finding rows that were right while they were held out
    gone: tuple[Word, ...] = ()
    unfit: str = ""  # why the present words could not be scored
    pruning: bool = False

    def yaml(self) -> str:
        """The verbalizer as a file that `verbalizer:` and `--verbalizer` take."""
        made = self.verbalizer
        labels: dict[str, Any] = {
            label: [*words] if set(words.values()) == {1.0} else dict(words) for label, words in made.labels.items()
        }
        data: dict[str, Any] = {"labels": labels}
        if made.gold:
            data["gold"] = {label: list(values) for label, values in made.gold.items()}
        return strict.dump({**data, "pool": made.pool, "about": made.about})

    def remarks(self) -> Iterator[Remark]:
        """What a reader of the words should know."""
        rows = self.rows
        if rows.unlabelled:
            said = many(len(rows.unlabelled), "row", "rows")
            yield Remark("soft-labels", f"{said} without a label found words by what {self.present.name} makes of them")
        few = {label: n for label, n in rows.per_label.items() if n < FEW}
        if few and not self.pruning:
            least = many(min(few.values()), "row")
            yield Remark("few-rows", f"a label's words were found on {least}: other rows would find others", few)
        if rows.left_out:
            first = rows.left_out[0]
            line = f"{many(len(rows.left_out), 'row')} could not be used; {first.source}: {first.reason}"
            yield Remark("rejected", line, {"rows": len(rows.left_out)})
        if self.unfit:
            yield Remark("failed", f"the present words cannot be scored: {self.unfit}")
        yield from self._verdict()

    def _verdict(self) -> Iterator[Remark]:
        """Whether the words are better than those that there were, and how sure that is."""
        if self.judged is None:
            yield Remark("unjudged", "no row has a label: nothing judges these words; compare them on labelled rows")
            return
        pair, name = self.judged.pair, self.present.name
        if pair is None:
            return
        facts = pair.summary(self.rows.seed)
        words = "what is left" if self.pruning else "the suggested words"
        if pair.difference <= 0:
            line = f"{words} are not better than {name} in the judging rows: keep {name}"
            line = line.replace("what is left are", "what is left is") if self.pruning else line
            yield Remark("not-better", line, facts)
        elif pair.p >= SURE:
            fewer = f"so few rows do not tell (p = {pair.p:.2f})"
            yield Remark("not-clearly-better", f"better than {name} in the judging rows, but {fewer}", facts)
        else:
            yield Remark("clearly-better", f"clearly better than {name} in the judging rows (p = {pair.p:.3f})", facts)

    def record(self) -> dict[str, Any]:
        """Everything as plain data."""
        judged, rows = self.judged, self.rows
        tallies = {"found": judged.found, "present": judged.present} if judged else {}
        return {
            "verbalizer": self.verbalizer.as_dict(),
            "present": self.present.as_dict(),
            "words": [vars(word) for word in self.words],
            "gone": [vars(word) for word in self.gone],
            "rows": {
                "finding": len(rows.finding),
                "unlabelled": len(rows.unlabelled),
                "judging": len(rows.judging),
                "left_out": len(rows.left_out),
                "same": rows.same,
                "spare": rows.spare,
                "seed": rows.seed,
            },
            "candidates": self.candidates,
            "held_out": self.held_out,
            "judged": {name: tally.summary() for name, tally in tallies.items() if tally},
            "paired": judged.pair.summary(rows.seed) if judged and judged.pair else None,
            "remarks": [remark.line for remark in self.remarks()],
        }


# ------------------------------------------------------------------ the two ways in


def suggest(
    recipe: Recipe,
    items: Iterable[Item],
    more: Iterable[Item] = (),
    *,
    candidates: Sequence[str] = (),
    per_label: int | None = None,
    seed: int = 0,
    loader: Loader | None = None,
    watch: Watch = str,
) -> Suggestion:
    """Label words for a recipe's template from labelled rows, rows without a label, or both.

    The model's likeliest words at the blank, words of the shelf and words of the rows (or the `candidates` alone, where
    there are any) are scored in the rows that find; for each label those are taken that are likelier in its rows than
    in others, so many as do best in rows that are held out, or `per_label`. Rows without a label, among which are
    `more`, count by the probabilities that the present words give them. Raises a PromptshotError where rows or words
    are too few, or where the template has no words of its own to choose.
    """
    work = _Work.of(recipe, items, more, seed, loader or Loader(), watch)
    found = work.scored(list(dict.fromkeys(candidates)) or work.candidates())
    ranked = ranking.best(found.groups, (per_label,) if per_label else ranking.SIZES, found.usual)
    if ranked is None:
        what = f"{many(len(found.words), 'word')} cannot give each of {len(recipe.labels)} labels one of its own"
        raise OptionError(what, hint="give more candidates: --candidates FILE")
    numbers, weights = found.numbers[ranked.group], ranked.choice.weights()
    labels: dict[str, dict[str, float]] = {
        label: {found.words[numbers[i]]: weights[i] for i in of}
        for label, of in zip(recipe.labels, ranked.choice.words, strict=True)
    }
    about = f"suggested for {recipe.template.name} by {work.model}, from {many(work.finding, 'row')}"
    made = Verbalizer("suggested", labels, recipe.verbalizer.gold, "logsumexp", about)
    return replace(work.judged(made), candidates=len(found.words), held_out=ranked.held_out)


def prune(
    recipe: Recipe, items: Iterable[Item], *, seed: int = 0, loader: Loader | None = None, watch: Watch = str
) -> Suggestion:
    """The recipe's own label words without the weak ones: those without which the rows that find are told apart better.

    Raises a PromptshotError where no rows judge, or every label has one word only.
    """
    work = _Work.of(recipe, items, (), seed, loader or Loader(), watch)
    if not work.rows.judging:
        raise InputError("no row has a label, and only such rows tell which words are weak", hint="give labelled rows")
    old = recipe.verbalizer
    if all(len(words) == 1 for words in old.labels.values()):
        raise OptionError(f"every label of {old.name} has one word only", hint="leave --prune out for other words")
    predictions = _scored(work.outcomes(old, work.rows.finding))
    words = list(dict.fromkeys(old.choices(Row({}))))
    scores = np.array([[one.word_scores[word] for word in words] for one in predictions])
    belongs = work.one_hot([str(one.gold) for one in predictions])
    of_labels = [{words.index(word): weight for word, weight in of.items()} for of in old.labels.values()]
    gone = {words[i] for i in ranking.pruned(scores, belongs, of_labels, old.pool)}
    labels = {label: {w: x for w, x in of.items() if w not in gone} for label, of in old.labels.items()}
    rows = many(len(predictions), "row")
    about = f"what is left of {old.name}, pruned for {recipe.template.name} by {work.model}, from {rows}"
    made = Verbalizer(old.name, labels, old.gold, old.pool, about)
    found = replace(work.judged(made), pruning=True)
    return replace(found, gone=work.described(old, predictions, only=gone))


# ------------------------------------------------------------------ the work


@dataclass(frozen=True)
class Found:
    """Candidates; of each group of them that are compared: their numbers, scores, and the labels of the rows."""

    words: tuple[str, ...]
    tokens: tuple[int, ...]
    numbers: tuple[tuple[int, ...], ...]
    groups: tuple[tuple[Matrix, Matrix], ...]
    usual: int | None = None  # the group of the present words, where they are of one


@dataclass
class _Work:
    """One suggestion on its way: the recipe, its rows, and the scorer."""

    recipe: Recipe
    rows: Rows
    loader: Loader
    scorer: Scorer
    watch: Watch
    unfit: str = ""
    _priors: dict[str, tuple[int, float]] = field(default_factory=dict)  # word -> tokens, prior

    @classmethod
    def of(
        cls, recipe: Recipe, items: Iterable[Item], more: Iterable[Item], seed: int, loader: Loader, watch: Watch
    ) -> _Work:
        """Raises a PromptshotError for a template whose labels have no words, and for rows that are too few."""
        task, template = recipe.task, recipe.template
        if task.paired or task.own_words:
            why = "has labels without words" if task.paired else "takes the words from each row"
            raise OptionError(f"the template {template.name} {why}", hint="use one with label words")
        if task.several:
            what = f"the template {template.name} is for several labels a row, and words are told by rows of one label"
            raise OptionError(what, hint="use one without 'labels: several'")
        if recipe.others:
            raise OptionError("label words are for one template, not an ensemble", hint="name one template")
        recipe = replace(recipe, calibration=Calibration(), abstain_below=None)  # words are judged by themselves
        items = [task.mapped(item) for item in items]
        check_gold(items, recipe)
        rows = Rows.of(items, [task.mapped(item) for item in more], task, seed)
        if not rows.finding and not rows.unlabelled:
            first = rows.left_out[0] if rows.left_out else None
            what = f"no row can be used{f'; the first: {first.reason}' if first else ''}"
            raise InputError(what, where=first.source if first else "", hint="give labelled or unlabelled rows")
        watch("loading the model")
        return cls(recipe, rows, loader, loader.scorer(recipe.scorer, recipe.options), watch)

    @property
    def model(self) -> str:
        """The model's name, without the folder that it lies in."""
        return self.recipe.model.rstrip("/").rpartition("/")[2] or self.recipe.scorer

    @property
    def finding(self) -> int:
        return len(self.rows.finding) + len(self.rows.unlabelled)

    @cached_property
    def present(self) -> Classifier | None:
        """The classifier with the present words; None where the model cannot read them."""
        try:
            return Classifier(self.recipe, self.scorer)
        except VerbalizerError as problem:
            self.unfit = problem.what
            return None

    def one_hot(self, labels: Sequence[str]) -> Matrix:
        """(rows, labels): 1 for the row's own."""
        return np.array([[float(label == own) for label in self.recipe.labels] for own in labels])

    @cached_property
    def belongs(self) -> Matrix:
        """How much each finding row is of each label: (rows, labels); without one, last, by the present words."""
        labelled = self.one_hot([label for _, label in self.rows.finding])
        if not self.rows.unlabelled:
            return labelled
        if self.present is None:
            what = f"rows without a label count by the present words, which cannot be scored: {self.unfit}"
            raise VerbalizerError(what, hint="give labelled rows, or other words: --labels A=word,B=word")
        soft = []
        for outcome in self.present.outcomes(self.rows.unlabelled):
            chances = outcome.probabilities if isinstance(outcome, Prediction) and outcome.probabilities else {}
            soft.append([chances.get(label, 0.0) for label in self.recipe.labels])  # of no label: it has no score
        found = np.array(soft)
        return np.concatenate([labelled, found]) if len(labelled) else found

    @property
    def _finding(self) -> list[Row]:
        return [*(row for row, _ in self.rows.finding), *self.rows.unlabelled]

    def _prompts(self, words: Sequence[str]) -> list[Prompt]:
        return [self.recipe.template.render(row, words) for row in self._finding]

    # ---------------------------------------------------------------- candidates

    def candidates(self) -> list[str]:
        """The present words, and those of the model, of the shelf and of the rows in the language of these."""
        task = self.recipe.task
        texts = ["\n".join(task.values(row)) for row in self._finding]
        language = language_of(texts)
        listed = [*wordlists.built_in(language), *wordlists.of_rows(texts, language)]
        proposed = self._proposed()
        if self.recipe.template.kind.left_to_right and language != "zh":  # a token may be the beginning of many words
            known = {*map(str.casefold, listed), *wordlists.words_of(texts)}
            proposed = [word for word in proposed if word.casefold() in known]
        found = [word for word in (*proposed, *listed) if wordlists.in_language(word, language)]
        return list(dict.fromkeys([*self.recipe.verbalizer.choices(Row({})), *found]))

    def _proposed(self) -> list[str]:
        """The likeliest words at the blank in the rows of each label, where the scorer knows any."""
        prompts = self._prompts(self.recipe.verbalizer.choices(Row({})))
        if not isinstance(self.scorer, Proposing) or prompts[0].scored == "rest":  # a channel has nothing to say there
            return []
        weights = self.belongs.T / np.maximum(self.belongs.sum(0)[:, None], 1e-12)  # (labels, rows)
        found = self.scorer.propose(prompts, weights.tolist(), LIKELY)
        return [word for of in found for word in of]

    def scored(self, words: Sequence[str]) -> Found:
        """The candidates that the model can read, with their scores in the rows that find; raises a PromptshotError."""
        words = self._comparable(self._readable(words))
        rows = list(range(self.finding))
        if (least := COSTS * self._at_once // len(words)) < len(rows):
            some = self._matrix(words, self._some(max(1, least // 2)))
            kept = ranking.choose(some.scores, self.belongs[some.rows], ranking.LIKELY).words
            words = [words[i] for i in sorted({i for of in kept for i in of})]
        self.watch(f"scoring {many(len(words), 'word')} in {many(len(rows), 'row')}")
        matrix = self._matrix(words, rows)
        belongs = self.belongs[matrix.rows]
        if not belongs.sum(0).all():
            lacking = [label for label, mass in zip(self.recipe.labels, belongs.sum(0), strict=True) if not mass]
            raise InputError(f"no row that finds words is of: {shortlist(lacking)}", hint="give more rows")
        priors = ranking.means(matrix.scores, belongs).mean(0)
        self._priors = {word: (n, float(p)) for word, n, p in zip(words, matrix.tokens, priors, strict=True)}
        numbers = list(self._groups(matrix.tokens, priors))
        groups = tuple((matrix.scores[:, list(of)], belongs) for of in numbers)
        sizes = {matrix.tokens[i] for i, word in enumerate(words) if word in self._own}
        usual = [n for n, of in enumerate(numbers) if {matrix.tokens[i] for i in of} == sizes]
        return Found(tuple(words), matrix.tokens, tuple(numbers), groups, usual[0] if usual else None)

    @property
    def _at_once(self) -> int:
        """How many words are scored at the cost of a text that is run, about."""
        kind = self.recipe.template.kind
        return 1 if kind.margin else SHARED if kind.left_to_right else ALL

    def _comparable(self, words: Sequence[str]) -> list[str]:
        """Under a cloze, which is run once for each number of tokens, without words of a length that few others have:
        they are not compared. The present ones stay."""
        if not self._alike:
            return list(words)
        tokens = self._matrix(words, [0]).tokens
        counts = Counter(tokens)
        least = max(counts.values()) * ranking.WORTH
        return [word for word, n in zip(words, tokens, strict=True) if counts[n] >= least or word in self._own]

    @property
    def _alike(self) -> bool:
        """Whether words are compared with those of as many tokens only."""
        template = self.recipe.template
        return template.kind.means and not template.spec.normalize

    @property
    def _own(self) -> tuple[str, ...]:
        """The present words, but for labels of which no words were said."""
        words = self.recipe.verbalizer
        return () if all(of == {label: 1.0} for label, of in words.labels.items()) else words.choices(Row({}))

    def _readable(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer can spell, one of each spelling; raises OptionError for too few."""
        found = list(words)
        if isinstance(self.scorer, Checkpoint):
            unknown = set(self.scorer.unknown(found))
            found = [word for word in found if word not in unknown]
            same = {other for _, other in self.scorer.alike(found)}
            found = [word for word in found if word not in same]
        if len(found) < len(self.recipe.labels):
            what = f"{many(len(found), 'word')} that the model can spell, for {len(self.recipe.labels)} labels"
            raise OptionError(what, hint="give more candidates: --candidates FILE")
        return found

    def _some(self, rows: int) -> list[int]:
        """The numbers of some rows, those of every label in turn."""
        of_labels = [np.flatnonzero(self.belongs.argmax(1) == i).tolist() for i in range(self.belongs.shape[1])]
        turns = [of[i] for i in range(max(map(len, of_labels))) for of in of_labels if i < len(of)]
        return sorted(turns[: max(rows, len(of_labels))])

    def _matrix(self, words: Sequence[str], rows: Sequence[int]) -> _Scores:
        """The scores of words in rows, sums or means as in a run; rows without scores are left out."""
        finding = self._finding
        prompts = [self.recipe.template.render(finding[i], words) for i in rows]
        kept, found = list[int](), list[Scored]()
        for number, scored in zip(rows, self.scorer.score(prompts), strict=True):
            if not (scored.error or fault(scored, len(words))):
                kept.append(number)
                found.append(scored)
        if not found:
            raise PromptshotError("no row that finds words has a score", hint="try it: promptshot classify")
        scores = np.array([scored.scores for scored in found])  # (rows, words)
        tokens = found[0].tokens
        if self.recipe.template.spec.normalize == "mean":
            lead = np.array([scored.lead or [0.0] * len(words) for scored in found])
            scores = (scores - lead) / np.maximum(np.array([scored.tokens for scored in found]), 1)
        return _Scores(scores, tuple(tokens), kept)

    def _groups(self, tokens: Sequence[int], priors: Matrix) -> Iterator[tuple[int, ...]]:
        """Words that are compared with one another: under a cloze those of as many tokens, or all.

        Words that are much rarer or more frequent than most are left out: no weight makes up for that.
        """
        for n in sorted(set(tokens)) if self._alike else [None]:
            of = [i for i, size in enumerate(tokens) if n is None or size == n]
            middle = float(np.median(priors[of]))
            yield tuple(i for i in of if abs(priors[i] - middle) <= APART)

    # ---------------------------------------------------------------- judging

    def outcomes(self, verbalizer: Verbalizer, rows: Sequence[tuple[Row, str]]) -> list[Outcome]:
        """What a verbalizer makes of rows."""
        task = replace(self.recipe.task, verbalizer=verbalizer)
        return list(Classifier(replace(self.recipe, task=task), self.scorer).outcomes([row for row, _ in rows]))

    def judged(self, verbalizer: Verbalizer) -> Suggestion:
        """The words, with how they and the present ones fare in the rows that judge."""
        recipe, judging, verdict = self.recipe, self.rows.judging, None
        predictions: list[Prediction] = []
        if judging:
            self.watch(f"judging on {many(len(judging), 'row')}")
            found, before = self.outcomes(verbalizer, judging), list[Outcome]()
            if self.present is not None:
                before = self.outcomes(recipe.verbalizer, judging)
                both = [not any(isinstance(one, Reject) for one in of) for of in zip(found, before, strict=True)]
                found, before = list(compress(found, both)), list(compress(before, both))
            predictions = _scored(found)
            verdict = Judged.of(predictions, _scored(before) if before else None)
        words = self.described(verbalizer, predictions)
        names = (self.model, recipe.template.name)
        return Suggestion(verbalizer, recipe.verbalizer, words, self.rows, verdict, *names, unfit=self.unfit)

    def described(
        self, verbalizer: Verbalizer, predictions: Sequence[Prediction], only: Iterable[str] | None = None
    ) -> tuple[Word, ...]:
        """What is known of each word (or of `only` some): the predictions are of rows that judge it."""
        lacking = [word for word in verbalizer.choices(Row({})) if word not in self._priors]
        if lacking:
            matrix = self._matrix(verbalizer.choices(Row({})), range(self.finding))
            priors = ranking.means(matrix.scores, self.belongs[matrix.rows]).mean(0)
            parts = zip(verbalizer.choices(Row({})), matrix.tokens, priors.tolist(), strict=True)
            self._priors |= {word: (n, prior) for word, n, prior in parts}
        gains = contributions(verbalizer, predictions)
        wanted = None if only is None else set(only)
        return tuple(
            Word(label, word, *self._priors[word], weight, gains.get(word))
            for label, of in verbalizer.labels.items()
            for word, weight in of.items()
            if wanted is None or word in wanted
        )


@dataclass(frozen=True)
class _Scores:
    """Word scores (rows, words), the tokens of each word, and the numbers of the rows that have scores."""

    scores: Matrix
    tokens: tuple[int, ...]
    rows: list[int]


def _scored(outcomes: Sequence[Outcome]) -> list[Prediction]:
    return [outcome for outcome in outcomes if isinstance(outcome, Prediction)]


def _tally(predictions: Sequence[Prediction]) -> Tally:
    tally = Tally(list(predictions[0].label_scores) if predictions else ())
    for one in predictions:
        tally.add(one.label, one.gold, one.gold_value)
    return tally


def contributions(verbalizer: Verbalizer, predictions: Sequence[Prediction]) -> dict[str, float]:
    """For each word but a label's only one: the accuracy of labelled predictions with it, less that without."""
    rows = [one for one in predictions if one.gold is not None]
    found = {}
    for label, of in verbalizer.labels.items():
        for word in of if len(of) > 1 and rows else ():
            rest: Words = {other: weight for other, weight in of.items() if other != word}
            alone = Verbalizer("", {label: rest}, pool=verbalizer.pool)
            gain = 0
            for one in rows:
                score = alone.pooled(tuple(rest), [one.word_scores[other] for other in rest])[label]
                without = {name: score if name == label else own for name, own in one.label_scores.items()}
                gain += (one.label == one.gold) - (max(without, key=without.__getitem__) == one.gold)
            found[word] = gain / len(rows)
    return found
