"""Everything that promptshot can complain about, in one tree.

    PromptshotError
    ├── InputError        a file that cannot be read or written as a whole
    ├── RowError          one row that cannot be used; the run goes on without it
    ├── TemplateError     a template that says something impossible
    ├── VerbalizerError   label words that cannot be told apart or are not known
    ├── NotFoundError     no template, verbalizer or model of that name
    ├── ModelError        a checkpoint that cannot do what the scorer needs
    │   └── HeadError     it lacks the head: its family has none, or its weights are not there
    └── OptionError       options that do not go together

Every error says what is wrong, where, and one thing to try, on one line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Packages whose assertions are about a checkpoint or a text, and no mistake of ours.
LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "sentencepiece", "jieba")
# What installs a package, where it is not its own name; transformers turns to tiktoken for want of the other two.
_INSTALLS = {
    **dict.fromkeys(("jieba", "sentencepiece"), "'promptshot[cpm]'"),
    **dict.fromkeys(("gguf", "accelerate"), "'promptshot[gguf]'"),
    "pyarrow": "'promptshot[parquet]'",
    "ray": "'promptshot[ray]'",
    "tiktoken": "sentencepiece protobuf tiktoken",
    "yaml": "pyyaml",
}
LONGEST = 1000  # characters; whatever a file says, a complaint about it stays a line


class PromptshotError(Exception):
    """What went wrong, where (file:line or key), and one thing to try; `str()` is a single line."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = printable(shortened(what, LONGEST))
        self.where = printable(shortened(where, LONGEST))
        self.hint = printable(shortened(hint, LONGEST))
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"; {self.hint}" if self.hint else ""
        return f"{place}{self.what}{advice}"


class InputError(PromptshotError):
    """A file that cannot be read or written as a whole."""


class RowError(PromptshotError):
    """One row that cannot be used."""


class TemplateError(PromptshotError):
    """A template that says something impossible."""


class VerbalizerError(PromptshotError):
    """Label words that cannot be told apart, or are not known to the tokenizer."""


class NotFoundError(PromptshotError):
    """No template, verbalizer or model of that name."""


class ModelError(PromptshotError):
    """A checkpoint that cannot do what the scorer needs."""


class HeadError(ModelError):
    """A checkpoint without the head of a scorer: `lost` are its tensors, () where its family has no such head."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", lost: tuple[str, ...] = ()) -> None:
        self.lost = tuple(map(printable, lost))
        super().__init__(what, where=where, hint=hint)


class OptionError(PromptshotError):
    """Options that do not go together."""


def unreadable(path: str, problem: Exception | str, hint: str = "check the path") -> InputError:
    """Says that a file cannot be read, and why."""
    return InputError(not_read(problem), where=path, hint=hint)


def unwritable(path: str, problem: Exception | str, hint: str = "check the path and the disk") -> InputError:
    """Says that a file cannot be written, and why."""
    return InputError(f"cannot be written ({reason_of(problem)})", where=path, hint=hint)


def not_read(problem: Exception | str) -> str:
    """That something cannot be read, and why."""
    return f"cannot be read ({reason_of(problem)})"


def reason_of(problem: Exception | str) -> str:
    """What the system says, without number and name."""
    return getattr(problem, "strerror", None) or str(problem)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'did you mean X?' for the nearest known name, else the list of what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(shortened(name), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there is: {shortlist(names)}" if names else ""


def shortlist(names: Iterable[str], most: int = 12) -> str:
    """Names with commas between them, long ones shortened; beyond `most` only their number."""
    listed = list(names)
    rest = len(listed) - most
    return ", ".join(map(shortened, listed[:most])) + (f" and {rest} more" if rest > 0 else "")


def many(count: int, one: str, several: str = "") -> str:
    """A number with its noun: many(1, "row") is `1 row`, many(2, "row was", "rows were") is `2 rows were`."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def with_article(name: str) -> str:
    """A name with `a` or `an` before it, as it is read: an albert, a eurobert, an xlm, a umt5."""
    return f"{'an' if re.match('(?!eu)[aeio]|x', name.lower()) else 'a'} {name}"


def shortened(text: str, most: int = 80) -> str:
    """The text, or its beginning and a sign that there is more."""
    return text if len(text) <= most else text[: most - 1] + "…"


def told(problem: BaseException, most: int = 200) -> str:
    """What an exception of a library says, on one line: its kind, and the first line of its text."""
    said = str(problem).strip().splitlines()[:1]
    return printable(shortened(": ".join([type(problem).__name__, *said]), most))


def lacking(problem: BaseException) -> str:
    """The package for want of which an import failed, also where a library says so in words of its own; else empty."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and cause.name and "." not in cause.name:
            return cause.name if isinstance(problem, ImportError) or cause.name in str(problem) else ""
        cause = cause.__cause__ or cause.__context__
    return ""


def install(package: str) -> str:
    """The command that installs a package."""
    return f"pip install {_INSTALLS.get(package, package)}"


def surfaces(problem: BaseException) -> bool:
    """Whether an exception is more than the failure of a library at some row: our own mistake, or a wish to stop."""
    if isinstance(problem, PromptshotError):
        return True
    if isinstance(problem, AssertionError):
        return _raised_in(problem) not in LIBRARIES
    panic = type(problem).__name__ == "PanicException"  # of a library in Rust; to Python it is no Exception
    return not (isinstance(problem, (Exception, SystemExit)) or panic)


def _raised_in(problem: BaseException) -> str:
    """The package whose code raised an exception."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def fault_of(text: str) -> str:
    """What keeps a string from being Unicode text that tokenizers take; empty where nothing does."""
    if "\0" in text:
        return "a NUL character"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as problem:  # half of a surrogate pair: legal in JSON, but no character
            return f"half a character (\\u{ord(text[problem.start]):04x})"
    return ""


def printable(text: str) -> str:
    """The text on one line; what a terminal would obey rather than show (ESC, C1, bidi signs) as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
