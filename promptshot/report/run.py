"""The report of a run, and of stored predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from promptshot.errors import many, printable
from promptshot.metrics import SetTally, Tally, label_text
from promptshot.report.calibration import NO_MEANS, before_and_after, believed
from promptshot.report.console import NARROW, people, plain_table, remark_line
from promptshot.runs.remarks import MAJORITY, Remark, against_majority
from promptshot.runs.result import Result, metrics_of
from promptshot.runs.wrong import Worst

MARGIN = 19  # columns that accuracy takes before its interval
STYLE = {"above-majority": "green", "near-majority": "yellow", "below-majority": "red"}
CORNER = "gold \\ predicted"
MATRIX = 8  # labels; beyond these the confusion matrix becomes a list
LISTED = 200  # labels in a table
CONFUSIONS = 5  # of which a row is shown
MOST = 30  # of more labels than that, those with the most rows


def show_result(result: Result, examples: bool = False, surest: int | None = None) -> None:
    """The report of a run; with some of its predictions where they are not written anywhere, and with the `surest` of
    the rows that went wrong (default: one of each of the worst confusions)."""
    console = people()
    parts: list[RenderableType] = [examples_of(result)] if examples else []
    parts += [_head(result), *before_and_after(result.recipe.calibration.method, result.before, result.tally)]
    parts += fares(result.tally, result.worst, surest, result.recipe.draw)
    parts += notes(result.remarks())
    for part in parts:
        console.print()
        console.print(part)


def fares(
    tally: Tally, worst: Worst, surest: int | None, draw: str = "", means: Mapping[str, float] = NO_MEANS
) -> list[RenderableType]:
    """How predictions fare; where no label tells, what they are. `draw` says of which demonstrations that is so, and
    `means` the metrics that are means over several draws."""
    if tally.labelled:
        numbers = _of_sets(tally) if isinstance(tally, SetTally) else _accuracy(tally, draw, means)
        confusion = [] if tally.several else [_confusion(tally)]
        return [numbers, _per_label(tally), *confusion, *_errors(tally, worst, surest)]
    covered = believed(tally)
    return [_predictions(tally), *([covered] if covered else [])]


def notes(remarks: Sequence[Remark]) -> list[RenderableType]:
    """The remarks that do not stand beside the accuracy."""
    lines = [remark_line(remark) for remark in remarks if remark.code not in MAJORITY]
    return [Group(*lines)] if lines else []


def examples_of(result: Result) -> RenderableType:
    """The first predictions as lines: label, probability, gold where there is one, and the text."""
    labelled = any(prediction.gold_value is not None for prediction in result.examples)
    table = plain_table("prediction", "p", *(["gold"] if labelled else []), "text", texts=4)
    table.columns[1].min_width, table.columns[-1].ratio = None, 1
    table.expand = people().is_terminal
    for prediction in result.examples:
        known = prediction.gold is not None and prediction.gold != ""
        right = "green" if prediction.gold == prediction.label else "red" if known else ""
        names = [name for name in result.recipe.template.needs if prediction.row.column(name) is not None]
        texts = [str(prediction.row[name]) for name in names]
        chance = "" if prediction.probability is None else f"{prediction.probability:.2f}"
        own = prediction.gold_value or "" if prediction.gold is None else label_text(prediction.gold)
        gold = [printable(own)] if labelled else []
        table.add_row(
            Text(printable(label_text(prediction.label)), style=right), chance, *gold, printable(" / ".join(texts))
        )
    return table


def told(result: Result) -> str:
    """What was run, by which model, on which machine."""
    machine, recipe = result.details, result.recipe
    place = f" on {machine['device']}, {machine['dtype']}" if {"device", "dtype"} <= machine.keys() else ""
    return f"{recipe.name} · {recipe.scorer} · {recipe.model or 'no model'}{place}"


def _head(result: Result) -> Text:
    tally = result.tally
    rows = many(tally.predicted, "row")
    if tally.labelled != tally.predicted:
        rows += f" ({tally.labelled:,} with a label)"
    if tally.rejected:
        rows += f", {tally.rejected:,} rejected"
    demos = result.recipe.demos
    shots = f" · k={demos.k}, {demos.which}" if demos and demos.k else ""
    what = f"{told(result)}{shots}"
    speed = f"{rows} in {result.seconds:.1f} s, {result.rows_per_second:,.0f} rows/s"
    if result.rows_before:
        before = result.rows_before
        speed += f"; {'all' if before == tally.predicted + tally.rejected else f'{before:,}'} were done before"
    return Text.assemble((printable(what), "bold"), "\n", (speed, "dim"))


def _accuracy(tally: Tally, draw: str, means: Mapping[str, float]) -> RenderableType:
    verdict = next(against_majority(tally))
    low, high, majority, chance = (verdict.facts[name] for name in ("low", "high", "majority", "chance"))
    style = STYLE[verdict.code]
    numbers = {name: value or 0.0 for name, value in {**metrics_of(tally), **means}.items()}
    beside = [
        f"95% interval {low:.1%} to {high:.1%}",
        f"Matthews' correlation {numbers['matthews']:.3f}",
        f"majority class {majority:.1%}, chance {chance:.1%}",
    ]
    if draw:
        beside[0] += f" · {draw}"
    if people().width < max(NARROW, MARGIN + len(beside[0])):
        beside = [f"{low:.1%} to {high:.1%}", f"Matthews' {numbers['matthews']:.3f}", f"majority {majority:.1%}"]
        beside[0] += f" · {draw}" if draw else ""
    sure = believed(tally, means)
    return Text.assemble(
        ("accuracy  ", "bold"),
        (f"{numbers['accuracy']:6.1%}", f"bold {style}"),
        f"   {beside[0]}\n",
        ("balanced  ", "bold"),
        f"{numbers['balanced_accuracy']:6.1%}   {beside[1]}\n",
        ("macro-F1  ", "bold"),
        f"{numbers['macro_f1']:6.1%}   {beside[2]}\n",
        sure,
        "\n" if sure else "",
        (verdict.line, style),
    )


def _of_sets(tally: SetTally) -> RenderableType:
    """Several labels a row: exact matches, and the decisions on each label."""
    verdict = next(against_majority(tally))
    low, high, majority, chance = (verdict.facts[name] for name in ("low", "high", "majority", "chance"))
    exact, micro, macro, jaccard, hamming = (getattr(tally, name) or 0.0 for name in tally.rates)
    beside = [
        f"95% interval {low:.1%} to {high:.1%}",
        f"Jaccard {jaccard:.1%}, wrong decisions {hamming:.1%}",
        f"commonest labels {majority:.1%}, chance {chance:.1%}",
    ]
    if people().width < NARROW:
        beside = [f"{low:.1%} to {high:.1%}", f"Jaccard {jaccard:.1%}", f"commonest {majority:.1%}"]
    style, sure = STYLE[verdict.code], believed(tally)
    return Text.assemble(
        ("exact     ", "bold"),
        (f"{exact:6.1%}", f"bold {style}"),
        f"   {beside[0]}\n",
        ("micro-F1  ", "bold"),
        f"{micro:6.1%}   {beside[1]}\n",
        ("macro-F1  ", "bold"),
        f"{macro:6.1%}   {beside[2]}\n",
        sure,
        "\n" if sure else "",
        (verdict.line, style),
    )


def _per_label(tally: Tally) -> RenderableType:
    narrow = people().width < NARROW
    table = plain_table("label", *([] if narrow else ["precision", "recall"]), "F1", "rows", "predicted")
    scores_of = tally.per_label()
    shown = list(scores_of)
    if len(shown) > LISTED:
        shown = sorted(shown, key=lambda label: (-scores_of[label].support, -tally.predictions[label]))[:MOST]
    for label in shown:
        scores = scores_of[label]
        table.add_row(
            printable(label),
            *([] if narrow else [f"{scores.precision:.3f}", f"{scores.recall:.3f}"]),
            Text(f"{scores.f1:.3f}", style="bold"),
            f"{scores.support:,}",
            f"{tally.predictions[label]:,}",
        )
    return _with_rest(table, len(scores_of) - len(shown))


def _with_rest(table: Table, rest: int) -> RenderableType:
    """The table, and how many more labels there are."""
    return Group(table, Text(f"and {rest:,} more labels (all of them: --summary FILE)", style="dim")) if rest else table


def _confusion(tally: Tally) -> RenderableType:
    labels = list(tally.per_label())
    widest = max(map(cell_len, map(printable, labels)), default=0)
    room = people().width - max(widest, cell_len(CORNER))
    fits = sum(max(cell_len(printable(label)), 3) + 3 for label in labels) <= room
    return _matrix(tally, labels) if len(labels) <= MATRIX and fits else _top_confusions(tally)


def _matrix(tally: Tally, labels: Sequence[str]) -> RenderableType:
    support = tally.support()
    table = plain_table(CORNER, *map(printable, labels))
    for gold in labels:
        cells = []
        for predicted in labels:
            count = tally.confusion[gold, predicted]
            share = count / support[gold] if support[gold] else 0.0
            strong = "green" if gold == predicted else "red"
            cells.append(
                Text(f"{count:,}", style=f"bold {strong}" if share >= 0.5 else strong if share >= 0.1 else "dim")
            )
        table.add_row(printable(gold), *cells)
    return table


def _top_confusions(tally: Tally) -> RenderableType:
    wrong = [(count, gold, predicted) for (gold, predicted), count in tally.confusion.items() if gold != predicted]
    if not wrong:
        return Text("no confusions", style="dim")
    support = tally.support()
    table = plain_table("gold", "taken for", "rows", "of its rows", texts=2)
    for count, gold, predicted in sorted(wrong, key=lambda w: (-w[0], w[1], w[2]))[:10]:
        table.add_row(printable(gold), printable(predicted), f"{count:,}", f"{count / support[gold]:.0%}")
    return table


def _errors(tally: Tally, worst: Worst, surest: int | None) -> list[RenderableType]:
    """Rows that went wrong: the surest of all, or one of each of the worst confusions."""
    each = surest is None
    if surest is None:
        shown = worst.of_confusions(tally.mistakes, CONFUSIONS)
        title = "the worst confusions, and the surest row of each"
    else:
        shown = worst.surest[:surest]
        how = "the first" if all(wrong.probability is None for wrong in shown) else "the surest"
        title = f"{how} {len(shown):,} of {tally.labelled - tally.correct:,} rows that went wrong"
    if not shown:
        return []
    sure = any(wrong.probability is not None for wrong in shown)
    table = plain_table("gold", "taken for", "text", *(["rows"] if each else []), *(["p"] if sure else []), texts=3)
    for wrong in shown:
        rows = [f"{tally.mistakes[wrong.gold, wrong.prediction]:,}"] if each else []
        chance = ["" if wrong.probability is None else f"{wrong.probability:.2f}"] if sure else []
        pair = (printable(label_text(label)) for label in (wrong.gold, wrong.prediction))
        table.add_row(*pair, printable(wrong.text), *rows, *chance)
    return [Group(Text(title, style="dim"), table)]


def _predictions(tally: Tally) -> RenderableType:
    table = plain_table("label", "predicted", "share")
    common = [name for name, _ in tally.predictions.most_common(MOST)]
    shown = list(dict.fromkeys([*(tally.labels if len(tally.labels) <= LISTED else ()), *common]))
    for label in shown:
        count = tally.predictions[label]
        table.add_row(printable(label), f"{count:,}", f"{count / tally.predicted:.1%}")
    return _with_rest(table, len(tally.labels) - len(shown) if len(tally.labels) > LISTED else 0)
