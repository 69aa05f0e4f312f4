"""What people see: tables, progress and errors on the terminal. Everything here goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.syntax import Syntax
from rich.table import Column, Table
from rich.text import Text

from promptshot import standard
from promptshot.classify import Classifier
from promptshot.decide import Ranks
from promptshot.doctor import Finding, Overall
from promptshot.errors import many, printable, shortlist
from promptshot.guess import language_of
from promptshot.journal import Journal
from promptshot.kinds import KINDS
from promptshot.metrics import Tally
from promptshot.predictions import HINT, Counted
from promptshot.recipe import Recipe
from promptshot.record import versions
from promptshot.run import Result, Watcher
from promptshot.scoring import Kind, Prompt
from promptshot.wrong import MOST as MOST_LISTED
from promptshot.wrong import Worst

UNWRAPPED = 10_000  # columns, where there is no terminal to fit into
MARGIN = 19  # columns that accuracy takes before its interval
WIDE = 100  # columns; below, what a doctor says stands under its head
NARROW = 60  # columns; below, tables leave out what can be spared
USUAL = 80  # columns of a terminal
LEAST, ENOUGH = 4, 12  # columns of a text in a table, at least, and as long as headings can give way
CORNER = "gold \\ predicted"
MATRIX = 8  # labels; beyond these the confusion matrix becomes a list
LISTED = 200  # labels in a table
CONFUSIONS = 5  # of which a row is shown
MOST = 30  # of more labels than that, those with the most rows


class _Console(Console):
    """A console that leaves to the command line what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise  # the error that rich has just caught


def _console(stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False, markup=False)
    return console if console.is_terminal else _Console(stderr=stderr, highlight=False, markup=False, width=UNWRAPPED)


def people() -> Console:
    """The console for people: stderr; nothing is wrapped where it is no terminal."""
    return _console(stderr=True)


def data() -> Console:
    """The console for data: stdout."""
    return _console(stderr=False)


def error(message: str) -> None:
    """One line that says what went wrong."""
    people().print(Text.assemble(("error: ", "bold red"), printable(message)))


def note(message: str, console: Console | None = None) -> None:
    """One line that a user should know."""
    (console or people()).print(Text.assemble(("note: ", "bold yellow"), printable(message)))


# ------------------------------------------------------------------ progress


def _clock(seconds: float) -> str:
    """75 -> 1:15, 4000 -> 1:06:40."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _circumstances(classifier: Classifier) -> list[str]:
    """What -v adds: the checkpoint, the machine, the label words."""
    recipe, machine = classifier.recipe, classifier.details
    lines = [f"template {recipe.name}, scorer {recipe.scorer}, model {recipe.model or 'none'}"]
    if columns := {**recipe.columns, **recipe.guessed}:
        lines.append("columns " + ", ".join(f"{field}={column}" for field, column in columns.items()))
    if machine:
        lines.append(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value))
    words = recipe.verbalizer.as_dict().get("labels")
    if isinstance(words, Mapping):
        lines += [f"label {label}: {shortlist(map(str, of), 8)}" for label, of in words.items()][:20]
    lines.append(", ".join(f"{name} {version}" for name, version in versions().items()))
    return lines


def _language(recipe: Recipe) -> str:
    """That of a template and its label words."""
    text = recipe.template.spec.text
    said = [*([text] if isinstance(text, str) else text), *chain(*recipe.verbalizer.labels.values())]
    return "zh" if any(language_of(part) == "zh" for part in said) else "en"


def moving_bar(console: Console, width: int) -> Progress:
    """A bar of so many columns, which goes when it is done; a task's field `said` stands behind it."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None if console.width < NARROW else width),
        TextColumn("{task.fields[said]}"),
        console=console,
        transient=True,
    )


class Watch(Watcher):
    """Progress while a run goes on: a bar on a terminal, a plain line now and then elsewhere."""

    SECONDS = 5.0  # between plain lines

    def __init__(self, total: int | None = None, quiet: bool = False, verbose: bool = False) -> None:
        """`total` rows are to come in all, if known."""
        self.console = people()
        self.quiet, self.verbose, self.total = quiet, verbose, total
        self.done = self.first = 0
        self.began = self.told = time.monotonic()
        self.found: list[str] = []  # what is known of the rows so far
        self._bar: Progress | None = None
        if not quiet and self.console.is_terminal:
            self._bar = moving_bar(self.console, 30)
            self._task = self._bar.add_task("loading the model", total=None, said="")

    def looked(self, line: str) -> None:
        """What is to be known of the rows' labels before anything is scored."""
        if not self.quiet:
            note(line, self.console)

    def ready(self, classifier: Classifier, rows: int) -> None:
        """The model is loaded, and so many rows were done before."""
        self.began = self.told = time.monotonic()
        self.done = self.first = rows
        recipe = classifier.recipe
        if not self.quiet:
            if rows:
                note(f"going on after {many(rows, 'row that is', 'rows that are')} done", self.console)
            if recipe.model and not recipe.options.model:
                better = KINDS[recipe.scorer].advice[_language(recipe)]
                note(f"using the small built-in model {recipe.model}; for real results: -m {better}", self.console)
        if self.verbose:
            for line in _circumstances(classifier):
                self.console.print(Text(printable(line), style="dim"))
        if self._bar:
            self._bar.update(self._task, description="scoring", total=self.total, completed=rows)

    def advance(self, rows: int) -> None:
        """About so many more rows have been scored."""
        self.done += rows
        self._tell()

    def counted(self, rows: int, tally: Tally) -> None:
        """So many rows have been written in all, and this is what they come to."""
        self.done, self.found = rows, []
        if tally.accuracy is not None:
            self.found.append(f"accuracy {tally.accuracy:.1%}")
        if tally.rejected:
            self.found.append(f"{tally.rejected:,} rejected")
        self._tell()

    def stopped(self, journal: Journal) -> None:
        """Say how to go on."""
        if self._bar:
            self._bar.stop()
        if journal.kept and not self.quiet:
            same = "the same command, but without --overwrite," if journal.outputs.overwrite else "the same command"
            kept = many(journal.kept, "row is", "rows are")
            note(f"{kept} done and safe; {same} goes on from there", self.console)

    def _tell(self) -> None:
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=self.done, said=self._said(now))
        elif (
            not self.quiet
            and self.first < self.done != self.total
            and now - self.told >= (0.5 if self.verbose else self.SECONDS)
        ):
            self.told = now
            self.console.print(self._said(now))

    def _said(self, now: float) -> str:
        """Rows, rows per second, time left, accuracy so far, rejects."""
        speed = (self.done - self.first) / max(now - self.began, 1e-9)
        parts = [f"{self.done:,}{f' of {self.total:,}' if self.total else ''} rows", f"{speed:,.0f} rows/s"]
        if self.total and speed:
            parts.append(f"{_clock((self.total - self.done) / speed)} left")
        return ", ".join(parts[:2] if self.console.width < NARROW else [*parts, *self.found])

    def __enter__(self) -> Watch:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


# ------------------------------------------------------------------ the report


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


class _Numbers(Table):
    """A table that never shortens a number, however narrow the terminal: long texts give way first, then headings,
    then all texts."""

    def __init__(self, texts: int, gap: int) -> None:
        super().__init__(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
        self.texts, self.gap = texts, gap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        numbers, room = self.columns[self.texts :], options.max_width - self.gap * (len(self.columns) - 1)
        wide = [_width(column, heading=True) for column in self.columns]
        if (numbers or self.columns[-1].header == "text") and sum(wide) > room:
            texts = sum(min(width, ENOUGH) for width in wide[: self.texts])
            excess = texts + sum(wide[self.texts :]) - room
            for column in sorted(numbers, key=lambda column: _width(column) - _width(column, heading=True)):
                slack = _width(column, heading=True) - _width(column)
                column.width = _width(column, heading=True) - min(slack, max(0, excess))
                excess -= min(slack, max(0, excess))
            self._share(room - sum(column.width or 0 for column in numbers))
        yield from super().__rich_console__(console, options)

    def _share(self, left: int) -> None:
        """Give each text what it needs, and where that is too much an equal part of what the shorter ones leave."""
        texts = sorted(self.columns[: self.texts], key=lambda column: _width(column, heading=True))
        for number, column in enumerate(texts):
            column.min_width, column.max_width = None, max(LEAST, left // (len(texts) - number))
            left -= min(column.max_width, _width(column, heading=True))


def _width(column: Column, heading: bool = False) -> int:
    """Of its widest cell, in columns of the terminal."""
    cells = [*column.cells, *([column.header] if heading else [])]
    return max((cell.cell_len if isinstance(cell, Text) else cell_len(str(cell)) for cell in cells), default=0)


def plain_table(*headers: str, texts: int = 1) -> Table:
    """A table without box lines: the first `texts` columns left, numbers right. To fit, what a row says (the column
    "text") is shortened; labels and names are not, they go on in the next line."""
    gap = 3 if people().width >= NARROW else 2
    table = _Numbers(texts, gap)
    for i, header in enumerate(headers):
        text = i < texts
        whole = text and header not in ("text", "p")
        table.add_column(
            header,
            justify="left" if text else "right",
            no_wrap=not whole,
            overflow="fold" if whole else "ellipsis",
            min_width=8 if text else None,
        )
    return table


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
    tally = result.tally
    draw = one_draw(result.recipe)
    found = [said] if (said := leaning(tally, bool(draw))) and not of_candidate else []
    if isinstance(decision := result.recipe.decision, Ranks):
        shares = ", ".join(
            f"{label} {share:.0%}" for label, share in zip(decision.ordered, decision.prior, strict=True)
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


# ------------------------------------------------------------------ stored predictions


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


# ------------------------------------------------------------------ doctor


def examining(model: str, kinds: Sequence[str]) -> None:
    """The first line of a doctor's report, before anything is loaded."""
    people().print(
        Text(f"{printable(model) or 'the built-in models'}: is it sound for {', '.join(kinds)}?", style="dim"),
        soft_wrap=True,
    )


class Steps:
    """What a doctor does next, on a terminal, while it does it; nothing elsewhere."""

    def __init__(self) -> None:
        self._status = people().status("") if people().is_terminal else None

    def __enter__(self) -> Steps:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    def of(self, kind: str) -> Callable[[str], None]:
        """Takes what is done next for a kind of scorer."""
        return lambda said: self._status.update(f"{kind}: {said}") if self._status else None


def finding(kind: str, found: Finding) -> None:
    """One finding of a doctor: a line, or a few under the head of the first on a terminal."""
    console = people()
    style = {"ok": "green", "look": "bold yellow", "failed": "bold red", "note": "dim"}[found.verdict]
    head = Text.assemble((f"{kind:<8}", "bold"), (f"{found.verdict:<8}", style), f"{found.check:<22}")
    said = Text(printable(found.said))
    if not console.is_terminal:
        console.print(head + said)
    elif console.width < WIDE:
        console.print(head)
        console.print(Padding(said, (0, 0, 0, 16)))
    else:
        table = Table.grid(Column(width=cell_len(head.plain)), Column(ratio=1), expand=True)
        table.add_row(head, said)
        console.print(table)


def verdict(said: Overall, why: str) -> None:
    """The last line of a doctor's report."""
    style = {"sound": "bold green", "look at this": "bold yellow", "not sound": "bold red"}[said]
    people().print(Text.assemble((said, style), f": {why}" if why else ""))


def budgets(kind: str, rates: Sequence[tuple[int, float]]) -> None:
    """How fast batches of several sizes are, and which to set."""
    best = max(rate for _, rate in rates)
    for budget, rate in rates:
        people().print(f"{'':<8}{budget:>6,} tokens at once: {rate:>7,.1f} prompts/s, {rate / best:.0%} of the best")
    chosen = next(budget for budget, rate in rates if rate == best)
    people().print(Text.assemble(f"{'':<8}fastest here: ", (f"--batch-budget {chosen}", "bold"), f" for {kind}"))


# ------------------------------------------------------------------ prompts


def prompts(shown: Sequence[tuple[str, Prompt]]) -> None:
    """Rendered prompts, fields apart from the template by colour, with the choices for the blank."""
    console = people()
    style = {Kind.FIXED: "cyan", Kind.FIELD: "", Kind.MASK: "bold reverse", Kind.DEMO: "dim", Kind.HOLE: "reverse"}
    for source, prompt in shown:
        console.print(Text(printable(source), style="dim"))
        text = Text()
        for piece in prompt.pieces:
            visible = {Kind.MASK: "____", Kind.HOLE: "(hole)", Kind.BREAK: "\n"}.get(piece.kind, piece.text)
            lines = "\n".join(printable(line) for line in visible.split("\n"))
            text.append(lines, style=style.get(piece.kind, ""))
        _indented(console, text)
        words = [printable(choice) for choice in prompt.choices if choice]
        if words:
            _indented(console, Text(f"blank: {shortlist(words, 20)}", style="dim"))
        console.print()


def _indented(console: Console, text: Text) -> None:
    for line in text.wrap(console, console.width - 2) if console.is_terminal else text.split():
        console.print(Text("  ") + line, soft_wrap=True)


def listing(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A list on stdout: a table on a terminal, tab-separated lines elsewhere.

    The first column holds what one types and is never cut; the others fold, and where there is little room some
    between the first and the last are left out.
    """
    console = data()
    if not console.is_terminal:
        for line in lines:
            sys.stdout.write("\t".join(map(printable, line)) + "\n")
        return
    most = 1 if console.width < NARROW else 2 if console.width < USUAL else len(headers) - 1  # beside the first
    shown = (0, *range(1, len(headers))[-most:])
    table = plain_table(*(headers[i] for i in shown), texts=len(shown))
    for column in table.columns:
        column.no_wrap, column.overflow, column.min_width = column is table.columns[0], "fold", None
    for line in lines:
        table.add_row(*(printable(line[i]) for i in shown))
    console.print(table)


def file(path: Path) -> None:
    """A YAML file on stdout, coloured on a terminal, byte for byte elsewhere."""
    text = path.read_text(encoding="utf-8-sig")
    console = data()
    if console.is_terminal:
        shown = "\n".join(map(printable, text.rstrip().split("\n")))
        console.print(Syntax(shown, "yaml", background_color="default", word_wrap=True))
    else:
        standard.write(text)
