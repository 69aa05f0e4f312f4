"""The bytes of a file as UTF-8 lines, whatever it is packed or encoded in; and what is no file of rows at all."""

from __future__ import annotations

import codecs
import contextlib
import functools
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from promptshot import files
from promptshot.errors import InputError, OptionError, did_you_mean
from promptshot.rows import remote
from promptshot.rows.once import Once

GZIP = b"\x1f\x8b"  # how a gzip file begins
HEAD = 64  # bytes that tell what a file is
PIECE = 64 << 10  # bytes read at once where lines do not matter
PACKED = 16 << 10  # bytes unpacked at once; a thousand times as many may come out
LONGEST = 64 << 20  # bytes of a line or cell; beyond, it is no file of rows, and memory would run out
SAMPLE = 256 << 10  # bytes from which an encoding is guessed
AUTO = "auto"
UNREADABLE = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Reading:
    """How files of rows are read, where they do not say it themselves."""

    encoding: str | None = None  # None: UTF-8; a name that Python knows; or "auto", guessed for each file
    header: bool = True  # whether the first line of a table names its columns
    lines: bool = False  # whether each line is a text, whatever it looks like

    def __post_init__(self) -> None:
        if self.encoding not in (None, AUTO) and not _is_encoding(str(self.encoding)):
            hint = did_you_mean(str(self.encoding), ("utf-8", "utf-16", "gb18030", "big5", "cp1252", "latin-1", AUTO))
            raise OptionError(f"no encoding {self.encoding!r}", hint=hint)

    def as_dict(self) -> dict[str, Any]:
        """What was said, as plain data."""
        said: dict[str, Any] = {"encoding": self.encoding} if self.encoding else {}
        said |= {} if self.header else {"header": False}
        return {**said, "lines": True} if self.lines else said


PLAIN = Reading()


def _is_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False


# ------------------------------------------------------------------ opening


@dataclass(frozen=True)
class Part:
    """How much of a file was read: bytes, and their SHA-256."""

    path: str
    bytes: int
    sha256: str


class Seen:
    """What is read of files on a disk, hashed as it is read; `marked` is whether the first began with a byte order
    mark, also where it is a pipe."""

    def __init__(self) -> None:
        self.marked = False
        self._any = False
        self._done: list[Part] = []
        self._open: _Hashed | None = None
        self._changed: list[str] = []

    def watch(self, path: str) -> io.BufferedReader:
        """A file to be read from its beginning; raises OSError and ValueError."""
        self._put_by()
        self._open = _Hashed(path)
        return io.BufferedReader(self._open, PIECE)

    def begins(self, head: bytes) -> None:
        """So the bytes of the next file begin, unzipped."""
        self.marked |= not self._any and any(head.startswith(mark) for mark, _ in MARKS)
        self._any = True

    @property
    def parts(self) -> tuple[Part, ...]:
        """The files in the order in which they were opened."""
        return (*self._done, self._open.part) if self._open else tuple(self._done)

    @property
    def changed(self) -> list[str]:
        """The files that were written to while they were read."""
        return [*self._changed, *([self._open.path] if self._open and self._open.changed else [])]

    def _put_by(self) -> None:
        if self._open:
            self._done, self._changed, self._open = [*self.parts], self.changed, None


class _Hashed(io.RawIOBase):
    """A file on a disk whose bytes are hashed as they are read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = io.FileIO(path)
        self._hash, self._bytes = hashlib.sha256(), 0
        self._before = self._after = self._state()

    @property
    def part(self) -> Part:
        return Part(self.path, self._bytes, self._hash.hexdigest())

    @property
    def changed(self) -> bool:
        """Whether it was written to while it was open."""
        return (self._after if self._file.closed else self._state()) != self._before

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self._hash.update(memoryview(buffer)[:count])
        self._bytes += count
        return count

    def close(self) -> None:
        if not self._file.closed:
            self._after = self._state()
            self._file.close()
        super().close()


class Stream(io.BufferedReader):
    """The bytes of a file up to its end or a tear; `torn` says what it was, once all that stands before it is read.

    An error that is raised in the middle of a read would take along what that read had got so far.
    """

    def __init__(self, reader: io.BufferedReader | io.RawIOBase, before: Stream | None = None) -> None:
        """`before` is the stream that the reader takes its bytes from, whose tear is the first."""
        self._until, self._before = _Until(reader), before
        super().__init__(self._until, PIECE)

    @property
    def zipped(self) -> bool:
        """Whether its bytes are unpacked from others."""
        return self._until.unpacks

    @property
    def torn(self) -> Exception | None:
        """What ended the file too early, if anything did."""
        return (self._before and self._before.torn) or self._until.problem


class _Until(io.RawIOBase):
    """The bytes of another stream as they come; where it fails, it ends, and what failed is kept."""

    def __init__(self, reader: io.BufferedReader | io.RawIOBase) -> None:
        self._reader = reader
        self._read: Callable[[Any], int | None] = getattr(reader, "readinto1", None) or reader.readinto
        self.unpacks = isinstance(reader, _Unzipped)
        self.problem: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.problem is None:
            try:
                return self._read(buffer)
            except (*UNREADABLE, InputError) as problem:
                self.problem = problem
        return 0

    def close(self) -> None:
        self._reader.close()
        super().close()


def opened(path: str, encoding: str | None = None, seen: Seen | None = None) -> Stream:
    """A file (`-` is standard input), unzipped and as UTF-8; bytes that the encoding does not know stay as they are.

    What is read of a file on a disk is told to `seen`. Raises InputError for what cannot be opened or is no file of
    rows, and the errors of opening (UNREADABLE).
    """
    name = "<stdin>" if path == "-" else path
    reader = _raw(path, seen)
    head = reader.peek(HEAD)
    if len(head) < HEAD:  # a short file, or a pipe that is slow
        head = _filled(reader, HEAD)
        reader = io.BufferedReader(_Chained(head, reader))
    refuse_foreign(head, name)
    stream = Stream(_Unzipped(reader) if head.startswith(GZIP) else reader)
    if seen:
        seen.begins(stream.peek(4))
    if encoding is None or head.startswith((b"PAR1", b"ARROW1")):
        return stream
    reader = stream
    if encoding == AUTO:
        head = _filled(stream, SAMPLE)
        encoding = likely_encoding(head)
        reader = io.BufferedReader(_Chained(head, stream))
    return Stream(_Recoded(reader, encoding, name), stream)


def marked(path: str) -> bool:
    """Whether a file begins with a byte order mark; what can be read only once must have been kept."""
    seen = Seen()
    with contextlib.suppress(*UNREADABLE, InputError), opened(path, seen=seen):
        pass
    return seen.marked


def _raw(path: str, seen: Seen | None) -> io.BufferedReader:
    if isinstance(path, Once):
        return io.BufferedReader(io.BytesIO(path.said))
    if path == "-" and (sys.stdin is None or sys.stdin.closed):
        raise InputError("standard input is closed", where="<stdin>", hint="it can be read only once")
    if files.is_remote(path):
        return remote.opened(path)
    try:
        if seen and files.is_file(path):
            return seen.watch(path)
        raw: Any = sys.stdin.buffer if path == "-" else open(path, "rb")
    except ValueError:  # a NUL, or characters that no file system can hold
        raise InputError("no file can have this name", where=path, hint="check the path") from None
    return raw if hasattr(raw, "peek") else io.BufferedReader(raw)


def _filled(reader: io.BufferedReader, most: int) -> bytes:
    """The next bytes, up to so many, however slowly they come."""
    found = b""
    while len(found) < most and (more := reader.read1(most - len(found))):
        found += more
    return found


class _Chained(io.RawIOBase):
    """Bytes that were read already, and what comes behind them."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._head.readinto(buffer) or self._rest.readinto1(buffer)

    def close(self) -> None:
        self._rest.close()
        super().close()


T = TypeVar("T")


def _before_fault(decode: Callable[[bytes], T], data: bytes, faults: type[Exception]) -> list[T]:
    """What a decoder makes of bytes one by one, up to the one that it cannot take."""
    found: list[T] = []
    with contextlib.suppress(faults):
        found.extend(decode(data[at : at + 1]) for at in range(len(data)))
    return found


class _Unzipped(io.RawIOBase):
    """What a gzip file holds, member behind member. All that can be had of a torn one comes out before the error."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self._reader = reader
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._packed = b""  # read, and not yet unpacked
        self._waiting = io.BytesIO()
        self._problem: EOFError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not (count := self._waiting.readinto(buffer)):
            if self._problem:
                raise self._problem
            self._packed = self._packed or self._reader.read1(PACKED)
            if self._member.eof:
                self._packed = self._packed.lstrip(b"\0")  # padding, as on tapes
                if self._packed:
                    self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
                elif not self._reader.peek(1):
                    return 0
            elif not self._packed:
                raise EOFError("its gzip data ends too early")
            else:
                self._waiting = io.BytesIO(self._unpacked())
        return count

    def _unpacked(self) -> bytes:
        before, data = self._member.copy(), self._packed
        try:
            said = self._member.decompress(data)
        except zlib.error:
            self._problem = EOFError("its gzip data is damaged, or something else stands behind it")
            return b"".join(_before_fault(before.decompress, data, zlib.error))
        self._packed = self._member.unused_data
        return said

    def close(self) -> None:
        self._reader.close()
        super().close()


class _Recoded(io.RawIOBase):
    """Text of some encoding as UTF-8. A byte that the encoding does not know goes through as it is, and so will be
    found to be no UTF-8 in its own row; UTF-16 and UTF-32 have no such bytes, and end there."""

    def __init__(self, reader: io.BufferedReader, encoding: str, name: str) -> None:
        self._reader, self._encoding, self._name = reader, encoding, name
        self._wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
        self._decoder = codecs.getincrementaldecoder(encoding)("strict" if self._wide else "surrogateescape")
        self._waiting = io.BytesIO()
        self._done = False
        self._problem: InputError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not (count := self._waiting.readinto(buffer)):
            if self._problem:
                raise self._problem
            if self._done:
                break
            self._waiting = io.BytesIO(self._said(self._reader.read1(PIECE)))
        return count

    def _said(self, taken: bytes) -> bytes:
        """Some more of the text as UTF-8; of what cannot be decoded, what stands before it."""
        self._done = not taken
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(taken, final=self._done)
        except UnicodeError:
            hint = "name another --encoding, or save it as UTF-8"
            self._problem = InputError(f"not {self._encoding}", where=self._name, hint=hint)
            self._decoder.setstate(state)
            text = "".join(_before_fault(self._decoder.decode, taken, UnicodeError))
        try:
            return text.encode("utf-8", "surrogatepass" if self._wide else "surrogateescape")
        except UnicodeEncodeError:  # half a character: its row will be found to be no UTF-8
            return text.encode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._reader.close()
        super().close()


def pieces(stream: io.BufferedReader, most: int) -> Iterator[bytes]:
    """The lines of a stream, in pieces where they are longer than `most` bytes."""
    return iter(functools.partial(stream.readline, most), b"")


def lines_by_cr(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a file whose lines end with CR alone, as old Macs and some spreadsheets write them."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk.replace(b"\r", b"\n")).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if left:
        yield left


def shown(lines: Iterable[bytes]) -> str:
    """Lines as they stand in the file; bytes that are no UTF-8 as escapes."""
    return b"".join(lines).decode("utf-8", "backslashreplace").rstrip("\r\n")


def decoding_error(raw: bytes) -> UnicodeDecodeError | None:
    """Why bytes are no UTF-8, if so."""
    try:
        raw.decode()
    except UnicodeDecodeError as problem:
        return problem
    return None


# ------------------------------------------------------------------ what is no file of rows

_UNPACK = "unpack it first"
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive, as Excel workbooks are", "in a spreadsheet: save as 'CSV UTF-8'; else unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save it as 'CSV UTF-8'"),
    (b"GGUF", "a model (GGUF), not rows", "give a file of rows"),
    (b"\xfd7zXZ\0", "packed with xz", f"{_UNPACK}: xz -d"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", f"{_UNPACK}: zstd -d"),
    (b"BZh", "packed with bzip2", f"{_UNPACK}: bzip2 -d"),
    (b"7z\xbc\xaf", "packed with 7-Zip", _UNPACK),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"%PDF-", "a PDF", "give a file of rows"),
    (b"\x93NUMPY", "a NumPy array", "write the rows as JSON lines"),
    (b"\x80\x02", "a Python pickle", "write the rows as JSON lines"),
    (b"\x80\x03", "a Python pickle", "write the rows as JSON lines"),
    (b"\x80\x04", "a Python pickle", "write the rows as JSON lines"),
    (b"\x80\x05", "a Python pickle", "write the rows as JSON lines"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch it: git lfs pull"),
)
_HTML = (b"<!doctype html", b"<html", b"<?xml")


def refuse_foreign(head: bytes, name: str) -> None:
    """Say plainly what a file is that holds no rows; raises InputError."""
    for magic, what, hint in _FOREIGN:
        if head.startswith(magic):
            raise InputError(f"this is {what}", where=name, hint=hint)
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:20].lower().startswith(_HTML):
        raise InputError("this is a web page or XML", where=name, hint="was it downloaded as a page? fetch the file")


def refuse_wide(head: bytes, name: str) -> None:
    """Say that a file is UTF-16 or UTF-32, in place of a complaint about each row; raises InputError."""
    for mark, encoding in MARKS:
        if encoding != "utf-8-sig" and head.startswith(mark):
            what, hint = f"this is {encoding.upper()}", f"save it as UTF-8, or say --encoding {encoding}"
            raise InputError(what, where=name, hint=hint)


# How files of an encoding begin; UTF-32 before UTF-16, which begins alike.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


# ------------------------------------------------------------------ encodings

COMMON = 0.8  # of the signs, at least, where most of them must be of one kind


def likely_encoding(data: bytes) -> str:
    """The encoding that bytes are most likely in, as Python calls it; `utf-8` where they can be that."""
    data = data[:SAMPLE]
    for mark, name in MARKS:
        if data.startswith(mark):
            return name
    if zeros := data.count(0):
        low, high = data[1::2].count(0), data[::2].count(0)
        if zeros > len(data) / 64 and max(low, high) > 8 * min(low, high):
            return "utf-16-le" if low > high else "utf-16-be"
    broken = decoding_error(data)
    if broken is None or (broken.reason == "unexpected end of data" and broken.start > len(data) - 4):
        return "utf-8"
    if _mostly_utf8(data):  # some of its rows are not
        return "utf-8"
    if _chinese(data):
        return "gb18030"
    return "cp1252" if _western(data) else _by_statistics(data)


def _mostly_utf8(data: bytes) -> bool:
    """Whether most of what is no ASCII is UTF-8."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    return sum(not sign.isascii() for sign in text) - broken > 2 * broken


def _western(data: bytes) -> bool:
    """Whether letters with accents and typographic signs stand here and there among plain ones."""
    if not _decodes(data, "cp1252"):
        return False
    letters = [sign for sign in data.decode("cp1252") if sign.isalpha()]
    return sum(sign.isascii() for sign in letters) > COMMON * len(letters)


def _chinese(data: bytes) -> bool:
    """Whether the pairs of high bytes are those of common Chinese characters and their punctuation, as in GB 2312."""
    pairs = common = at = 0
    while at < len(data):
        if data[at] < 0x80:
            at += 1
            continue
        lead, trail = data[at], data[at + 1] if at + 1 < len(data) else 0xA1
        pairs += 1
        common += (0xB0 <= lead <= 0xD7 or 0xA1 <= lead <= 0xA3) and trail >= 0xA1
        at += 2
    return pairs > 0 and common >= COMMON * pairs


def _by_statistics(data: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    name = best.encoding if best else "cp1252"
    # Of the many code pages that spell western letters alike, the one that everybody has.
    western = name in ("ascii", "utf_8") or name.startswith(("cp125", "latin", "iso8859", "mac", "cp437", "cp85"))
    return (
        "cp1252"
        if western and _decodes(data, "cp1252") and not _cyrillic_or_greek(data, name)
        else name.replace("_", "-")
    )


def _cyrillic_or_greek(data: bytes, name: str) -> bool:
    letters = [c for c in data.decode(name, "ignore") if c.isalpha() and not c.isascii()]
    return sum("\u0370" <= c <= "\u05ff" for c in letters) > len(letters) / 2


def _decodes(data: bytes, name: str) -> bool:
    try:
        data.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def encoding_of(path: str) -> str:
    """The likeliest encoding of a file; empty where it cannot be read again."""
    try:
        if not Path(path).is_file():
            return ""
        with opened(path) as stream:
            return likely_encoding(_filled(stream, SAMPLE))
    except (*UNREADABLE, InputError):
        return ""


def encoding_advice(path: str) -> str:
    """What to try with a file whose bytes are no UTF-8; empty where they are."""
    name = encoding_of(path)
    if not name or name.startswith("utf-8"):
        return ""
    return f"it looks like {name}: say --encoding {name}, or save it as UTF-8"
