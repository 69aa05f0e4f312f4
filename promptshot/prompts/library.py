"""Finding templates, verbalizers, suites and built-in models by name or path.

Names are sought in the library folder the user gives, then on the shelf that ships with promptshot;
never in the working directory. What has a slash or ends in .yaml is a path. A library or a template may
come from a stranger: what is found through them is a .yaml file, also where a link leads to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from promptshot import shelf
from promptshot.errors import InputError, NotFoundError, TemplateError, did_you_mean
from promptshot.prompts.strict import is_rather, is_some, load_source
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.prompts.verbalizer import RowWords, Verbalizer, VerbalizerSpec, of_ordered
from promptshot.shelf import Shelf, is_there

SUFFIXES = (".yaml", ".yml")
INSIDE: tuple[Shelf, ...] = ("templates", "verbalizers", "suites")  # what a library may have a folder for
MOST = 10_000  # files beside a library that is not there, to look for the one that was meant


def names(kind: Shelf, library: Path | None = None) -> list[str]:
    """Every name that `find` knows, sorted; of a folder that holds both kinds of file, those of this kind."""
    found = [path for folder in _folders(kind, library) for path in folder.glob("*.yaml") if _is_yaml(path)]
    return sorted({path.stem for path in found if path.parent != library or not _is_rather(path, kind)})


def files_of(library: Path) -> list[Path]:
    """Every file that a name may lead to in a library of the user's."""
    folders = (library, *(library / kind for kind in INSIDE))
    return [path for folder in folders for path in folder.glob("*.yaml")]


def path_of(kind: Shelf, name: str, library: Path | None = None, beside: Path | None = None) -> Path | None:
    """The file of that name or path; None where there is none."""
    try:
        return find(kind, name, library, beside)
    except (NotFoundError, OSError, ValueError):
        return None


def home(kind: Shelf, library: Path | None = None) -> Path:
    """The folder in which names are sought first: the user's, if there is one."""
    return next(_folders(kind, library))


def check(folder: Path) -> None:
    """Refuse a library that is not there, or holds nothing for us: names would be those of the shelf, in silence."""
    try:
        if any((folder / kind).is_dir() for kind in INSIDE) or any(folder.glob("*.yaml")):
            return
        there, beside = folder.is_dir(), [path.name for path in islice(folder.parent.iterdir(), MOST) if path.is_dir()]
    except (OSError, ValueError):
        there, beside = False, []
    if there:
        hint = "put templates into templates/, label words into verbalizers/, or both beside each other"
        raise NotFoundError("the library has no template and no verbalizer", where=str(folder), hint=hint)
    near = [str(folder.parent / name) for name in get_close_matches(folder.name, beside, n=1)]
    hint = f"did you mean {near[0]!r}?" if near else "check the path"
    raise NotFoundError("no such folder for a library", where=str(folder), hint=hint)


def is_path(name: str) -> bool:
    """Whether a file is meant, rather than a name to be sought."""
    return "/" in name or "\\" in name or name.endswith(SUFFIXES)


def find(kind: Shelf, name: str, library: Path | None = None, beside: Path | None = None) -> Path:
    """The file of a template, verbalizer or suite; a relative path is taken from the folder `beside`, if given."""
    if is_path(name):
        path = (beside or Path()) / (Path.home() / name[2:] if name.startswith("~/") else name)
        if is_there(path) if beside is None else _is_yaml(path):
            return path
        if _is_stream(path):
            raise NotFoundError(f"{name!r} is no file on a disk", hint="write it into one first")
        hint = "check the path, or give a name" + ("" if kind == "suites" else f": {kind} list")
        raise NotFoundError(f"no file {name!r}", hint=hint)
    for folder in _folders(kind, library):
        if _is_yaml(folder / f"{name}.yaml"):
            return folder / f"{name}.yaml"
    hint = did_you_mean(name, names(kind, library)) + ("" if kind == "suites" else f" see: promptshot {kind} list")
    raise NotFoundError(f"no {kind[:-1]} named {name!r}", hint=hint)


def template(name: str, library: Path | None = None) -> Template:
    """The template of that name or path."""
    return Template.load(find("templates", name, library))


def verbalizer(name: str, library: Path | None = None) -> Verbalizer:
    """The verbalizer of that name or path."""
    return Verbalizer.load(find("verbalizers", name, library))


def verbalizer_of(template: Template, library: Path | None = None) -> Verbalizer:
    """The verbalizer a template names, holds, or implies (`words_from`, `ordered`)."""
    keys = template.spec
    if keys.words_from:
        return RowWords.of_field(template.name, keys.words_from)
    if isinstance(keys.verbalizer, dict):
        found = Verbalizer.parse(keys.verbalizer, f"{template.where} verbalizer")
    elif keys.verbalizer:
        beside = template.path.parent if template.path else None
        path = find("verbalizers", keys.verbalizer, library, beside)
        refuse_other(path, "verbalizers", template.where)
        found = Verbalizer.load(path)
    elif keys.ordered:
        return of_ordered(keys.ordered, template.name)
    else:
        raise TemplateError(
            "the template names no verbalizer", where=template.where, hint="add a line 'verbalizer: NAME'"
        )
    if keys.ordered and set(keys.ordered) != set(found.names):
        raise TemplateError(
            f"ordered lists {', '.join(keys.ordered)}, the verbalizer has {', '.join(found.names)}",
            where=template.where,
            hint="list the same labels",
        )
    return found


def refuse_other(path: Path, kind: Shelf, where: str) -> None:
    """Refuse a file that is no template, or no verbalizer, and that a file of a stranger names.

    Whose file it is nobody knows, and so nothing of what it says is told, not even its keys.
    """
    try:
        data = load_source(path).data
    except InputError:
        return  # whoever reads it will say what is wrong, which is nothing that it says
    if not is_some(data, TemplateSpec if kind == "templates" else VerbalizerSpec):
        hint = f"to see why: promptshot {kind} lint {path}"
        raise NotFoundError(f"no {kind[:-1]} can be read from {path}", where=where, hint=hint)


def _is_stream(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder."""
    try:
        return path.exists() and not path.is_dir() and not path.is_file()
    except (OSError, ValueError):
        return False


def _is_yaml(path: Path) -> bool:
    """Whether there is such a file and it is named as YAML, also where a link leads to it: no /etc/passwd."""
    return is_there(path) and path.suffix in SUFFIXES and path.resolve().suffix in SUFFIXES


def _is_rather(path: Path, kind: Shelf) -> bool:
    """Whether a file is a verbalizer where templates are sought, or the other way round."""
    template, verbalizer = (TemplateSpec, VerbalizerSpec) if kind == "templates" else (VerbalizerSpec, TemplateSpec)
    try:
        return is_rather(load_source(path).data, verbalizer, template)
    except InputError:
        return False  # whoever reads it will say what is wrong


def _folders(kind: Shelf, library: Path | None) -> Iterator[Path]:
    """Where names are sought: in the user's library (its own folder of that kind, or itself), then here. Suites have
    a folder of their own, or there are none."""
    if library is not None:
        check(library)
        inside = library / kind
        if inside.is_dir() or kind != "suites":
            yield inside if inside.is_dir() else library
    yield shelf.folder(kind)
