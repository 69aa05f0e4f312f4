"""Where the files of a run lie: output, rejects, record, summary, and in which form they are written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptshot import files
from promptshot.errors import InputError, OptionError
from promptshot.files import Named
from promptshot.rows.writer import Form, refuse_no_json, refuse_suffix
from promptshot.runs import wrong


@dataclass(frozen=True)
class Outputs:
    """Where results go, and in which form; rejects and record lie beside the output where nothing else is said."""

    output: str | None = "-"  # None: nowhere
    summary: str | None = None
    record: str | None = None
    rejects: str | None = None
    overwrite: bool = False
    resume: bool = True
    format: str | None = None  # of the output, where its name does not tell: csv, tsv or jsonl
    bom: bool = False  # whether a table begins with a byte order mark, also where the input does not
    fields: tuple[str, ...] = ()  # what goes out (see `Shape`); all
    scores: bool = True
    calibration_scores: bool = True  # whether the record keeps what words score where a row says nothing
    errors: str | None = None  # where the rows go that went wrong
    surest: int = 0  # how many of these are kept to be shown

    @property
    def kept_wrong(self) -> int:
        """How many of the rows that go wrong are kept."""
        return self.surest if self.errors is None else max(self.surest, wrong.MOST)

    @property
    def errors_form(self) -> Form:
        """How these are written."""
        return Form.of(self.errors or files.STREAM, bom=self.bom)

    @property
    def form(self) -> Form:
        """How the output is written; raises OptionError where what was said of it does not go together."""
        return Form.of(self.output or files.STREAM, self.format, self.bom)

    def identity(self, marked: bool) -> dict[str, Any]:
        """What decides the bytes of the output beside the recipe, where that is not the usual; `marked` says whether
        the input begins with a byte order mark."""
        form, usual = self.form, Form.of(self.output or files.STREAM)
        found: dict[str, Any] = {"--format": form.kind} if form.kind != usual.kind else {}
        found |= {"--bom": True} if form.bom and not marked else {}
        found |= {"--fields": list(self.fields)} if self.fields else {}
        return found | ({} if self.scores else {"--no-scores": True})

    @property
    def record_path(self) -> str | None:
        return self.record or self._beside("run.json")

    @property
    def rejects_path(self) -> str | None:
        return self.rejects or self._beside("rejects.jsonl")

    @property
    def output_place(self) -> str:
        """What a record says of its output; nothing where it lies beside that."""
        return (
            self._from_record(self.output) if self.record and not _same(self.record, f"{self.output}.run.json") else ""
        )

    @property
    def rejects_place(self) -> str:
        """What is the same for two names of one file of rejected rows; nothing where it lies beside the output."""
        other = self.rejects and not _same(self.rejects, f"{self.output}.rejects.jsonl")
        return self._from_record(self.rejects) if other else ""

    def _from_record(self, path: str | None) -> str:
        """Where a file is as seen from the record: what is moved together stays together."""
        folder = os.path.dirname(os.path.abspath(self.record_path or "."))
        return os.path.relpath(os.path.abspath(path or "."), folder)

    @property
    def spool_path(self) -> str | None:
        """Where scores wait for the whole run's decision."""
        return self._beside("spool")

    @property
    def on_disk(self) -> bool:
        """Whether the output is a file that can be gone on with: no stream, pipe or device."""
        return self.output is not None and files.is_file(self.output)

    def _beside(self, ending: str) -> str | None:
        return f"{self.output}.{ending}" if self.on_disk else None

    def check(self, read: Sequence[Named], more: Sequence[Named] = ()) -> None:
        """Refuse files that meet one another, `more` that are written, or what is read, or that cannot be written:
        before any model is loaded."""
        if self.record and not files.is_file(self.record) and self.record != os.devnull:
            raise OptionError("--record is no file", where=self.record, hint="it is written again and again")
        said = {"--output": self.output, "--summary": self.summary, "--record": self.record, "--rejects": self.rejects}
        said["--errors"] = self.errors
        beside = {
            "the run record": None if self.record else self.record_path,
            "the file of rejected rows": None if self.rejects else self.rejects_path,
            "the file of waiting scores": self.spool_path,
        }
        for by, path in beside.items():
            if path and not files.is_file(path):
                raise InputError(f"is no file, and {by} would stand there", where=path, hint="name another --output")
        named = [Named(by, path) for by, path in {**said, **beside}.items() if path is not None]
        files.check([*named, *more], read)
        self._check_forms()

    def _check_forms(self) -> None:
        """Refuse files that would not hold what their names say; raises OptionError."""
        refuse_suffix(self.output, self.format)
        refuse_suffix(self.rejects)
        refuse_suffix(self.errors)
        refuse_no_json("--summary", self.summary)
        refuse_no_json("--record", self.record)
        marked = self.form.bom
        if self.bom and not marked:
            raise OptionError("--bom is for tables", hint="write .csv or .tsv, or leave it out")


def _same(one: str, other: str) -> bool:
    return os.path.abspath(one) == os.path.abspath(other)
