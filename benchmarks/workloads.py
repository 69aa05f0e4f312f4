"""What is measured: rows and templates as `Work`, of the size that the slowest tool can bear.

Rows come from the evaluation data beside the checkout (`shared/data`, or `--data`); the labels of the intent
set and its messages are our own (intents.txt, messages.txt).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, Work
from promptshot.classify import demonstrations
from promptshot.classify.recipe import DemoPlan
from promptshot.prompts import library
from promptshot.prompts.task import Task
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.rows.read import read as read_rows
from promptshot.rows.row import Row

HERE = Path(__file__).parent
TOPICS = ("world politics", "sports results", "business and finance", "science and technology")
LONGEST = 128  # tokens of a cloze
# Demonstrations are short rows, and the longest 1% of the rows are left out, so that 16 shots fit into 1,024 tokens.
DEMO_CHARACTERS, ROW_CHARACTERS = 160, 600

CAUSAL_PEERS = ("lm-eval", "minicons")
LLAMA_PEERS = (
    *("promptshot-bfloat16", "promptshot-mixed"),
    *("llama.cpp", "llama.cpp-logits", "llama.cpp-logits-bfloat16"),
)
LLAMA_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Plan:
    """A workload to be: which rows, for which tools, on which shape of model."""

    name: str
    suite: str  # causal | llama | mlm | nsp
    about: str
    model: str
    peers: tuple[str, ...]
    rows: tuple[int, int]  # in full and in quick runs; 0: not in quick ones
    build: Callable[[Path, int], Work]
    quick_model: str = ""  # a smaller one for quick runs


def plans() -> list[Plan]:
    """Every workload, in the order of the tables."""
    return [*_causal(), *_llama(), *_mlm(), *_nsp()]


def _causal() -> Iterator[Plan]:
    small = "gpt2-tiny"
    four = "AG News, 4 labels of 2 to 4 tokens"
    for shots, rows in ((0, (32, 4)), (4, (12, 0)), (8, (20, 4)), (16, (16, 0))):
        about = f"{four}, {shots} shots" + (", the same for all rows" if shots else "")
        build = _agnews(shots)
        peers = CAUSAL_PEERS if shots <= 4 else ("lm-eval",)  # an hour is not enough for all
        yield Plan(f"agnews-{shots}", "causal", about, "gpt2-small", peers, rows, build, small)
    about = f"{four}, 8 shots drawn anew for each row"
    yield Plan("agnews-8-varied", "causal", about, "gpt2-small", ("lm-eval",), (8, 0), _agnews(8, True), small)
    about = "SST-2, 2 labels, the 8 nearest shots of each row (BM25)"
    yield Plan("sst2-8-nearest", "causal", about, "gpt2-small", ("lm-eval",), (24, 4), sst2_nearest, small)
    yield Plan("sst2-0", "causal", "SST-2, 2 labels, 0 shots", "gpt2-small", CAUSAL_PEERS, (80, 4), _sst2(0))
    about = "77 intents of 1 to 4 tokens, 4 shots"
    yield Plan("intents-4", "causal", about, "gpt2-small", ("lm-eval",), (8, 1), intents, small)
    about = f"{four}, 4 shots, the built-in model"
    yield Plan("agnews-4-builtin", "causal", about, "builtin-gpt2", CAUSAL_PEERS, (64, 4), _agnews(4))


def _llama() -> Iterator[Plan]:
    for shots in (0, 8):
        about = f"SST-2, 2 labels of one token, {shots} shots" + (", the same for all rows" if shots else "")
        yield Plan(f"llama-{shots}", "llama", about, LLAMA_FILE, LLAMA_PEERS, (200, 0), _sst2(shots))


def _mlm() -> Iterator[Plan]:
    zh, en = "EPRSTMT cloze, 2 words", "SST-2 cloze, 2 words"
    both = ("promptshot-mixed", "openprompt", "fill-mask")
    yield Plan("eprstmt", "mlm", zh, "bert-base-zh", both, (128, 12), eprstmt)
    yield Plan("sst2-cloze", "mlm", en, "bert-base-en", (*both, "minicons-cloze"), (128, 0), sst2_cloze)
    yield Plan("eprstmt-builtin", "mlm", f"{zh}, the built-in model", "builtin-bert", both, (610, 0), eprstmt)
    about = f"{en}, the built-in model"
    yield Plan("sst2-builtin", "mlm", about, "builtin-bert", (*both, "minicons-cloze"), (1024, 16), sst2_cloze)


def _nsp() -> Iterator[Plan]:
    both = ("nsp-by-label", "nsp-by-row")
    for labels, rows in ((2, (120, 6)), (15, (48, 6)), (119, (6, 2))):
        about = f"TNEWS headlines, {labels} labels"
        small = "builtin-bert" if labels > 2 else ""
        yield Plan(f"tnews-{labels}", "nsp", about, "bert-base-zh", both, rows, _tnews(labels), small)
    for labels, rows in ((15, (200, 0)), (119, (40, 0))):
        about = f"TNEWS headlines, {labels} labels, the built-in model"
        yield Plan(f"tnews-{labels}-builtin", "nsp", about, "builtin-bert", both, rows, _tnews(labels))


# ------------------------------------------------------------------ rows


def read(path: Path, field: str) -> list[str]:
    """The texts of a JSONL file."""
    lines = path.read_text(encoding="utf-8").split("\n")  # a text may hold other ends of lines
    return [str(json.loads(line)[field]) for line in lines if line.strip()]


def spread(texts: Sequence[str], rows: int) -> list[str]:
    """So many texts, evenly from the whole file."""
    return [texts[i * len(texts) // rows] for i in range(min(rows, len(texts)))]


def rendered(template: Template, texts: Sequence[str], words: Sequence[str], demos: Sequence[Any] = ()) -> list[Case]:
    """One case per text; `demos` are the finished demonstrations, or a list of them for each text."""
    each = demos if demos and not isinstance(demos[0], str) else [demos] * len(texts)
    cases = []
    for text, shots in zip(texts, each, strict=True):
        prompt = template.render(Row({"text": text}), words, shots)
        pieces = tuple((piece.kind.value, piece.text) for piece in prompt.pieces)
        cases.append(Case(pieces, tuple(words), text))
    return cases


# ------------------------------------------------------------------ causal


def _agnews(shots: int, varied: bool = False) -> Callable[[Path, int], Work]:
    def build(data: Path, rows: int) -> Work:
        template = library.template("en-news-causal")
        texts = read(data / "agnews.test.jsonl", "text")
        pool = [text for text in texts[1::2] if len(text) <= DEMO_CHARACTERS]
        chosen = spread([text for text in texts[::2] if len(text) <= ROW_CHARACTERS], rows)
        dice = random.Random(8)

        def draw() -> list[str]:
            picked = dice.sample(pool, shots)
            return [template.fill(Row({"text": t}), TOPICS[i % len(TOPICS)]) for i, t in enumerate(picked)]

        demos = [draw() for _ in chosen] if varied else draw()
        return Work("agnews", "", "causal", tuple(rendered(template, chosen, TOPICS, demos)))

    return build


def _sst2(shots: int) -> Callable[[Path, int], Work]:
    """SST-2 as a two-line record with the sentiment last, behind short rows of the training set, labels in turn."""

    def build(data: Path, rows: int) -> Work:
        template = library.template("en-sentiment-causal")
        words = ("positive", "negative")
        texts = spread(read(data / "sst2.test.jsonl", "text"), rows)
        train = data / "sst2.train.jsonl"
        labelled = list(zip(read(train, "text"), read(train, "label"), strict=True)) if shots else []
        pools = [[text for text, label in labelled if label == word and len(text) <= DEMO_CHARACTERS] for word in words]
        dice = random.Random(8)
        picked = [(dice.choice(pools[i % len(words)]), words[i % len(words)]) for i in range(shots)]
        demos = [template.fill(Row({"text": text}), word) for text, word in picked]
        return Work("sst2", "", "causal", tuple(rendered(template, texts, words, demos)))

    return build


def sst2_nearest(data: Path, rows: int) -> Work:
    """The same behind the eight rows of the training set that share most words with it: rows share nothing."""
    texts = spread(read(data / "sst2.test.jsonl", "text"), rows)
    template = library.template("en-sentiment-causal")
    task = Task(template, library.verbalizer_of(template))
    pool = demonstrations.pool_of(read_rows([str(data / "sst2.train.jsonl")]), task, 8)
    source = demonstrations.chosen(pool, DemoPlan("", 8, by="nearest"))
    shots = [[demo.text for demo in found] for found in source.for_rows([(text,) for text in texts])]
    return Work("sst2-nearest", "", "causal", tuple(rendered(template, texts, ("positive", "negative"), shots)))


def intents(data: Path, rows: int) -> Work:
    """Messages to a bank and 77 intents, four shots; the rows join two messages each."""
    names = (HERE / "intents.txt").read_text(encoding="utf-8").split("\n")[:-1]
    messages = (HERE / "messages.txt").read_text(encoding="utf-8").split("\n")[:-1]
    template = library.template("en-intent-causal")
    demos = [template.fill(Row({"text": messages[i]}), names[(i * 19) % len(names)]) for i in range(4)]
    rest = messages[4:]
    texts = [f"{rest[i % len(rest)]} {rest[(i + 1 + i // len(rest)) % len(rest)]}" for i in range(rows)]
    return Work("intents", "", "causal", tuple(rendered(template, texts, names, demos)))


def messages(shots: int, labels: int, rows: int) -> Work:
    """Messages to a bank, two to four a row, so many of the intents, and the same shots before each row; of our own."""
    names = (HERE / "intents.txt").read_text(encoding="utf-8").split("\n")[:labels]
    lines = (HERE / "messages.txt").read_text(encoding="utf-8").split("\n")[:-1]
    template = library.template("en-intent-causal")
    demos = [template.fill(Row({"text": lines[i % 8]}), names[(i * 19) % labels]) for i in range(shots)]
    return Work("messages", "", "causal", tuple(rendered(template, _joined(lines[8:], rows), names, demos)))


def cloze_of_messages(labels: int, rows: int) -> Work:
    """The same as a cloze of so many words of one token: the first long ones of our tokenizer's vocabulary."""
    lines = (HERE / "messages.txt").read_text(encoding="utf-8").split("\n")[:-1]
    said = json.loads((HERE.parent / "models" / "bert" / "tokenizer.json").read_text(encoding="utf-8"))
    known: dict[str, int] = said["model"]["vocab"]
    words = [word for word in sorted(known, key=lambda one: known[one]) if word.isascii() and word.isalpha()]
    chosen = [word for word in words if len(word) >= 5][:labels]
    template = library.template("en-intent-mlm")
    return Work("messages", "", "mlm", tuple(rendered(template, _joined(lines, rows), chosen)), LONGEST)


def _joined(lines: Sequence[str], rows: int) -> list[str]:
    """So many texts of two to four of the lines."""
    dice = random.Random(7)
    return [" ".join(dice.sample(lines, 2 + i % 3)) for i in range(rows)]


# ------------------------------------------------------------------ mlm


def eprstmt(data: Path, rows: int) -> Work:
    """Chinese reviews with the blank in front (PET's P1)."""
    texts = read(data / "fewclue" / "eprstmt" / "test_public.json", "sentence")
    template = library.template("zh-sentiment-mlm")
    words = ("很", "不")
    pattern = '{"mask"}满意。{"placeholder": "text_a"}'
    return _cloze("eprstmt", template, [t for t in texts if not t.isascii()], words, pattern, rows)


def sst2_cloze(data: Path, rows: int) -> Work:
    """English sentences with the verdict behind them.

    Rows that hold one of the words themselves are left out: minicons finds its blank by looking for the word.
    """
    words = ("great", "terrible")
    texts = [t for t in read(data / "sst2.test.jsonl", "text") if not any(word in t.lower() for word in words)]
    template = Template.of(TemplateSpec(scorer="mlm", text="{text} It was {mask} ."), "sst2-cloze")
    return _cloze("sst2", template, texts, words, '{"placeholder": "text_a"} It was {"mask"} .', rows)


def _cloze(name: str, template: Template, texts: list[str], words: tuple[str, ...], pattern: str, rows: int) -> Work:
    """Texts are shortened until the whole takes no more than `LONGEST` tokens, so that no tool cuts anything."""
    count = _counter("bert")
    chosen = []
    for text in spread(texts, rows):
        while count(template.render(Row({"text": text}), words).text("")) + 3 > LONGEST:  # the blank and both ends
            text = text[:-2]
        chosen.append(text.strip())
    cases = tuple(rendered(template, chosen, words))
    return Work(name, "", "mlm", cases, LONGEST, pattern)


def _counter(name: str) -> Callable[[str], int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(HERE.parent / "models" / name / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


# ------------------------------------------------------------------ nsp


def _tnews(labels: int) -> Callable[[Path, int], Work]:
    def build(data: Path, rows: int) -> Work:
        texts = spread(read(data / "fewclue" / "tnews" / "test_public.json", "sentence"), rows)
        template = library.template("zh-news-nsp")
        words: list[str] = list(library.verbalizer_of(template).choices(Row({})))
        if labels > len(words):
            files = sorted((data / "fewclue" / "iflytek").glob("t*.json"))
            words = sorted({name for file in files for name in read(file, "label_des")})
        if len(words) < labels:
            raise ValueError(f"{len(words)} labels where {labels} were expected")
        return Work("tnews", "", "nsp", tuple(rendered(template, texts, words[:labels])))

    return build
