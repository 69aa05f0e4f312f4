"""Options from a YAML file: each value is looked at as its option would, or refused with its line and what to write.

Paths in a file are seen from that file.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from promptshot.errors import InputError, PromptshotError, did_you_mean, shortened

LARGEST = 2**53  # of whole numbers that count something


class Count(click.IntRange):
    """A whole number that counts; one beyond all counting is refused, for no library could take it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; raises click's BadParameter."""
        if isinstance(value, str) and "," in value and getattr(param, "multiple", False) and param is not None:
            flag = min(param.opts, key=len)
            self.fail(f"{value!r}; give it again for each: {' '.join(f'{flag} {one}' for one in value.split(','))}")
        found: int = super().convert(value, param, ctx)
        if found > LARGEST:
            self.fail(f"{shortened(str(value))} is too large a number.", param, ctx)
        return found


class Real(click.FloatRange):
    """A number as people write them; `1_0`, which Python takes for ten, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; raises click's BadParameter."""
        if isinstance(value, str) and "_" in value:
            self.fail(f"{shortened(repr(value))} is not a valid float.", param, ctx)
        return super().convert(value, param, ctx)


class Share(Real):
    """A number from 0 to 1."""

    def __init__(self) -> None:
        super().__init__(0, 1)


class Positive(Real):
    """A number above 0."""

    def __init__(self) -> None:
        super().__init__(0, 1e9, min_open=True)


class Span(click.types.StringParamType):
    """A number of tokens, N, or a range of them, A-B."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """(least, most); raises click's BadParameter."""
        found = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", str(value).strip())
        least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= least <= most:
            self.fail(
                f"{shortened(repr(str(value)))} is neither a number of tokens nor a range such as 3-8", param, ctx
            )
        return least, most


class Counts(click.types.StringParamType):
    """Whole numbers with commas between them, each once; a file may also have them as a list."""

    name = "integers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The numbers in their order; raises click's BadParameter."""
        if isinstance(value, tuple):
            return value
        said = [str(one).strip() for one in (value if isinstance(value, list) else re.split("[,，]", str(value)))]
        if not all(one.lstrip("+-").isdecimal() for one in said):
            self.fail(f"{value!r}; write whole numbers with commas between them: 0,4,8", param, ctx)
        found = tuple(Count(0).convert(one, param, ctx) for one in said)
        if not found or len(set(found)) < len(found):
            self.fail(f"{value!r}; write each number once: 0,4,8", param, ctx)
        return found


class Text(click.types.StringParamType):
    """A text that may have blanks in it: of several, a variable of the environment has one a line."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Its lines."""
        return [line for line in rv.split("\n") if line.strip()]


class Pair(Text):
    """FIELD=COLUMN, as text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; raises click's BadParameter where it is no pair."""
        field, _, column = str(value).partition("=")
        if not (field and column):
            self.fail(f"{value!r}; write it as field=column", param, ctx)
        return str(value)


class Columns(click.types.StringParamType):
    """Columns as text, commas between them; a file may also have them as a list."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; raises click's BadParameter for a list of anything but names."""
        if not isinstance(value, list):
            return str(value)
        if not value or not all(isinstance(name, str) and name.strip() for name in value):
            self.fail(f"{value!r}; write the names of columns", param, ctx)
        from promptshot.rows.row import joined

        return joined(value)


class Library(click.Path):
    """A folder with templates or verbalizers of one's own; any other would be passed over in silence."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The folder; raises NotFoundError."""
        from promptshot.prompts import library

        library.check(Path(value))
        return super().convert(value, param, ctx)


class Labels(click.types.StringParamType):
    """Labels as text; a file may also have them as a list, or a mapping to their words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; a list or mapping as JSON."""
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


class Fields(click.types.StringParamType):
    """Names with commas between them, in quotes where they have some of their own; a file may have a list."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The names as text; raises click's BadParameter where there is none."""
        if isinstance(value, list) and not all(isinstance(name, str | int | float) for name in value):
            self.fail("a name is a text", param, ctx)
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value if isinstance(value, list) else fields(str(value)))
        text = line.getvalue()
        if not (fields(text) and all(fields(text))):
            self.fail(f"{value!r}; write names with commas between them: id,label,prediction", param, ctx)
        return text


def fields(text: str) -> tuple[str, ...]:
    """The names in the text of an option, without blanks around them."""
    return tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), [""]))


def read(path: str, parameters: Iterable[click.Parameter]) -> dict[str, Any]:
    """What a file says of these parameters, by their names; raises InputError with file:line."""
    from promptshot.prompts import strict

    source = strict.load_source(Path(path))
    values, lines = source.sound(InputError)
    if not isinstance(values, dict):
        raise InputError("not a mapping of options to values", where=path, hint="write one option a line: limit: 100")
    known = {flag(parameter): parameter for parameter in parameters}
    found: dict[str, Any] = {}
    for key, value in values.items():
        place = f"{path}:{lines[(key,)]}"
        name, parameter = _known(key, known, place)
        if parameter.name in found:
            raise InputError(f"the option {name!r} stands here twice", where=place, hint="keep one of them")
        if parameter.name == "scorer" and ":" in str(value):
            hint = "name it on the command line"
            raise InputError("a scorer of yours is code, and a file may not name it", where=place, hint=hint)
        items = value if isinstance(value, list) and _several(parameter) else _pairs(parameter, value)
        for i, item in enumerate(items):
            at = (key, i) if items is value else (key,)
            empty = source.typed.get(at) == "null"
            items[i] = _beside(str(parameter.name), item, Path(path).parent)
            _check(parameter, name, None if empty else items[i], f"{path}:{lines[at]}")
        found[str(parameter.name)] = items if _several(parameter) else items[0]
    return found


def _pairs(parameter: click.Parameter, value: Any) -> list[Any]:
    """FIELD=COLUMN as a mapping also has them; anything else is one value."""
    if not (isinstance(parameter.type, Pair) and isinstance(value, dict)):
        return [value]
    columns = Columns()
    return [f"{field}={columns.convert(column, parameter, None)}" for field, column in value.items()]


# Options that name files and folders, and those that may.
PATHS = (
    *("files", "output", "summary", "record", "rejects", "errors", "save_template", "predictions"),
    *("demos", "dev", "data", "folder", "unlabelled", "candidates"),
)
UNIFORM = "uniform"  # a prior that is no file
NAMES = ("templates", "verbalizer", "verbalizers", "model", "models", "labels")


def _beside(name: str, value: Any, folder: Path) -> Any:
    """A path as seen from here; whatever is none stays as it is."""
    from promptshot import shelf
    from promptshot.prompts import library

    if not isinstance(value, str) or not value or value == "-":
        return value
    if name == "labels":
        return f"@{folder / value[1:]}" if value.startswith("@") else value
    if name == "prior":
        return value if value == UNIFORM or "=" in value else str(folder / value)
    named = name in NAMES and "{" not in value and library.is_path(value)
    if name == "suite":  # a name on the shelf, unless a file is meant
        named = library.is_path(value) or (folder / value).exists()
    if name.startswith("model"):  # the names on a hub have slashes, too
        named = not value.startswith(shelf.BUILTIN) and (folder / value).is_dir()
    return str(folder / value) if name in PATHS or named else value


def _known(key: str, known: Mapping[str, click.Parameter], where: str) -> tuple[str, click.Parameter]:
    """An option by the name that a file has for it; raises InputError where there is none."""
    name = key.replace("_", "-").lstrip("-")
    if name in known:
        return name, known[name]
    plain = name.removeprefix("no-")
    hint = f"write {plain}: false" if plain in known else did_you_mean(key, known)
    raise InputError(f"no option {shortened(repr(key))}", where=where, hint=hint)


def flag(parameter: click.Parameter) -> str:
    """How a user calls it: --max-length -> max-length, FILE... -> files."""
    return max(parameter.opts, key=len).lstrip("-")


def _several(parameter: click.Parameter) -> bool:
    return bool(getattr(parameter, "multiple", False)) or parameter.nargs == -1


def _check(parameter: click.Parameter, name: str, value: Any, where: str) -> None:
    """Raises InputError where the option would not take this value, or one of these."""
    if value is None:
        hint = f"write {name}: {_taken(parameter)[1]}, or leave the line out"
        raise InputError(f"option {name!r} has no value", where=where, hint=hint)
    several = (Fields, Columns)  # which may be a list
    plain = isinstance(parameter.type, Labels) or (isinstance(parameter.type, several) and isinstance(value, list))
    if isinstance(value, list | dict) and not plain:
        of_list = "a list in a list" if _several(parameter) else "a list"
        raise _refused(parameter, name, of_list if isinstance(value, list) else "a mapping", where)
    try:
        parameter.type.convert(value, parameter, None)
    except click.BadParameter:
        raise _refused(parameter, name, shortened(repr(value)), where) from None
    except PromptshotError as problem:
        raise type(problem)(problem.what, where=where, hint=problem.hint) from None


def _refused(parameter: click.Parameter, name: str, shown: str, where: str) -> InputError:
    takes, sample = _taken(parameter)
    many = " or a list of them" if _several(parameter) else ""
    return InputError(f"option {name!r} takes {takes}{many}, not {shown}", where=where, hint=f"write {name}: {sample}")


def _taken(parameter: click.Parameter) -> tuple[str, str]:
    """What an option takes, in words, and one such value."""
    kind = parameter.type
    if isinstance(kind, click.types.BoolParamType):
        return "true or false", "true"
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(kind.choices)}", str(kind.choices[0])
    if isinstance(kind, click.IntRange) and kind.min is not None:
        return f"a whole number of {kind.min:g} or more", f"{max(kind.min, 10):g}"
    if isinstance(kind, Share):
        return "a number from 0 to 1", "0.5"
    if isinstance(kind, click.types.IntParamType):
        return "a whole number", "0"
    if isinstance(kind, Pair):
        return "a FIELD=COLUMN", "text=review"
    sample = (getattr(parameter, "metavar", None) or "NAME").strip("[].").split("|")[0].split(",")[0]
    return "a text", sample.removesuffix("...") or "NAME"
