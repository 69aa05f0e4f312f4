"""Which words tell labels apart, by numbers alone; beside each formula its plain and slow way."""

from __future__ import annotations

import math
import random
from itertools import product

import numpy as np
import pytest

from promptshot.authoring import ranking
from promptshot.authoring.ranking import LIKELY, Matrix
from promptshot.prompts.verbalizer import Pool, Verbalizer


def drawn(rows: int, words: int, seed: int = 0) -> Matrix:
    """Scores as a model gives them: natural logarithms of small probabilities."""
    rng = random.Random(seed)
    return np.array([[-8 * rng.random() - 1 for _ in range(words)] for _ in range(rows)])


def labelled(*labels: int, of: int = 2) -> Matrix:
    return np.array([[float(label == own) for label in range(of)] for own in labels])


@pytest.mark.parametrize("pool", ["mean", "max", "logsumexp"])
def test_words_are_pooled_as_a_verbalizer_pools_them(pool: Pool) -> None:
    words = {"a": {"x": 1.0, "y": 0.25}, "b": {"z": 3.0}, "c": {"u": 0.5, "v": 2.0, "w": 1.0}}
    names = [word for of in words.values() for word in of]
    scores = drawn(7, len(names))
    found = ranking.pooled(scores, [{names.index(word): w for word, w in of.items()} for of in words.values()], pool)
    plain = Verbalizer("v", words, pool=pool)
    for row, pooled in zip(scores.tolist(), found.tolist(), strict=True):
        assert pooled == pytest.approx(list(plain.pooled(names, row).values()))


def test_a_contrast_is_the_mean_in_the_rows_of_a_label_less_that_in_all_others() -> None:
    scores, belongs = drawn(6, 4), np.array([[1, 0], [0.7, 0.3], [0, 1], [0.5, 0.5], [0.1, 0.9], [1, 0.0]])
    found = ranking.contrasts(scores, belongs)
    for label, word in product(range(2), range(4)):
        own = sum(belongs[i, label] * scores[i, word] for i in range(6)) / sum(belongs[:, label])
        other = sum((1 - belongs[i, label]) * scores[i, word] for i in range(6)) / sum(1 - belongs[:, label])
        assert found[label, word] == pytest.approx(own - other)


def test_a_word_goes_to_the_label_that_it_speaks_for_most_and_to_no_other() -> None:
    belongs = labelled(0, 0, 1, 1, 2, 2, of=3)
    scores = np.full((6, 5), -9.0)
    for word, label in enumerate([0, 1, 1, 2, 0]):
        scores[belongs[:, label] == 1, word] += 1 + word
    found = ranking.choose(scores, belongs, 2)
    assert found.words == ((4, 0), (2, 1), (3,))


def test_only_words_that_are_likely_are_compared() -> None:
    belongs = labelled(0, 0, 1, 1)
    scores = np.full((4, LIKELY + 2), -5.0)
    scores[2:, : LIKELY + 1] -= 1.0
    scores[:, LIKELY] = [-20.0, -20.0, -29.0, -29.0]  # tells most, and is never said
    scores[2:, LIKELY + 1] += 1.0
    (first, _) = ranking.choose(scores, belongs, LIKELY + 5).words
    assert LIKELY not in first
    assert len(first) == LIKELY


def test_a_label_for_which_no_word_speaks_most_takes_the_best_that_is_left() -> None:
    belongs = labelled(0, 0, 1, 1, 2, 2, of=3)
    scores = np.full((6, 4), -9.0)
    scores[:2] += [3.0, 2.0, 2.0, 1.0]
    scores[2:4] += [0.0, 3.0, 2.5, 0.0]  # the third label is behind one of the others for every word
    scores[4:] += [0.0, 0.0, 2.4, 0.5]
    found = ranking.choose(scores, belongs, 1)
    assert found.words == ((0,), (1,), (2,))
    assert found.complete


def test_weights_take_the_prior_out_of_every_word() -> None:
    scores, belongs = drawn(8, 6, seed=2), labelled(0, 1, 0, 1, 0, 1, 1, 1)
    scores[:, 1] -= 4.0  # a rare word
    found = ranking.choose(scores, belongs, 3)
    prior = np.mean([scores[belongs[:, label] == 1].mean(0) for label in range(2)], 0)
    for row, made in zip(scores, found.label_scores(scores), strict=True):
        plain = [math.log(sum(math.exp(row[word] - prior[word]) for word in of) / len(of)) for of in found.words]
        assert made[0] - made[1] == pytest.approx(plain[0] - plain[1], abs=0.01)  # weights have three digits


def test_weights_are_such_as_a_verbalizer_may_have() -> None:
    scores, belongs = drawn(4, 4), labelled(0, 0, 1, 1)
    scores[:2, :2] += 3.0
    scores[2:, 2:] += 3.0
    scores[:, 0] -= 60.0
    scores[:, 3] += 40.0
    for weight in ranking.choose(scores, belongs, 4).weights().values():
        assert 1e-9 <= weight <= 1e9


def test_rows_are_held_out_label_by_label() -> None:
    parts = ranking.folds(labelled(0, 0, 1, 1, 0, 1, 0, 1, 0, 1))
    assert sorted(parts[[0, 1, 4, 6, 8]].tolist()) == sorted(parts[[2, 3, 5, 7, 9]].tolist()) == [0, 0, 1, 2, 3]
    assert len(ranking.folds(labelled(0, 1, 1, 1))) == 0  # nothing to hold out


def test_words_that_were_chosen_on_rows_are_not_believed_for_these_rows() -> None:
    """Of pure noise, the best of a thousand words are right about the rows that chose them, and about no others."""
    belongs, inside, outside = labelled(*([0, 1] * 20)), [], []
    for seed in range(6):
        scores = drawn(40, 400, seed)
        inside.append(ranking.right(ranking.choose(scores, belongs, 8).label_scores(scores), belongs))
        outside.append(ranking.held_out(scores, belongs, 8))
    assert min(inside) > 0.8
    assert 0.4 < sum(outside) / 6 < 0.6


def test_accuracy_and_loss_count_every_label_alike() -> None:
    label_scores = np.array([[2.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.5, 0.0]])
    belongs = labelled(0, 0, 0, 1)
    assert ranking.right(label_scores, belongs) == pytest.approx(0.5)
    logs = [math.log(1 + math.exp(-x)) for x in (2.0, 1.0, 1.0)]
    assert ranking.loss(label_scores, belongs) == pytest.approx((sum(logs) / 3 + math.log(1 + math.exp(0.5))) / 2)


def telling(rows: int, words: int, by: float, seed: int) -> tuple[Matrix, Matrix]:
    """Scores of words of which each label has half, likelier by so much in its rows."""
    belongs = labelled(*([0, 1] * (rows // 2)))
    scores = drawn(rows, words, seed)
    for word in range(words):
        scores[belongs[:, word % 2] == 1, word] += by
    return scores, belongs


def test_the_usual_group_is_taken_where_no_other_is_clearly_better() -> None:
    good, also = telling(20, 12, 9.0, 1), telling(20, 12, 9.0, 2)
    assert ranking.best([good, also], usual=1).group == 1  # type: ignore[union-attr]
    assert ranking.best([good, also], usual=0).group == 0  # type: ignore[union-attr]


def test_of_groups_that_do_as_well_the_likelier_words_are_taken_and_as_many_as_do_no_harm() -> None:
    good, also = telling(20, 12, 9.0, 1), telling(20, 12, 9.0, 2)
    also[0][:] += 3.0
    found = ranking.best([good, also])
    assert found is not None
    assert (found.group, found.size) == (1, max(ranking.SIZES))


def test_a_group_that_is_clearly_better_is_taken() -> None:
    noise, good = telling(40, 12, 0.0, 1), telling(40, 12, 9.0, 2)
    found = ranking.best([noise, good], usual=0)
    assert found is not None
    assert found.group == 1
    assert found.held_out == 1.0


def test_there_is_no_choice_where_labels_are_more_than_words() -> None:
    assert ranking.best([(drawn(3, 2), labelled(0, 1, 2, of=3))]) is None
    assert ranking.best([]) is None


def test_a_word_that_misleads_is_pruned_and_no_label_loses_its_last() -> None:
    scores, belongs = telling(20, 4, 6.0, 4)
    misleading = -5.0 + 4.0 * belongs[:, 1]  # likelier where the other label is
    scores = np.column_stack([scores, misleading])
    words = [{0: 1.0, 2: 1.0, 4: 1.0}, {1: 1.0, 3: 1.0}]
    for pool in ("mean", "logsumexp", "max"):
        gone = ranking.pruned(scores, belongs, words, pool)  # type: ignore[arg-type]
        assert set(gone) < {0, 1, 2, 3, 4}
        left = [{word: w for word, w in of.items() if word not in gone} for of in words]
        assert all(left)
        assert ranking.right(ranking.pooled(scores, left, pool), belongs) >= ranking.right(  # type: ignore[arg-type]
            ranking.pooled(scores, words, pool),
            belongs,  # type: ignore[arg-type]
        )
    assert 4 in ranking.pruned(scores, belongs, words, "mean")
    assert ranking.pruned(scores, belongs, [{0: 1.0}, {4: 1.0}], "mean") == []
