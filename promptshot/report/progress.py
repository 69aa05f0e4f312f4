"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from itertools import chain
from types import TracebackType

from rich.progress import Progress
from rich.text import Text

from promptshot.classify.classifier import Classifier
from promptshot.classify.recipe import Recipe
from promptshot.errors import many, printable
from promptshot.kinds import KINDS
from promptshot.metrics import Tally
from promptshot.prompts.language import language_of
from promptshot.report.console import NARROW, moving_bar, note, people
from promptshot.runs.journal import Journal
from promptshot.runs.result import circumstances
from promptshot.runs.run import Watcher

BESIDE = len("⠋ scoring ━━ ")  # columns before what is said behind a bar


def _clock(seconds: float) -> str:
    """75 -> 1:15, 4000 -> 1:06:40."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _language(recipe: Recipe) -> str:
    """That of a template and its label words."""
    text = recipe.template.spec.text
    said = [*([text] if isinstance(text, str) else text), *chain(*recipe.verbalizer.labels.values())]
    return "zh" if any(language_of(part) == "zh" for part in said) else "en"


class Watch(Watcher):
    """Progress while a run goes on: a bar on a terminal, a plain line now and then elsewhere."""

    SECONDS = 5.0  # between plain lines

    def __init__(
        self, total: int | None = None, quiet: bool = False, verbose: bool = False, first: str = "loading the model"
    ) -> None:
        """`total` rows are to come in all, if known; `first` is done before any is scored."""
        self.console = people()
        self.quiet, self.verbose, self.total = quiet, verbose, total
        self.done = self.first = 0
        self.began = self.told = time.monotonic()
        self.run = ""  # which it is, of several
        self.found: list[str] = []  # what is known of the rows so far
        self._bar: Progress | None = None
        if not quiet and self.console.is_terminal:
            self._bar = moving_bar(self.console, 30)
            self._task = self._bar.add_task(first, total=None, said="")

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
            if classifier.chat_unused:
                note(classifier.chat_unused, self.console)
        if self.verbose:
            for remark in circumstances(recipe, classifier.details):
                self.console.print(Text(printable(remark.line), style="dim"))
        if self._bar:
            self._bar.update(self._task, description="scoring", total=self.total, completed=rows)

    def turned(self, recipe: Recipe) -> None:
        """The next of several runs begins."""
        seed = "" if recipe.demo_seed is None else f", seed {recipe.demo_seed}"
        self.run = f"k={recipe.shots}{seed}: "

    def advance(self, rows: int) -> None:
        """About so many more rows have been scored."""
        self.done += rows
        self._tell()

    def counted(self, rows: int, tally: Tally) -> None:
        """So many rows have been written in all, and this is what they come to."""
        self.done, self.found = rows, []
        if tally.accuracy is not None:
            short = tally.named.partition(" ")[0]  # beside the bar there is room for a word
            self.found.append(f"{self.run}{short} {tally.accuracy:.1%}")
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
        """Rows, rows per second, time left, accuracy so far, rejects; behind a bar no more than fits there."""
        speed = (self.done - self.first) / max(now - self.began, 1e-9)
        rows, spare = f"{self.done:,}{f' of {self.total:,}' if self.total else ''} rows", [f"{speed:,.0f} rows/s"]
        if self.console.width < NARROW:
            return ", ".join([rows, *spare])
        if self.total and speed:
            spare.append(f"{_clock((self.total - self.done) / speed)} left")
        while self._bar and spare and len(", ".join([rows, *spare, *self.found])) > self.console.width - BESIDE:
            del spare[0]
        return ", ".join([rows, *spare, *self.found])

    def __enter__(self) -> Watch:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
