"""Throw broken input at everything that reads, and see that nothing but a plain complaint comes back.

    python tests/chaos/fuzz.py [--inputs N] [--seconds S] [--seed S] [--target NAME|all] [--plain]

A target is a function of bytes. It may raise a PromptshotError; anything else, a broken promise (an
`assert`) or more than a second of work is a finding. Each is made small, shown as the bytes that bring it
about, and makes the exit code 1.

With atheris installed, coverage guides the search (libFuzzer), and our mutations know the formats. Without
it, or with --plain, the same mutations work on a corpus; on Python 3.12 and later, an input that reaches
new lines of the package joins it. Plain runs of the same seed and number of inputs are the same.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a program, from anywhere

GUIDED = "--guided" in sys.argv and importlib.util.find_spec("atheris") is not None
if GUIDED:
    import atheris

    with atheris.instrument_imports(include=["promptshot"], enable_loader_override=False):
        from promptshot.authoring import new
        from promptshot.authoring.lint import linter
        from promptshot.classify import suited
        from promptshot.classify.classifier import Classifier
        from promptshot.classify.prediction import Prediction
        from promptshot.classify.recipe import Recipe
        from promptshot.errors import InputError, PromptshotError, RowError, TemplateError
        from promptshot.prompts import codes, inline, library, strict, verbalizer
        from promptshot.prompts.template import Template, TemplateSpec
        from promptshot.prompts.verbalizer import Verbalizer
        from promptshot.rows import read as read_module
        from promptshot.rows import row, streams, writer
        from promptshot.rows.row import Item, Reject, Row
        from promptshot.scorers.fake import FakeScorer
        from promptshot.scoring import Cut, Kind, Piece
else:
    from promptshot.authoring import new
    from promptshot.authoring.lint import linter
    from promptshot.classify import suited
    from promptshot.classify.classifier import Classifier
    from promptshot.classify.prediction import Prediction
    from promptshot.classify.recipe import Recipe
    from promptshot.errors import InputError, PromptshotError, RowError, TemplateError
    from promptshot.prompts import codes, inline, library, strict, verbalizer
    from promptshot.prompts.template import Template, TemplateSpec
    from promptshot.prompts.verbalizer import Verbalizer
    from promptshot.rows import read as read_module
    from promptshot.rows import row, streams, writer
    from promptshot.rows.row import Item, Reject, Row
    from promptshot.scorers.fake import FakeScorer
    from promptshot.scoring import Cut, Kind, Piece

BROKEN = ROOT / "tests" / "broken"
SECONDS = 1.0  # of processor time for one input
STUCK = 20.0  # of processor time, before an input is given up
LARGEST = 4096  # bytes of an input

# ------------------------------------------------------------------ what inputs are made of

SPLINTERS = [
    *(b"\0", b"\r", b"\n", b"\r\n", b"\t", b" ", b'"', b'""', b"'", b",", b":", b"{", b"}", b"[", b"]", b"{{", b"}}"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\x1b[31m"),
    *(b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xc2\x85", b"\x1e", b"\x1f\x8b", b"\\ud800", b"\\u0000", b"\\"),
    *(b"\\ud83d\\ude00", b"\\\\"),
    *(b"NaN", b"-Infinity", b"1e999", b"-0", b"0.1", b"9" * 4400, b"1" * 30, b"null", b"true", b"[[", b'{"a":' * 60),
    *(b"[" * 60, b"{mask}", b"{text}", b"{a.b}", b"{__class__}", b"{0}", b"{ }", b"{mask", b"{text!r}"),
    *(b"&a ", b"*a", b"<<: ", b"!!python/object:os.system ", b"!x ", b"- ", b"? ", b"---\n", b"|\n ", b">-\n  ", b"#"),
    *(b"text", b"label", b"scorer: ", b"nsp", b"causal", b"labels", b"gold: ", b"fields: ", b"ordered: ", b"prior: "),
    *(b"words_from: ", b"direction: channel", b"hole: ", b"join: ", b"cut: middle", b"1e300", b"1e-300", b"<mask>"),
    *(b"%", b"[MASK]", b"[SEP]", b"</s>", b"<|endoftext|>", b"<unk>", b"\xe5\xa5\xbd", b"\xf0\xa0\xae\xb7"),
    b"\xef\xbc\x9cmask\xef\xbc\x9e",
]  # fmt: skip

ROWS = [
    b'{"text": "good", "label": "1"}\n{"text": "\xe5\x9d\x8f", "label": 0, "n": {"a": [1, null, 2.5]}}\n',
    b'[\n  {"text": "a"},\n  {"text": "b", "candidates": ["x", "y"]}\n]\n',
    b'text,label\ngood,1\n"two\nlines, and ""more""",0\n',
    b"text\tlabel\ngood\t1\nbad\t0\n",
    b'\xef\xbb\xbf{"text": "", "prediction": "x"}\r\n\r\n{"text": null}\r\n[1]\r\nx',
    b'{"a": ' + b"[" * 1500 + b'\n{"text": "after it"}\n',
    b'{"text_a": "a", "text_b": "b", "keywords": ["k", "l"], "label": true}\n',
]
VERBALIZERS = [
    b"labels: {a: x, b: y}\n",
    b"labels:\n  a: [x, z]\n  b: {y: 1.5, v: 2}\ngold: {a: [1, A2], b: 0}\npool: logsumexp\nabout: a\n",
]
TEMPLATES = [
    b'scorer: mlm\ntext: "{mask}. {text}"\nverbalizer: {labels: {a: x, b: y}}\nexample: {text: t, label: a}\n',
    b'scorer: nsp\ntext: ["{text_a}", "{text_b}"]\nordered: [no, yes]\nprior: [0.5, 0.5]\n',
    b'scorer: causal\ntext: |-\n  {label_} {{x}}\n  Topic: {mask} {text}\nseparator: "\\n"\ndirection: channel\n',
    b'scorer: nsp\ntext: ["{mask}", "{content}"]\nwords_from: candidates\nfields: {content: {hole: "#", cut: head}}\n',
    b'scorer: mlm\ntext: "{keywords}{mask}"\nfields: {keywords: {join: ", ", cut_order: 2}}\nnormalize: mean\n',
]
INLINE = [b"It was {mask}. {text}", b"{mask} | {text} {{}}", "{mask}满意。{text}".encode()]


def seeds(target: str) -> list[bytes]:
    """Inputs to begin with; the first byte of most targets says how the others are to be read."""
    shelf = [path.read_bytes() for path in sorted((ROOT / "templates").glob("*.yaml"))[::7]]
    words = [path.read_bytes() for path in sorted((ROOT / "verbalizers").glob("*.yaml"))[::9]]
    plain = {
        "rows": [bytes([i]) + data for i in range(len(NAMES)) for data in [*ROWS, *map(zipped, ROWS[:3])]],
        "template": [b"\0" + data for data in [*TEMPLATES, *shelf]]
        + [bytes([i]) + t for t in INLINE for i in (1, 2, 3)],
        "verbalizer": VERBALIZERS + words,
        "spec": TEMPLATES + VERBALIZERS,
        "lint": [b"\0" + data for data in [*TEMPLATES, *shelf]]
        + [b"\1" + data for data in [*VERBALIZERS, *words]]
        + [bytes([path.parent.name == "verbalizers"]) + path.read_bytes() for path in sorted(BROKEN.glob("*/*.yaml"))],
        "words": [b"\x05a good day\0[MASK] good\0", "\x14\0好的<mask>\0a </s> b".encode()],
        "writer": [bytes([i]) + ROWS[0] for i in range(len(OUTPUTS))],
        "classify": [bytes([i]) + data for i in range(len(RECIPES)) for data in ROWS],
    }
    return plain[target]


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def mutated(data: bytes, corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """A few changes: splinters put in or in place of something, bytes lost, doubled or swapped, inputs crossed."""
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((0, 1, 2, 5, 20)))
        kind = rng.randrange(8)
        if kind <= 2:
            data = data[:at] + rng.choice(SPLINTERS) + data[at if kind else end :]
        elif kind == 3:
            data = data[:at] + data[end:]
        elif kind == 4:
            data = data[:end] + data[at:]
        elif kind == 5:
            data = data[:at] + rng.randbytes(rng.randrange(4)) + data[end:]
        elif kind == 6:
            other = rng.choice(corpus)
            data = data[:at] + other[rng.randrange(len(other) + 1) :]
        else:
            data = bytes([rng.randrange(256)]) + data[1:]
    return data[: max(LARGEST, 2 * len(corpus[0]))]


# ------------------------------------------------------------------ targets


@contextmanager
def instead_of_files(module: Any, opened: Callable[..., Any]) -> Iterator[None]:
    """The module's `open` is another one: no file is touched."""
    module.open = opened
    try:
        yield
    finally:
        del module.open


def read(data: bytes, name: str) -> tuple[list[Item], InputError | None]:
    """What the row reader gives for these bytes under that name, and what it complains of at the end."""
    found: list[Item] = []
    with instead_of_files(streams, lambda path, mode: io.BufferedReader(io.BytesIO(data))):  # type: ignore[arg-type]
        try:
            found.extend(read_module.read([name]))
        except InputError as problem:
            return found, problem
    return found, None


NAMES = ("a.jsonl", "a.json", "a.csv", "a.tsv", "a", "a.txt")


def rows_target(data: bytes) -> None:
    """Every line of JSONL is a row or a reject; all have places in order, and numbers without gaps."""
    name, data = NAMES[data[0] % len(NAMES)] if data else "a", data[1:]
    found, problem = read(data, name)
    assert [item.key for item in found] == list(range(len(found)))
    # Of rows within one JSON text, the place is that of the text, and their number in it.
    lines = [int(item.source.removeprefix(f"{name}:").partition(" row ")[0]) for item in found]
    inside = any(" row " in item.source for item in found)
    assert lines == sorted(lines)
    last = max(data.count(b"\n"), data.count(b"\r")) + 1
    for item, line in zip(found, lines, strict=True):
        assert 1 <= line <= last or data[:2] == streams.GZIP
        if isinstance(item, Reject):
            assert item.reason
            assert item.raw.strip() or item.reason
            json.dumps(item.record())
            continue
        json.dumps(item.fields, allow_nan=False)
        for field_name in item.fields:
            with suppress(RowError):
                item.text(field_name, ",").encode()
    if inside or any(data.startswith(magic) for magic in (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        return
    first, _, _ = data.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    by_lines = first.startswith(b"{") and not first.rstrip().endswith((b"{", b"[", b",", b":"))
    by_lines &= b"\n" in data or b"\r" not in data
    if name == "a.jsonl" and problem is None and data[:2] != streams.GZIP and by_lines:
        filled = [n for n, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1) if line.rstrip()]
        assert lines == filled
    if problem is None and name in ("a.csv", "a.tsv"):
        assert len(set(lines)) == len(lines)


NASTY = ("a", "{mask}{text}", "[MASK] </s>", "\u202e\x1b[31m", "x" * 300, "𠮷\n", " ")


def template_target(data: bytes) -> None:
    """A template is refused, or rendered with the row's texts as they are, saved, and loaded again."""
    mode, text = (data[0] % 4 if data else 0), data[1:].decode("utf-8", "surrogateescape")
    if mode:
        template = inline.template_of("{mask}" + text, ("mlm", "nsp", "causal")[mode - 1], None)
    else:
        plain, lines = strict.parse_source(text, "t").sound(TemplateError)
        template = Template.of(strict.build(plain, TemplateSpec, TemplateError, "t", lines), "t")
    for said in NASTY:
        values: dict[str, Any] = {}
        for number, name in enumerate(template.needs):
            hole = template.spec.fields[name].hole if name in template.spec.fields else None
            values[name] = f"{said}{number}{hole or ''}"
        prompt = template.render(Row(values, "r:1"), ("x",))
        shown = [piece.text for piece in prompt.pieces if piece.kind is Kind.FIELD]
        whole = "".join(shown) + "".join(filter(None, (rule.hole for rule in template.spec.fields.values())))
        fields = [part.text for parts in template.segments for part in parts if part.kind is Kind.FIELD]
        assert sorted(whole) == sorted("".join(values[name] for name in fields))
        assert template.fill(Row(values, "r:1"), "x").endswith(template.spec.separator)
        prompt.text("x").encode()
    try:
        words = library.verbalizer_of(template)
    except PromptshotError:
        return
    if words.labels and not template.spec.ordered:
        saved_and_loaded(template, words)


def saved_and_loaded(template: Template, words: Verbalizer) -> None:
    """What --save-template writes is the same template with the same words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.yaml"
        new.save(path, [suited.Guess(template, words)])
        if path.stat().st_size > strict.LARGEST:
            return
        again = Template.load(path)
        assert again.segments == template.segments
        assert again.needs == template.needs
        assert dict(library.verbalizer_of(again).labels) == dict(words.labels)


def verbalizer_target(data: bytes) -> None:
    """A verbalizer is refused, or tells its labels apart and gives each a finite score."""
    plain, lines = strict.parse_source(data.decode("utf-8", "surrogateescape"), "v").sound(TemplateError)
    made = strict.build(plain, verbalizer.VerbalizerSpec, TemplateError, "v", lines)
    words = Verbalizer.of(made, "v", "v")
    choices = words.choices(Row({}))
    for step in (0.0, -0.5, -1e4):
        scores = [-1.0 + step * i for i in range(len(choices))]
        assert all(map(math.isfinite, words.pooled(choices, scores).values()))
    for label in words.names:
        if label.strip() == label and label:
            assert words.gold_label(Row({"label": label}), "label")[0] == label


def spec_target(data: bytes) -> None:
    """Whatever YAML says, it becomes dicts, lists and texts, or one line."""
    plain, lines = strict.parse_source(data.decode("utf-8", "surrogateescape"), "s").sound(TemplateError)
    waiting = [plain]
    while waiting:
        value = waiting.pop()
        assert value is None or isinstance(value, str | list | dict)
        waiting += [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    assert all(line >= 1 for line in lines.values())


def lint_target(data: bytes) -> None:
    """Whatever a file holds, lint has findings and no complaint; it finds an error where the loader does."""
    kind, text = bool(data and data[0] % 2), data[1:]
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(text)
        file.flush()
        path = Path(file.name)
        found = linter.Linter().verbalizer(path) if kind else linter.Linter().template(path)
        try:
            if kind:
                library.verbalizer(str(path))
            else:
                library.verbalizer_of(library.template(str(path)))
            refused = ""
        except PromptshotError as problem:
            refused = str(problem)
    lines = len(text.decode("utf-8", "replace").splitlines()) + 1  # YAML counts line separators of Unicode too
    errors = [finding for finding in found if finding.severity == "error" or finding.code == "no-verbalizer"]
    assert bool(errors) == bool(refused), f"{refused!r} against {errors}"
    for finding in found:
        assert finding.code in codes.CODES
        assert (finding.message + finding.hint + finding.where).isprintable()
        assert finding.line is None or 1 <= finding.line <= lines or finding.path != str(path)


SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "[MASK]", "[SEP]", "<|endoftext|>")


@cache
def encoders() -> list[Any]:
    """A WordPiece, a byte-level BPE and a Unigram tokenizer, each with special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from promptshot.scorers.checkpoints.encoder import TextEncoder

    letters = [chr(c) for c in range(33, 127)]
    words = [*SPECIAL, *letters, *(f"##{c}" for c in letters), "good", "day", "好", "的"]
    wordpiece = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    wordpiece.normalizer = normalizers.BertNormalizer(lowercase=True)
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = [*SPECIAL, *alphabet, "go", "od", "Ġa"]
    pairs = [("g", "o"), ("o", "d"), ("Ġ", "a")]
    by_byte = Tokenizer(models.BPE({w: i for i, w in enumerate(merged)}, pairs))
    by_byte.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces = [*((s, 0.0) for s in SPECIAL), *((c, -9.0) for c in ["▁", *letters]), ("▁good", -3.0), ("好", -5.0)]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=3))
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    found = []
    for made in (wordpiece, by_byte, unigram):
        made.add_special_tokens(list(SPECIAL))
        found.append(
            TextEncoder(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", mask_token="<mask>"))
        )
    return found


def words_target(data: bytes) -> None:
    """Special tokens in a text stay text, and fitting keeps to the limit and the template."""
    from promptshot.scorers.checkpoints.encoder import Encoder
    from promptshot.scorers.checkpoints.fitting import TooLong, fit

    limit, order = (data[0] % 64, data[0] // 64) if data else (8, 0)
    texts = data[1:].decode("utf-8", "ignore").split("\0")[:3]
    cuts: tuple[Cut, ...] = ("tail", "head", "middle")
    pieces = [Piece(Kind.FIXED, "a ")] + [
        Piece(Kind.FIELD, text, cuts[(i + order) % 3], i * (order % 2)) for i, text in enumerate(texts)
    ]
    for encoder in encoders():
        kept: Encoder = encoder

        def size(parts: Sequence[Piece], encoder: Encoder = kept) -> int:
            return len(encoder.ids("".join(piece.text for piece in parts)))

        for text in texts:
            ids = kept.ids(text)
            assert not {i for i in ids if i < len(SPECIAL)} - {3}, (SPECIAL, ids)
            assert len(kept.spans(text)) == len(ids)
        try:
            fitted = fit(pieces, size, limit, kept)
        except TooLong:
            continue
        assert size(fitted.pieces) <= limit
        assert fitted.pieces[0] == pieces[0]
        for before, after in zip(pieces, fitted.pieces, strict=True):
            left = iter(before.text)
            assert all(character in left for character in after.text)


OUTPUTS = ("o.jsonl", "o.csv", "o.tsv", "o.jsonl.gz", "o.csv.gz")


@cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for files that have to be real; it goes when the program ends."""
    return tempfile.TemporaryDirectory()


def writer_target(data: bytes) -> None:
    """What is written is read back: objects as they were, and the cells of a table as text."""
    name = OUTPUTS[data[0] % len(OUTPUTS)] if data else "o"
    records = [dict(item.fields) for item in read(data[1:], "a.jsonl")[0] if isinstance(item, Row)]
    path = Path(scratch().name) / name
    with writer.Writer(str(path), replace=True) as out:
        for start in range(0, len(records), 2):
            out.write(records[start : start + 2])
        left_out = out.left_out
    again, problem = read(path.read_bytes(), name)
    if not records:
        return
    if ".jsonl" in name:
        assert problem is None
        assert [dict(item.fields) for item in again if isinstance(item, Row)] == records
        return
    columns = list(dict.fromkeys(key for record in records[:2] for key in record))
    assert set().union(*records) - set(columns) == left_out
    cells = [cell for record in records for cell in (*record, *record.values())]
    if columns and "" not in columns and not any(map(odd, cells)):
        assert problem is None, problem
        assert len(again) == len(records)
        for item, record in zip(again, records, strict=True):
            assert isinstance(item, Row), item
            for column in columns:
                if isinstance(record.get(column, ""), str):
                    assert item.fields[column] == record.get(column, "")


def odd(cell: Any) -> bool:
    """Cells that a table does not give back: what a spreadsheet would run as a formula, CR, and no text."""
    text = cell if isinstance(cell, str) else json.dumps(cell)
    return bool(writer.FORMULA.match(text) or text[:1] in ("'", "\ufeff") or "\r" in text or row.fault_of(text))


@cache
def recipes() -> list[Recipe]:
    """Templates of every shape, each with its words."""
    found = []
    for text in RECIPES:
        plain, _ = strict.parse_source(text.decode(), "t").sound(TemplateError)
        template = Template.of(strict.build(plain, TemplateSpec, TemplateError, "t", {}), "t")
        found.append(Recipe.of(template, library.verbalizer_of(template), "fake"))
    return found


RECIPES = [
    b'{scorer: mlm, text: "{mask} {text}", verbalizer: {labels: {a: x, b: {y: 2, z: 1}}, gold: {a: 1}}}',
    b'{scorer: nsp, text: ["{text_a}", "{text_b}"], ordered: ["no", "yes"]}',
    b'{scorer: nsp, text: ["{mask}", "{text}"], words_from: candidates}',
    b'{scorer: causal, text: "{keywords} {mask} {n.a}", fields: {keywords: {join: "+"}, n.a: {join: ""}},'
    b" verbalizer: {labels: {a: x, b: y}}}",
]


def classify_target(data: bytes) -> None:
    """As many outcomes as rows, in their order, and each can be written down."""
    recipe = recipes()[data[0] % len(RECIPES) if data else 0]
    items, _ = read(data[1:], "a")
    outcomes = list(Classifier(recipe, FakeScorer()).outcomes(items))
    assert len(outcomes) == len(items)
    for item, outcome in zip(items, outcomes, strict=True):
        if isinstance(outcome, Prediction):
            assert outcome.row == item
            json.dumps(outcome.record(), allow_nan=False)
        else:
            assert (outcome.key, outcome.source) == (item.key, item.source)
            json.dumps(outcome.record())


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "rows": rows_target,
    "writer": writer_target,
    "classify": classify_target,
    "template": template_target,
    "verbalizer": verbalizer_target,
    "spec": spec_target,
    "lint": lint_target,
    "words": words_target,
}
# Of a hundred inputs, so that each has about the same time.
SHARES = {"rows": 40, "writer": 15, "classify": 15, "template": 10, "verbalizer": 6, "spec": 6, "lint": 6, "words": 2}

# ------------------------------------------------------------------ the search


class Stuck(BaseException):
    """An input takes too long; no handler of the package may catch it."""


@dataclass
class Search:
    """Tries inputs on a target, and keeps one input for each kind of finding."""

    target: str
    findings: dict[str, bytes] = field(default_factory=dict)
    tried: int = 0

    def kind_of(self, data: bytes) -> str | None:
        """What is wrong with what the target does with the input, if anything."""
        began = time.thread_time()
        signal.setitimer(signal.ITIMER_PROF, STUCK)
        try:
            TARGETS[self.target](data)
        except PromptshotError as problem:
            if not str(problem).isprintable():
                return f"a complaint of several lines: {str(problem)!r}"
        except Stuck:
            return f"more than {STUCK:.0f} s"
        except Exception as problem:
            frames = traceback.extract_tb(problem.__traceback__)
            place = next((f for f in reversed(frames) if "promptshot" in f.filename), frames[-1])
            return f"{type(problem).__name__} in {Path(place.filename).name}:{place.lineno}: {str(problem)[:100]}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.thread_time() - began
        return f"more than {SECONDS:.0f} s" if seconds > SECONDS else None

    def attempt(self, data: bytes) -> None:
        """Try one input."""
        self.tried += 1
        kind = self.kind_of(data)
        if kind and (short := kind.split(": ")[0]) not in self.findings:
            self.findings[short] = data
            self.findings[short] = self.smaller(data, short)

    def smaller(self, data: bytes, kind: str) -> bytes:
        """The input with all left out that the finding does not need (as far as a few seconds allow)."""
        end, size = time.monotonic() + 5, len(data) // 2
        while size and time.monotonic() < end:
            at = 0
            while at < len(data) and time.monotonic() < end:
                shorter = data[:at] + data[at + size :]
                if (self.kind_of(shorter) or "").startswith(kind):
                    data = shorter
                else:
                    at += size
            size //= 2
        return data

    def report(self, seconds: float) -> str:
        """One line of numbers, and each finding with the input that brings it about."""
        rate = self.tried / max(seconds, 1e-9)
        lines = [
            f"{self.target}: {self.tried:,} inputs in {seconds:.1f} s, {rate:,.0f}/s, {len(self.findings)} findings"
        ]
        lines += [f"  {self.kind_of(data) or kind}\n    {data!r}" for kind, data in self.findings.items()]
        return "\n".join(lines)


def plain_search(search: Search, inputs: int, end: float, seed: int) -> None:
    """Mutations of a corpus, to which inputs with new coverage are added where Python tells it cheaply."""
    rng = random.Random(f"{seed} {search.target}")
    corpus = seeds(search.target)
    with new_lines() as reached:
        while search.tried < inputs and time.monotonic() < end:
            first = search.tried < len(corpus)
            data = corpus[search.tried] if first else mutated(rng.choice(corpus), corpus, rng)
            before = len(reached)
            search.attempt(data)
            if len(reached) > before and not first:
                corpus.append(data)


@contextmanager
def new_lines() -> Iterator[list[str]]:
    """A list that grows with every line of the package that is reached for the first time (Python 3.12)."""
    reached: list[str] = []
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        yield reached
        return

    def line(code: Any, number: int) -> Any:
        if "promptshot" in code.co_filename:
            reached.append(f"{code.co_filename}:{number}")
        return monitoring.DISABLE

    monitoring.use_tool_id(monitoring.COVERAGE_ID, "fuzz")
    monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, line)
    monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
    try:
        yield reached
    finally:
        monitoring.set_events(monitoring.COVERAGE_ID, 0)
        monitoring.free_tool_id(monitoring.COVERAGE_ID)
        monitoring.restart_events()


def guided_search(search: Search, inputs: int, end: float, seed: int) -> None:
    """libFuzzer leads; it never comes back, so the report is written from within."""
    began = time.monotonic()
    corpus = seeds(search.target)
    folder = tempfile.mkdtemp()
    for number, data in enumerate(corpus):
        (Path(folder) / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        search.attempt(data)
        if search.tried >= inputs or time.monotonic() > end:
            print(search.report(time.monotonic() - began), flush=True)
            os._exit(1 if search.findings else 0)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        changed = mutated(data, corpus, rng) if rng.random() < 0.7 else atheris.Mutate(data, most)
        return bytes(changed[:most])

    options = [f"-seed={seed + 1}", f"-max_len={LARGEST}", "-timeout=0", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, folder], one, custom_mutator=mutate)
    atheris.Fuzz()


def run(target: str, inputs: int, seconds: float, seed: int) -> Search:
    """A plain search of one target."""

    def stuck(*_: object) -> None:
        raise Stuck

    signal.signal(signal.SIGPROF, stuck)
    if target == "words":
        encoders()  # the second that their packages take is no input's
    search = Search(target)
    end = time.monotonic() + seconds
    (guided_search if GUIDED else plain_search)(search, inputs, end, seed)
    return search


def main() -> int:
    """Run the targets that were asked for; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seconds", type=float, default=3600.0, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--plain", action="store_true", help="our own search, also where atheris is installed")
    parser.add_argument("--guided", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.guided:
        run(said.target, said.inputs, said.seconds, said.seed)
    names = list(TARGETS) if said.target == "all" else [said.target]
    worst, end = 0, time.monotonic() + said.seconds
    for number, name in enumerate(names):
        inputs = said.inputs * SHARES[name] // sum(SHARES[name] for name in names)
        seconds = max(0.0, end - time.monotonic()) / (len(names) - number)
        if importlib.util.find_spec("atheris") and not said.plain:
            # Each in a process of its own: libFuzzer ends the one it runs in.
            options = [
                f"--{key}={value}" for key, value in (("inputs", inputs), ("seconds", seconds), ("seed", said.seed))
            ]
            command = [sys.executable, __file__, "--guided", f"--target={name}", *options]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
            print(done.stdout.strip() or f"{name}: ended with {done.returncode}", flush=True)
            worst = max(worst, int(done.returncode != 0))
            continue
        began = time.monotonic()
        search = run(name, inputs, seconds, said.seed + number)
        print(search.report(time.monotonic() - began), flush=True)
        worst = max(worst, int(bool(search.findings)))
    return worst


if __name__ == "__main__":
    sys.exit(main())
