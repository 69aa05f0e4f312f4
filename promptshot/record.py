"""The run record: what was run, on what, and how far it got; here is its one reader and its one writer.

It is a file of a stranger like any other: whatever it says has the type that it should have, or is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
)

from promptshot import files
from promptshot.errors import InputError
from promptshot.streams import Part
from promptshot.writer import Place

LARGEST = 64 << 20  # bytes; of each of a hundred thousand input files it may tell how far it was read
Count = Annotated[StrictInt, Field(ge=0)]
AFRESH = "use --overwrite to start afresh"


def _whole(value: Any) -> Any:
    """Of what says how far a file goes nothing may lack: it would be taken for the beginning."""
    said = {*value} if isinstance(value, dict) else set()
    if said not in ({*Place.__dataclass_fields__}, {*Mark.__dataclass_fields__}):
        raise ValueError("not whole")
    return value


Whole = BeforeValidator(_whole)


@dataclass(frozen=True)
class Mark:
    """The end of a whole window: the rows read so far, what was read for them, the files up to there, the counts."""

    rows: Count = 0
    output: Annotated[Place, Whole] = field(default_factory=Place)
    rejects: Annotated[Place, Whole] = field(default_factory=Place)
    counts: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Part, ...] = ()


Label = StrictStr
Counted = list[tuple[Label, Count]]


class _Tally(BaseModel):
    confusion: list[tuple[Label, Label, Count]]
    predictions: Counted
    unknown_gold: Counted
    rejected: Count
    chance_sum: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Reject(BaseModel):
    source: StrictStr
    reason: StrictStr
    raw: StrictStr
    key: Count = 0


class Counts(BaseModel):
    """What a record must say of the rows that were counted."""

    tally: _Tally
    rejects: list[_Reject]


class Record(BaseModel):
    """A run record. `files` says what else is the run's own, rejects and spool, and where ("": beside the output); that
    is compared with names, and never a name itself."""

    model_config = ConfigDict(extra="allow")

    fingerprint: StrictStr
    identity: dict[str, Any]
    complete: StrictBool
    limit: StrictInt | None
    progress: Annotated[Mark, Whole]
    output: StrictStr = ""  # where that is, if the record does not lie beside it
    nodes: dict[str, Any] = {}  # device and inode of the files that are written
    files: dict[str, Any] = {}
    summaries: list[StrictStr] = []  # the SHA-256 of each summary that the run wrote
    ends: dict[str, Annotated[Place, Whole]] | None = None  # how far its files go; None as long as it goes on
    rows_read: Count | None = None
    counts: dict[str, Any] | None = None
    inputs: list[Part] = []
    machine: dict[str, Any] = {}


def read(path: str) -> Record | None:
    """The record of that name; None where there is none. Raises InputError for what is none of ours."""
    text = said(path)
    if not text:
        return None
    try:
        plain = json.loads(text)
        found = Record.model_validate(plain)
    except (ValueError, RecursionError, ValidationError):
        raise InputError("not a run record of ours", where=path, hint=AFRESH) from None
    if plain.pop("checksum", None) != checksum(plain):
        raise InputError("a run record that has been changed since it was written", where=path, hint=AFRESH)
    return found


def checksum(plain: Mapping[str, Any]) -> str:
    """What tells that somebody has changed a record; it is no signature."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def written(plain: Mapping[str, Any]) -> str:
    """The text of a record, with its checksum."""
    plain = json.loads(json.dumps(plain))
    return as_json({**plain, "checksum": checksum(plain)})


def said(path: str) -> str:
    """What stands in a record; nothing where there is no such file. Raises InputError where it cannot be read."""
    if not files.is_file(path):
        return ""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return ""
    except OSError as problem:
        raise InputError(f"cannot be read ({problem.strerror})", where=path, hint="check the file") from None
    return data[:LARGEST].decode("utf-8", "replace")


def as_json(value: Mapping[str, Any]) -> str:
    """Plain data as the text of a JSON file."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def of_mark(mark: Mark) -> dict[str, Any]:
    """A mark as plain data."""
    return asdict(mark)


_PARTS = TypeAdapter(list[Part])


def parts(plain: Any) -> list[Part]:
    """What was read of files, from plain data; none where it says something else."""
    try:
        return _PARTS.validate_python(plain)
    except ValidationError:
        return []
