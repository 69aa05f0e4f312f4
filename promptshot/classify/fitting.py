"""What a file of rows decides before a run: where pairs are cut, when labels hold, how to calibrate, how to whiten.

Whoever has the predictions for the rows of the file brings them; vectors are asked for here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from promptshot.classify import calibrate
from promptshot.classify.calibrate import Fitted
from promptshot.classify.decide import Several, Thresholds
from promptshot.classify.prediction import Prediction
from promptshot.classify.questions import Questions
from promptshot.classify.recipe import Recipe
from promptshot.errors import InputError, OptionError, RowError, many, shortlist
from promptshot.metrics import Label
from promptshot.prompts.task import PAIR
from promptshot.rows import read
from promptshot.rows.row import Row
from promptshot.scoring import Comparing, Scorer

FEWEST = 2  # labelled rows to fit anything to
# Texts to whiten vectors by: the first so many different ones, no fewer than so many, and so many for each direction
# that is kept, for as many directions as texts would make all of these equally far from one another.
WHITENED_BY, FEWEST_WHITENED, TEXTS_EACH = 8192, 64, 4


@dataclass(frozen=True)
class Suiting:
    """To which labelled rows thresholds were fitted: how many, how many have no label of ours, and how many have each
    label."""

    rows: int
    left_out: int
    of_label: Mapping[str, int]


def fixed(decision: Thresholds, predictions: Iterable[Prediction]) -> Thresholds:
    """The decision with the cuts that the rows of its file give; raises InputError for too few."""
    margins = [one.label_scores[PAIR] for one in predictions]
    if len(margins) < len(decision.prior):
        raise InputError("too few good rows to fix thresholds", where=decision.dev)
    return decision.fixed(margins)


def suited(decision: Several, predictions: Sequence[Prediction], recipe: Recipe) -> tuple[Several, Suiting]:
    """The decision with the thresholds that suit the labelled rows of its file best, and which rows these are; raises
    InputError for too few."""
    known = [(one.label_scores, own) for one in predictions if isinstance(own := _gold(one, recipe), tuple)]
    if len(known) < FEWEST:
        what = f"{many(len(known), 'good row')} with labels of ours, too few to fit thresholds to"
        hint = f"give {FEWEST} or more; the labels are: {shortlist(decision.of)}"
        raise InputError(what, where=str(decision.dev), hint=hint)
    scores, golds = [of for of, _ in known], [gold for _, gold in known]
    of_label = {label: sum(label in gold for gold in golds) for label in decision.of}
    return decision.fixed(scores, golds), Suiting(len(known), len(predictions) - len(known), of_label)


def fitted_to(predictions: Iterable[Prediction], recipe: Recipe, dev: str) -> Fitted:
    """What the raw scores of a file's rows come to beside their own labels; raises InputError for too few."""
    rows, labels, left_out = [], [], 0
    for one in predictions:
        label = _gold(one, recipe)
        if isinstance(label, str):
            rows.append(one.label_scores)
            labels.append(label)
        left_out += label is None
    if len(rows) < FEWEST:
        what = f"{many(len(rows), 'good row')} with a label of ours, too few to calibrate by"
        raise InputError(what, where=dev, hint=f"give {FEWEST} or more; the labels are: {shortlist(recipe.labels)}")
    return replace(calibrate.of_dev(recipe.calibration.method, rows, labels), left_out=left_out)


def whitened(scorer: Scorer, recipe: Recipe, path: str) -> Scorer:
    """The scorer whose vectors are whitened by those of the texts in a file (kexue.fm 8069); no label is read.

    Raises OptionError for a scorer without vectors, InputError for too few texts.
    """
    from promptshot.classify import retrieval  # which loads what counts with large numbers

    if not isinstance(scorer, Comparing):
        hint = "leave it out, or take a scorer that compares vectors"
        raise OptionError(f"--whiten: the scorer {recipe.scorer!r} has no vectors", hint=hint)
    texts = dict.fromkeys(chain.from_iterable(_texts(recipe, path)))
    found = list(islice(texts, WHITENED_BY))
    if len(found) < FEWEST_WHITENED:
        what = f"{many(len(found), 'different text')}, too few to whiten vectors by"
        raise InputError(what, where=path, hint=f"give {FEWEST_WHITENED} or more, better thousands")
    vectors = retrieval.matrix(scorer.embed, found)
    return scorer.changed(retrieval.whitening(vectors, f"--whiten: the texts of {path}", len(found) // TEXTS_EACH))


def _gold(prediction: Prediction, recipe: Recipe) -> Label | None:
    """A row's own label, also where those of the run are of no interest."""
    return recipe.task.gold(prediction.row)[0] if recipe.labels_ignored else prediction.gold


def _texts(recipe: Recipe, path: str) -> Iterator[Sequence[str]]:
    """What each row of a file says in the segments of the template that have no blank."""
    questions = Questions.of_recipe(replace(recipe, demos=None))
    for item in read.read([path], recipe.task.columns, recipe.reading):
        if isinstance(item, Row):
            with contextlib.suppress(RowError):
                yield [text for prompt in questions.of(item) for text in prompt.whole_segments()]
