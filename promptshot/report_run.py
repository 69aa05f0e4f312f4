"""The report of a run, and of stored predictions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from promptshot.errors import many, printable, shortlist
from promptshot.metrics import Tally
from promptshot.predictions import HINT, Counted
from promptshot.recipe import Recipe
from promptshot.report_console import NARROW, people, plain_table
from promptshot.run import Result
from promptshot.wrong import MOST as MOST_LISTED
from promptshot.wrong import Worst

MARGIN = 19  # columns that accuracy takes before its interval
CORNER = "gold \\ predicted"
MATRIX = 8  # labels; beyond these the confusion matrix becomes a list
LISTED = 200  # labels in a table
CONFUSIONS = 5  # of which a row is shown
MOST = 30  # of more labels than that, those with the most rows


def summary(result: Result, examples: bool = False, surest: int | None = None) -> None:
    """The report of a run; with some of its predictions where they are not written anywhere, and with the `surest` of
    the rows that went wrong (default: one of each of the worst confusions)."""
    console = people()
    parts: list[RenderableType] = [_examples(result)] if examples else []
    parts += [_head(result), *_fares(result.tally, result.worst, surest, one_draw(result.recipe))]
    said = [Text.assemble(("note: ", "yellow"), printable(line)) for line in notes(result)]
    if said:
        parts.append(Group(*said))
    for part in parts:
        console.print()
        console.print(part)


def _fares(tally: Tally, worst: Worst, surest: int | None, draw: str = "") -> list[RenderableType]:
    """How predictions fare; where no label tells, what they are. `draw` says of which demonstrations that is so."""
    if tally.labelled:
        return [_accuracy(tally, draw), _per_label(tally), _confusion(tally), *_errors(tally, worst, surest)]
    return [_predictions(tally)]


def _examples(result: Result) -> RenderableType:
    """The first predictions as lines: label, probability, gold where there is one, and the text."""
    labelled = any(found.gold_value is not None for found in result.examples)
    table = plain_table("prediction", "p", *(["gold"] if labelled else []), "text", texts=4)
    table.columns[1].min_width, table.columns[-1].ratio = None, 1
    table.expand = people().is_terminal
    for found in result.examples:
        right = "green" if found.gold == found.label else "red" if found.gold else ""
        names = [name for name in result.recipe.template.needs if found.row.column(name) is not None]
        texts = [str(found.row[name]) for name in names]
        chance = "" if found.probability is None else f"{found.probability:.2f}"
        gold = [printable(found.gold or found.gold_value or "")] if labelled else []
        table.add_row(Text(printable(found.label), style=right), chance, *gold, printable(" / ".join(texts)))
    return table


def _head(result: Result) -> Text:
    machine = result.details
    place = f" on {machine['device']}, {machine['dtype']}" if machine else ""
    tally = result.tally
    rows = many(tally.predicted, "row")
    if tally.labelled != tally.predicted:
        rows += f" ({tally.labelled:,} with a label)"
    if tally.rejected:
        rows += f", {tally.rejected:,} rejected"
    demos = result.recipe.demos
    shots = f" · k={demos.k}, {many(demos.k, 'demonstration')} from {demos.path}" if demos and demos.k else ""
    what = f"{result.recipe.name} · {result.recipe.scorer} · {result.recipe.model or 'no model'}{place}{shots}"
    speed = f"{rows} in {result.seconds:.1f} s, {result.rows_per_second:,.0f} rows/s"
    if result.rows_before:
        before = result.rows_before
        speed += f"; {'all' if before == tally.predicted + tally.rejected else f'{before:,}'} were done before"
    return Text.assemble((printable(what), "bold"), "\n", (speed, "dim"))


def one_draw(recipe: Recipe) -> str:
    """What numbers with demonstrations are of: one draw of them; empty where there are none."""
    return f"one draw (seed {recipe.demos.seed})" if recipe.demos and recipe.demos.k else ""


def _accuracy(tally: Tally, draw: str = "") -> RenderableType:
    accuracy, interval, majority, chance = tally.accuracy, tally.interval, tally.majority, tally.chance
    assert accuracy is not None
    assert interval is not None
    assert majority is not None
    assert chance is not None
    low, high = interval
    bar = max(majority, chance)
    verdict, style = "not clearly above the majority class", "yellow"
    if low > bar:
        verdict, style = "clearly above the majority class", "green"
    elif high < bar:
        verdict, style = "below the majority class", "red"
    beside = [
        f"95% interval {low:.1%} to {high:.1%}",
        f"Matthews' correlation {tally.matthews:.3f}",
        f"majority class {majority:.1%}, chance {chance:.1%}",
    ]
    if draw:
        beside[0] += f" · {draw}"
    if people().width < max(NARROW, MARGIN + len(beside[0])):
        beside = [f"{low:.1%} to {high:.1%}", f"Matthews' {tally.matthews:.3f}", f"majority {majority:.1%}"]
        beside[0] += f" · {draw}" if draw else ""
    return Text.assemble(
        ("accuracy  ", "bold"),
        (f"{accuracy:6.1%}", f"bold {style}"),
        f"   {beside[0]}\n",
        ("balanced  ", "bold"),
        f"{tally.balanced_accuracy:6.1%}   {beside[1]}\n",
        ("macro-F1  ", "bold"),
        f"{tally.macro_f1:6.1%}   {beside[2]}\n",
        (verdict, style),
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
    wrong = tally.labelled - tally.correct
    if surest is None:
        shown, title = (
            worst.of_confusions(tally.confusion, CONFUSIONS),
            "the worst confusions, and the surest row of each",
        )
    else:
        shown = worst.surest[:surest]
        how = "the first" if all(one.probability is None for one in shown) else "the surest"
        title = f"{how} {len(shown):,} of {wrong:,} rows that went wrong"
    if not shown:
        return []
    sure, many = any(one.probability is not None for one in shown), surest is None
    table = plain_table("gold", "taken for", "text", *(["rows"] if many else []), *(["p"] if sure else []), texts=3)
    for one in shown:
        rows = [f"{tally.confusion[one.gold, one.prediction]:,}"] if many else []
        chance = ["" if one.probability is None else f"{one.probability:.2f}"] if sure else []
        table.add_row(printable(one.gold), printable(one.prediction), printable(one.text), *rows, *chance)
    return [Group(Text(title, style="dim"), table)]


def _predictions(tally: Tally) -> RenderableType:
    table = plain_table("label", "predicted", "share")
    common = [name for name, _ in tally.predictions.most_common(MOST)]
    shown = list(dict.fromkeys([*(tally.labels if len(tally.labels) <= LISTED else ()), *common]))
    for label in shown:
        count = tally.predictions[label]
        table.add_row(printable(label), f"{count:,}", f"{count / tally.predicted:.1%}")
    return _with_rest(table, len(tally.labels) - len(shown) if len(tally.labels) > LISTED else 0)


def leaning(tally: Tally, shots: bool = False) -> str:
    """That nearly all rows were given one label, which says more of the prompt than of the rows; empty where it is not
    so. `shots` says whether demonstrations went before them."""
    lean = tally.lean
    if lean is None:
        return ""
    known = "they may not all be so" if lean.gold is None else f"{lean.gold:,} {'is' if lean.gold == 1 else 'are'}"
    given = f"{lean.given:,} of {many(lean.rows, 'row was', 'rows were')} given {lean.label!r}, and {known}"
    what = "the prompt leans to one label whatever the text says"
    more = "other demonstrations (--seed)" if shots else "demonstrations (--demos)"
    return f"{given}: {what}; try other templates and label words (promptshot compare) or {more}"


def notes(result: Result, keep: str = "--rejects FILE", of_candidate: bool = False) -> list[str]:
    """What a reader of the numbers must know, one line each; `keep` is the flag that keeps rejected rows. What a
    leaderboard says of all candidates together is left out for one of these."""
    tally, keys = result.tally, result.recipe.template.spec
    draw = one_draw(result.recipe)
    found = [said] if (said := leaning(tally, bool(draw))) and not of_candidate else []
    if result.recipe.transductive:
        shares = ", ".join(
            f"{label} {share:.0%}" for label, share in zip(keys.ordered or (), result.recipe.prior, strict=True)
        )
        found.append(f"labels come from ranking the whole run by this prior: {shares} (transductive)")
    if result.doubt:
        found.append(result.doubt)
    if result.changed:
        what = "were rows added or changed? read it again with --overwrite"
        found.append(f"{shortlist(result.changed, 3)}: written to while it was read; {what}")
    if result.cut:
        limit = result.details.get("max_length")
        found.append(f"{many(result.cut, 'row was', 'rows were')} too long and cut to fit {limit} tokens")
    if result.odd:
        found.append(f"{many(result.odd, 'row looks', 'rows look')} odd; the first, {result.first_odd}")
    if result.dropped:
        lost = many(result.short, "row", "rows") if result.short else "some rows"
        found.append(f"{lost} lost demonstrations, oldest first, to fit the context ({result.dropped:,} in all)")
    if draw and not of_candidate:
        found.append(f"{draw}: other demonstrations may move accuracy by many points; try --seed 1, --seed 2 ...")
    if result.lacking and result.recipe.demos:
        what = f"{many(result.lacking, 'row')} had fewer than {result.recipe.demos.k} demonstrations"
        found.append(f"{what}: the row itself was among them, and --demos has no other to spare")
    if result.unknown:
        where = result.first_unknown
        hold = many(result.unknown, "row holds", "rows hold")
        found.append(f"{hold} nothing that the tokenizer knows; the first: {where}")
    if result.split:
        how = "mean" if result.averaged else "sum"
        which = "1 label word has" if result.split == 1 else f"{result.split} label words have"
        whose = "its" if result.split == 1 else "their"
        found.append(f"{which} several tokens; {whose} score is the {how} over tokens")
    if tally.unknown_gold:
        found.append(_unknown(tally))
    found += _unlisted(tally, result.worst)
    if result.overwritten:
        found.append(f"input fields overwritten in the output: {', '.join(result.overwritten)}")
    if result.left_out:
        found.append(f"columns that only later rows have are not in the table: {shortlist(result.left_out)}")
    if tally.rejected:
        first = result.rejects[0]
        where = f"see {result.rejects_path}" if result.rejects_path else f"keep them with {keep}"
        said = f"{first.source}: {first.reason}" + (f"; {first.advice}" if first.advice else "")
        found.append(f"{many(tally.rejected, 'row was', 'rows were')} rejected, {where}; the first, {said}")
    return found


def uncounted(tally: Tally, problem: str = "") -> list[str]:
    """Which predictions were not counted, and why, one line each; `problem` says why none was."""
    found = []
    if problem:
        found.append(f"{problem}; {many(tally.unknown_gold.total(), 'row is', 'rows are')} not counted; {HINT}")
    elif tally.unknown_gold:
        found.append(_unknown(tally))
    if tally.unlabelled:
        where = "" if tally.unlabelled < tally.predicted else " (--label-field names its column, where there is one)"
        have = many(tally.unlabelled, "row has", "rows have")
        found.append(f"{have} no label of {'its' if tally.unlabelled == 1 else 'their'} own, not counted{where}")
    return found


def _unlisted(tally: Tally, worst: Worst) -> list[str]:
    """How many of the rows that went wrong are not in the file that was asked for."""
    wrong = tally.labelled - tally.correct
    listed = worst.most if worst.most >= MOST_LISTED else wrong
    return [f"--errors has the {listed:,} surest of {wrong:,} rows that went wrong"] if listed < wrong else []


def _unknown(tally: Tally) -> str:
    values = shortlist((printable(v) for v, _ in tally.unknown_gold.most_common()), 8)
    have = many(tally.unknown_gold.total(), "row has", "rows have")
    return f"{have} a label that is none of ours, not counted: {values}"


def counted(found: Counted, console: Console, surest: int | None = None) -> None:
    """The report of a file of predictions, with so many of the rows that went wrong (see `summary`)."""
    tally = found.tally
    rows = many(tally.predicted, "row") + (
        f" ({tally.labelled:,} counted)" if tally.labelled != tally.predicted else ""
    )
    rows += f", {tally.rejected:,} cannot be used" if tally.rejected else ""
    parts: list[RenderableType] = [Text.assemble((printable(found.path), "bold"), "\n", (rows, "dim"))]
    parts += _fares(tally, found.worst, surest)
    said = [*uncounted(tally, found.problem), *_unlisted(tally, found.worst)]
    if tally.rejected:
        first = found.rejects[0]
        said.append(f"{many(tally.rejected, 'row')} cannot be used; the first, {first.source}: {first.reason}")
    if said:
        parts.append(Group(*(Text.assemble(("note: ", "yellow"), printable(line)) for line in said)))
    for part in parts:
        console.print(part)
        console.print()
