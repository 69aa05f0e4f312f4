"""One rule for every file that a command writes: no two of its files meet, and nothing that exists is lost unasked.

Files are compared as files, through links and whatever they are called, before any of them is opened. What exists is
replaced only by the run that wrote it, or with --overwrite, and then by a new file that is moved into its place: a
hard link to the old one keeps what it says. Links, devices and the system's own files are never replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptshot import standard
from promptshot.errors import InputError, OptionError, unwritable

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

STREAM, ERRORS = "-", "/dev/stderr"  # standard input or output, standard error
BLOCK = 1 << 20
LOOKS, LOOK = 4, 0.05  # how often and how long (seconds) another process may be looking at a file
OVERWRITE = "use --overwrite to replace it, or write to another file"
SYSTEM = ("/proc/", "/sys/", "/dev/")  # what is a file there by name only, but for shared memory
_DESCRIPTOR = re.compile(r"/dev/(?:fd|std)|/proc/(?:self|thread-self|\d+)/fd/")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True)
class Named:
    """A file as a command names it: by which option or argument, and how."""

    by: str
    path: str


def check(written: Iterable[Named], read: Iterable[Named]) -> None:
    """Refuse files that meet, and those that cannot be written; nothing is opened.

    Raises OptionError where two that are written are one, InputError for one that is also read, that is no file, or
    whose folder is not there.
    """
    taken: dict[Any, Named] = {}
    if (key := _key(ERRORS, 2)) is not None and is_file_of(2):
        taken[key] = Named("standard error", ERRORS)
    for one in written:
        if not one.path:
            raise OptionError(f"{one.by} has no name", hint="is a variable of the shell empty?")
        _refuse_unwritable(one.path)
        key = _key(one.path, 1)
        if key is not None and key in taken and not (one.path == STREAM and taken[key].path == ERRORS):
            other = taken[key]
            what = "standard output" if one.path == other.path == STREAM else "the same file"
            where = "" if one.path == STREAM else one.path
            raise OptionError(f"{other.by} and {one.by} are {what}", where=where, hint="give each its own")
        taken[key] = one
    for one in read:
        key = _key(one.path, 0)
        if key is not None and key in taken:
            where = taken[key].path if taken[key].path != STREAM else standard.OUTPUT
            raise InputError(f"this is {_read_as(one)}", where=where, hint="write to another file")


def _read_as(named: Named) -> str:
    """What a file is to a command that reads it."""
    if named.by.startswith("-"):
        return f"what {named.by} reads"
    return named.by if named.by.startswith("a file of") else "the input"


def descriptor(path: str) -> int | None:
    """The open file that a name such as `/dev/stdout` or `/dev/fd/3` stands for; None for all others.

    Links are followed one by one: what they lead to may be the name of a file again.
    """
    for _ in range(40):
        if path in _STANDARD:
            return _STANDARD[path]
        if _DESCRIPTOR.match(path):
            number = path.rpartition("/")[2]
            return int(number) if number.isdecimal() and len(number) < 10 else None
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        except (OSError, ValueError):
            return None
    return None


def is_file(path: str) -> bool:
    """Whether a name is that of a file on a disk, or of none yet: no stream, pipe or device."""
    if path == STREAM or descriptor(path) is not None or is_remote(path):
        return False
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False


def is_remote(path: str) -> bool:
    """Whether a name is an address on shared storage, as `s3://bucket/rows.jsonl`, and not that of a file here."""
    return _ADDRESS.match(path) is not None and not os.path.exists(path)


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.")


def is_file_of(number: int) -> bool:
    """Whether an open file is one on a disk."""
    try:
        return stat.S_ISREG(os.fstat(number).st_mode)
    except OSError:
        return False


def node(file: io.FileIO) -> list[int]:
    """What tells an open file from others as long as it is there: device and inode."""
    found = os.fstat(file.fileno())
    return [found.st_dev, found.st_ino]


def node_of(path: str) -> list[int] | None:
    """The same of a name; None where there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_dev, found.st_ino]


def same(one: str, other: str) -> bool:
    """Whether two names are of one file."""
    found = node_of(one)
    return found is not None and found == node_of(other)


def is_free(path: str) -> bool:
    """Whether nothing would be lost: no such file, or an empty one, or something that takes what is written."""
    if not is_file(path):
        return True
    try:
        return os.stat(path).st_size == 0
    except OSError:
        return True


def refuse_taken(path: str, hint: str = OVERWRITE) -> None:
    """Raise InputError where something would be lost."""
    if not is_free(path):
        raise taken(path, hint=hint)


def taken(path: str, more: str = "", hint: str = OVERWRITE) -> InputError:
    """Says that a file is there already, and what else is to be known of it."""
    return InputError(f"exists already{more}", where=path, hint=hint)


def refuse_in_use(path: str) -> None:
    """Raise InputError where another process is writing the file."""
    if fcntl is None or not is_file(path) or not os.path.exists(path):
        return
    with contextlib.suppress(FileNotFoundError):
        _locked(path).close()


Look = Callable[[], None]


def begin(path: str, replace: bool = False, look: Look | None = None) -> io.FileIO:
    """A new file that is this process's own until it is closed; or the stream, pipe or device of that name.

    What exists is looked at behind the lock, where `look` may raise: whoever came first keeps it. Raises InputError.
    """
    _refuse_unwritable(path)
    if (number := descriptor(path)) is not None:
        return _opened(lambda: os.dup(number), path)
    if not is_file(path):
        return _opened(lambda: os.open(path, os.O_WRONLY), path)
    while True:
        try:
            file, new = _locked(path, os.O_CREAT | os.O_EXCL), True
        except FileExistsError:
            try:
                file, new = _locked(path), False
            except FileNotFoundError:  # it went this moment
                continue
        return file if new else _emptied(file, path, replace, look)


def _emptied(file: io.FileIO, path: str, replace: bool, look: Look | None) -> io.FileIO:
    """A file that exists, where it is empty, or another in its place; raises InputError where it may not go."""
    try:
        if look:
            look()
        found = os.fstat(file.fileno())
        if found.st_size == 0 and found.st_nlink == 1:
            return file
        if found.st_size and not replace:
            raise taken(path)
        other = _replaced(path, found)
    except BaseException:
        file.close()
        raise
    file.close()
    return other


def lock_folder(path: str) -> int:
    """Keep others from writing into a folder until the number that comes back is closed; raises InputError."""
    with named(path):
        number = os.open(path, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        hint = "wait for it, or name another folder"
        raise InputError("another run is writing into this folder", where=path, hint=hint) from None
    except OSError:  # a file system without locks
        pass
    return number


def resume(path: str, size: int, digest: str, look: Look | None = None) -> tuple[io.FileIO, Any]:
    """A file of this run, locked, with the hash of its first `size` bytes, which must be `digest`.

    `look` is called behind the lock and may raise. Raises InputError.
    """
    hint = "use --overwrite to start afresh"
    try:
        file = _locked(path)
    except FileNotFoundError:
        raise InputError("is gone, though its run record tells of it", where=path, hint=hint) from None
    try:
        if look:
            look()
        if file.seek(0, os.SEEK_END) < size:
            raise InputError("is shorter than its run record says", where=path, hint=hint)
        file.seek(0)
        found = _hash(file, size)
        if found.hexdigest() != digest:
            raise InputError("has been changed since its run wrote it", where=path, hint=hint)
        old = os.fstat(file.fileno())
        if old.st_nlink > 1:  # what has another name as well stays as it is
            copy = _replaced(path, old, file)
            file.close()
            file = copy
    except BaseException:
        file.close()
        raise
    return file, found


def digest_of(path: str, size: int | None = None) -> str | None:
    """The SHA-256 of a file's first `size` bytes (default: all); None where it is no file or has fewer."""
    if not is_file(path):
        return None
    try:
        with open(path, "rb") as file:
            if size is not None and os.fstat(file.fileno()).st_size < size:
                return None
            return str(_hash(file, size).hexdigest())
    except OSError:
        return None


def still_there(path: str, file: io.FileIO) -> bool:
    """Whether the name still leads to the file that is open."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except OSError:
        return False


def put(path: str, text: str | bytes, replace: bool = False) -> None:
    """Write a file in one piece: whoever reads it finds the old or the new one; `-` is standard output.

    One that says the same already is left as it is. Raises InputError where it exists and may not be replaced, or
    cannot be written.
    """
    data = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
    if path == STREAM:
        standard.write(data.decode())
        return
    _refuse_unwritable(path)
    with named(path):
        if not is_file(path):
            with begin(path) as file:
                _write(file, data)
        elif not (os.path.exists(path) and _says(path, data)):
            _put(path, data, replace)


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Whatever the system refuses in here is told of that file."""
    try:
        yield
    except OSError as problem:
        raise unwritable(path, problem) from None


# ------------------------------------------------------------------ what tells files apart


def _key(path: str, standard: int) -> Any:
    """What is the same for two names of one file: device and inode, or, of a file that is not yet there, those of its
    folder and its name. None where names cannot meet: devices, terminals."""
    number = standard if path == STREAM else descriptor(path)
    try:
        found = os.fstat(number) if number is not None else _stat(path)
        if found is None:
            whole = os.path.realpath(path)
            folder = os.stat(os.path.dirname(whole))
            name = os.path.normcase(os.path.basename(whole))
            return folder.st_dev, folder.st_ino, name.casefold() if sys.platform == "darwin" else name
    except (OSError, ValueError):
        return number
    if stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return found.st_dev, found.st_ino
    return number  # two streams that are one, whatever they are


def _stat(path: str) -> os.stat_result | None:
    """What a name leads to; None for nothing."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _refuse_unwritable(path: str) -> None:
    """Raise InputError for what is no file to be written: a link, a folder, a disk, a file of the system."""
    number = 1 if path == STREAM else descriptor(path)
    if number is not None:
        _refuse_closed(number, path)
        return
    hint = "name another file"
    if path.endswith(("/", os.sep)):
        raise InputError("is the name of a folder", where=path, hint="name a file in it")
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        folder = Path(path).parent
        if not folder.is_dir():
            raise unwritable(path, "no such folder", "make the folder first") from None
        if not os.access(folder, os.W_OK):
            raise unwritable(path, "Permission denied", "check the folder") from None
        return
    except ValueError:
        raise InputError("no file can have this name", where=path, hint="check the path") from None
    except OSError as problem:
        raise unwritable(path, problem) from None
    mode = found.st_mode
    if stat.S_ISLNK(mode):
        led = os.path.realpath(path)
        raise InputError(f"is a link to {led}", where=path, hint="name the file itself")
    if stat.S_ISDIR(mode):
        raise InputError("is a folder", where=path, hint="name a file in it")
    if stat.S_ISREG(mode) and _of_the_system(path):
        raise InputError("is a file of the system", where=path, hint=hint)
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise InputError("is no file that can be written", where=path, hint=hint)


def _refuse_closed(number: int, path: str) -> None:
    """Raise InputError for what a shell has closed, or has opened to be read only."""
    with contextlib.suppress(OSError):
        if fcntl is None or fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            return
    name = standard.OUTPUT if number == 1 else path
    raise InputError("it is closed", where=name)


def _of_the_system(path: str) -> bool:
    whole = os.path.realpath(path)
    return whole.startswith(SYSTEM) and not whole.startswith("/dev/shm/")


# ------------------------------------------------------------------ opening and moving


def _locked(path: str, more: int = 0) -> io.FileIO:
    """The file of that name, locked; raises FileNotFoundError, FileExistsError, and InputError for all else."""
    while True:
        try:
            file = io.FileIO(os.open(path, os.O_RDWR | _NOFOLLOW | more, 0o666), "r+")
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError as problem:
            raise unwritable(path, problem) from None
        if not _lock(file):
            file.close()
            hint = "wait for it, or write to another file"
            raise InputError("another run is writing this file", where=path, hint=hint)
        if still_there(path, file):
            return file
        file.close()  # between opening and locking, another file took its place


def _lock(file: io.FileIO) -> bool:
    """Lock a file; False where another process has it, and not only to look whether it is free."""
    for _ in range(LOOKS if fcntl is not None else 0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK)
        except OSError:  # a file system without locks
            return True
        else:
            return True
    return fcntl is None


def _replaced(path: str, old: os.stat_result, copied: io.FileIO | None = None) -> io.FileIO:
    """A new file in the place of an old one, with its rights and its owner; locked before it can be seen.

    It is empty, or says what the old one did.
    """
    aside = _aside(path)
    try:
        file = _locked(aside, os.O_CREAT | os.O_EXCL)
        try:
            if copied:
                copied.seek(0)
                shutil.copyfileobj(copied, file, BLOCK)
            _inherit(file, old)
            os.replace(aside, path)
        except BaseException:
            file.close()
            raise
    except OSError as problem:
        _forget(aside)
        raise unwritable(path, problem) from None
    return file


def _put(path: str, data: bytes, replace: bool) -> None:
    aside = _aside(path)
    try:
        with io.FileIO(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w") as file:
            _write(file, data)
            os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                _inherit(file, os.stat(path))
        if replace or (os.path.exists(path) and is_free(path)):
            os.replace(aside, path)
            return
        try:
            os.link(aside, path)  # unlike a move, it never takes the place of another
        except FileExistsError:
            raise taken(path) from None
        except OSError:  # a file system without hard links
            refuse_taken(path)
            os.replace(aside, path)
    finally:
        _forget(aside)


def _inherit(file: io.FileIO, old: os.stat_result) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
        os.fchown(file.fileno(), old.st_uid, old.st_gid)


def _aside(path: str) -> str:
    """A name beside a file that no other file has, short enough beside the longest."""
    return str(Path(path).parent / f".promptshot-{secrets.token_hex(8)}.new")


def _forget(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _says(path: str, data: bytes) -> bool:
    """Whether a file says this already."""
    try:
        return os.stat(path).st_size == len(data) and Path(path).read_bytes() == data
    except OSError:
        return False


def _write(file: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _opened(number: Callable[[], int], path: str) -> io.FileIO:
    """What is written to as it comes."""
    with named(path):
        return io.FileIO(number(), "w")


def _hash(file: Any, size: int | None) -> Any:
    """The hash of so many bytes from here on, or of all."""
    found, left = hashlib.sha256(), size
    while block := file.read(BLOCK if left is None else min(BLOCK, left)):
        found.update(block)
        left = None if left is None else left - len(block)
    return found
