"""Suites: what a YAML file says of a comparison, or of several tasks whose accuracies stand in one table.

A suite of several tasks says for each where its rows lie, in the layouts that people have them in, and which templates
are asked; and what others have published of the same tasks. It is found on the shelf by name, or by its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from promptshot.errors import InputError, NotFoundError, PromptshotError, did_you_mean
from promptshot.prompts import library, strict
from promptshot.prompts.codes import Lines, Place
from promptshot.prompts.strict import Source
from promptshot.prompts.task import Names
from promptshot.rows.row import joined
from promptshot.rows.streams import Reading

MOST = 2**53  # of whole numbers that count something
LONGEST = 60  # characters of a task's name, which is that of a folder and of a column


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | dict) else [value]


Several = BeforeValidator(_listed)


class Suite(strict.Spec):
    """The keys of a suite file: a comparison to be run again. Paths are relative to the file, and a list of one may be
    written without brackets.
    """

    data: Annotated[list[str], Field(min_length=1), Several]
    templates: Annotated[list[str], Several] = Field(default_factory=list)
    verbalizers: Annotated[list[str], Several] = Field(default_factory=list)
    library: str | None = None
    models: Annotated[list[str], Several] = Field(default_factory=list)
    shots: Annotated[list[Annotated[int, Field(ge=0, le=MOST)]], Several] = Field(default_factory=list)
    demos: str | None = None
    search: bool = False
    dev: str | None = None
    label_field: str | None = None
    text_field: str | list[str] | None = None
    labels: str | list[str] | dict[str, Any] | None = None
    encoding: str | None = None
    no_header: bool = False
    lines: bool = False
    limit: int | None = Field(default=None, ge=1, le=MOST)
    seed: int = 0
    about: str = ""

    @classmethod
    def load(cls, path: Path) -> Suite:
        """The suite in a YAML file, its paths as seen from here.

        Raises an InputError with file:line, also for a template or verbalizer that cannot be found.
        """
        return cls._of(path, strict.load_source(path))

    @classmethod
    def _of(cls, path: Path, source: Source) -> Suite:
        data, lines = _sound(path, source)
        made = strict.build(data, cls, InputError, str(path), lines)
        beside = {
            name: str(path.parent / said) for name in ("library", "demos", "dev") if (said := getattr(made, name))
        }
        found: dict[str, Any] = {"data": [str(path.parent / name) for name in made.data], **beside}
        found["models"] = [str(path.parent / name) if (path.parent / name).is_dir() else name for name in made.models]
        if isinstance(made.labels, str) and made.labels.startswith("@"):
            found["labels"] = f"@{path.parent / made.labels[1:]}"
        folder = _library(path, made.library, lines)
        kinds: tuple[Literal["templates", "verbalizers"], ...] = ("templates", "verbalizers")
        for kind in kinds:
            found[kind] = _all_found(kind, getattr(made, kind), folder, path, (kind,), lines)
        return made.model_copy(update=found)


# ------------------------------------------------------------------ several tasks


def _layouts(value: Any) -> Any:
    """Alternatives as a list of mappings: a path, a list of paths or a mapping may stand for one of them, and one of
    them for the list."""
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, dict) else {"files": item} for item in items]


class Columns(strict.Spec):
    """Where rows have what templates read, how they spell their labels, and how their files are read."""

    map: dict[str, str | list[str]] = Field(default_factory=dict)
    text_field: str | list[str] | None = None
    label_field: str | None = None
    gold: dict[str, str | list[str]] = Field(default_factory=dict)
    encoding: str | None = None
    no_header: bool = False
    lines: bool = False


class Layout(Columns):
    """One of the ways in which people have the files of a task."""

    files: Annotated[list[str], Field(min_length=1), Several]

    @property
    def reading(self) -> Reading:
        """How its files are read; raises OptionError for an encoding that there is not."""
        return Reading(self.encoding, not self.no_header, self.lines)

    @property
    def names(self) -> Names:
        """Its columns, for whichever templates have such fields."""
        fields = {name: said if isinstance(said, str) else joined(said) for name, said in self.map.items()}
        return Names(self.text_field, self.label_field, fields, loose=True)

    @property
    def spellings(self) -> dict[str, tuple[str, ...]]:
        """Label -> how the rows spell it."""
        return {label: (said,) if isinstance(said, str) else tuple(said) for label, said in self.gold.items()}


class SuiteTask(Columns):
    """A task of a suite: its files, in one of their layouts, and the templates it is put in."""

    about: str = ""
    files: Annotated[list[Layout], Field(min_length=1), BeforeValidator(_layouts)]
    templates: Annotated[list[str], Field(min_length=1), Several]
    more: Annotated[list[str], Several] = Field(default_factory=list)
    demos: Annotated[list[str], Several] = Field(default_factory=list)
    dev: Annotated[list[str], Several] = Field(default_factory=list)

    @property
    def layouts(self) -> list[Layout]:
        """The layouts, each with what the task says for all of them; what it says itself goes first."""
        return [layout.model_copy(update=self._shared(layout)) for layout in self.files]

    def _shared(self, layout: Layout) -> dict[str, Any]:
        own = {*Columns.model_fields} & (self.model_fields_set - layout.model_fields_set)
        both = {name: {**getattr(self, name), **getattr(layout, name)} for name in ("map", "gold")}
        return {**{name: getattr(self, name) for name in own}, **both}


Percent = Annotated[float, Field(ge=0, le=100)]


class Published(strict.Spec):
    """What others have measured on the tasks: accuracies in percent, and all that tells how they came about."""

    name: str = Field(min_length=1)
    source: str = Field(min_length=1)
    protocol: str = ""
    checkpoint: str = ""
    scorer: str = ""
    command: str = ""
    scores: dict[str, Percent] = Field(min_length=1)
    average: Percent | None = None
    transductive: list[str] = Field(default_factory=list)  # tasks of which all rows were decided on together
    main: bool = False  # one of those that are shown unasked, where any is


class TaskSuite(strict.Spec):
    """The keys of a suite of several tasks. Files of rows are relative to the folder that has the data, or else to the
    suite's own; what it names besides is relative to the suite."""

    about: str = ""
    source: str = ""
    average: Literal["mean", "none"] = "mean"
    library: str | None = None
    tasks: dict[str, SuiteTask] = Field(min_length=1)
    published: list[Published] = Field(default_factory=list)

    @classmethod
    def _of(cls, path: Path, source: Source) -> TaskSuite:
        data, lines = _sound(path, source)
        made = strict.build(data, cls, InputError, str(path), lines)
        folder = _library(path, made.library, lines)
        tasks = {}
        for name, task in made.tasks.items():
            place: Place = ("tasks", name)
            with _at(path, lines[place]):
                _check_name(name)
                for layout in task.layouts:
                    _ = layout.reading
            said = {
                key: _all_found("templates", getattr(task, key), folder, path, (*place, key), lines)
                for key in ("templates", "more")
            }
            tasks[name] = task.model_copy(update=said)
            _refuse_unread(tasks[name], folder, path, place, lines)
        for number, row in enumerate(made.published):
            for key, names in (("scores", row.scores), ("transductive", row.transductive)):
                _refuse_unknown(names, tasks, path, ("published", number, key), lines)
        return made.model_copy(update={"tasks": tasks, "library": str(folder) if folder else None})


def load(path: Path) -> Suite | TaskSuite:
    """The suite in a YAML file, of one comparison or of several tasks; raises an InputError with file:line."""
    source = strict.load_source(path)
    several = isinstance(source.data, dict) and "tasks" in source.data
    return TaskSuite._of(path, source) if several else Suite._of(path, source)


def find(name: str, folder: Path | None = None) -> Path:
    """The file of a suite: a name on the shelf or in a library of the user's, or a path; raises NotFoundError."""
    if library.is_path(name):
        return Path(name)
    try:
        return library.find("suites", name, folder)
    except NotFoundError:
        if Path(name).exists():  # a file need not be called .yaml
            return Path(name)
        raise


def _check_name(name: str) -> None:
    """Refuse what cannot be the name of a folder; raises InputError."""
    plain = all(letter.isalnum() or letter in "_-+.=" for letter in name) and not name.startswith((".", "-"))
    if not plain or not 0 < len(name) <= LONGEST:
        hint = f"use at most {LONGEST} letters, digits, - and _"
        raise InputError(f"{name!r} cannot be the name of a task", hint=hint)


def _refuse_unknown(names: Iterable[str], known: Mapping[str, Any], path: Path, place: Place, lines: Lines) -> None:
    """Refuse what is no task of the suite; raises InputError."""
    for name in names:
        if name not in known:
            line = lines.get((*place, name)) or lines[place]
            raise InputError(f"no task {name!r}", where=f"{path}:{line}", hint=did_you_mean(name, known))


# ------------------------------------------------------------------ both


def _sound(path: Path, source: Source) -> tuple[Any, Lines]:
    """Data and lines; a key without a value is refused, but for `about`."""
    data, lines = source.sound(InputError)
    for place, kind in source.typed.items():
        if kind == "null" and place and place[-1] != "about" and strict.KEY not in place:
            key = next(step for step in reversed(place) if isinstance(step, str))
            hint = f"write {key}: ..., or leave the line out"
            raise InputError(f"the key {key!r} has no value", where=f"{path}:{lines[place]}", hint=hint)
    return data, lines


def _library(path: Path, said: str | None, lines: Lines) -> Path | None:
    """The library that a suite names, as seen from here."""
    folder = path.parent / said if said else None
    if folder:
        with _at(path, lines[("library",)]):
            library.check(folder)
    return folder


def _refuse_unread(task: SuiteTask, folder: Path | None, path: Path, place: Place, lines: Lines) -> None:
    """Refuse a field of `map` that no template of the task reads; raises an InputError with file:line."""
    maps: list[tuple[Place, Columns]] = [((*place, "map"), task)]
    maps += [((*place, "files", number, "map"), layout) for number, layout in enumerate(task.files)]
    read = set[str]()
    left = {name: lines.get((*there, name)) or lines[place] for there, of in maps for name in of.map}
    for template in (*task.templates, *task.more):
        if not left:
            return
        try:
            read |= {*library.template(template, folder).needs}
        except PromptshotError:  # which is told where it is asked for
            return
        left = {name: line for name, line in left.items() if name not in read}
    for name, line in left.items():
        hint = did_you_mean(name, sorted(read))
        raise InputError(f"map: no template of the task reads {name!r}", where=f"{path}:{line}", hint=hint)


def _all_found(
    kind: Literal["templates", "verbalizers"],
    said: Sequence[str],
    folder: Path | None,
    path: Path,
    place: Place,
    lines: Lines,
) -> list[str]:
    """What a suite says at a place, as `_found` gives it; raises an InputError with file:line."""
    found = []
    for i, one in enumerate(said):
        with _at(path, lines.get((*place, i)) or lines[place]):
            found.append(_found(kind, one, folder, path.parent))
    return found


@contextmanager
def _at(path: Path, line: int) -> Iterator[None]:
    """What is wrong in here is wrong in that line of the suite."""
    try:
        yield
    except PromptshotError as problem:
        raise InputError(problem.what, where=f"{path}:{line}", hint=problem.hint) from None


def _found(kind: Literal["templates", "verbalizers"], said: str, folder: Path | None, beside: Path) -> str:
    """An inline text or a name on the shelf as it is; a path from the folder of the suite."""
    if kind == "templates" and "{" in said:
        return said
    path = library.find(kind, said, folder, beside)
    if not library.is_path(said):
        return said
    library.refuse_other(path, kind, "")
    return str(path)
