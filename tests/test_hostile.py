"""What SECURITY.md promises, each promise with a test that shows it: rows, templates and models from strangers."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from helpers import LENGTH, Tiny, put
from tiny import SPECIAL, TEXTS, bert_config, build, byte_bpe, roberta_bpe, sentencepiece_bpe, wordpiece
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from promptshot import shelf
from promptshot.classify import recipe
from promptshot.cli import run_command
from promptshot.errors import ModelError, PromptshotError, VerbalizerError
from promptshot.prompts import library
from promptshot.prompts.template import Template
from promptshot.report import console
from promptshot.rows.row import Row
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.checkpoints import suspect
from promptshot.scorers.checkpoints.encoder import TextEncoder
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scoring import Kind, ModelOptions, Piece, Prompt

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parent.parent
TEMPLATE = 'scorer: mlm\ntext: "{mask}。{text}"\nverbalizer: {labels: {a: 很, b: 不}}\nabout: a test\n'


def test_security_md_names_tests_that_are_there() -> None:
    said = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", said))
    assert len(named) >= 20
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in files for name in re.findall(r"def (test_\w+)", text)}
    assert named <= there, named - there


# ------------------------------------------------------------------ nothing is executed


@pytest.mark.parametrize(
    "text",
    ["{text.__class__}", "{text!r}", "{text:>9}", "{0}", "{text[0]}", "{{text}}", "${text}", "%(text)s", "{% if x %}"],
)
def test_a_template_is_filled_in_and_never_evaluated(tmp_path: Path, text: str) -> None:
    path = put(tmp_path / "t.yaml", f"scorer: mlm\ntext: '{{mask}}{{text}}{text}'\n")
    if text in ("{text!r}", "{text:>9}", "{0}", "{text[0]}", "{% if x %}"):
        with pytest.raises(PromptshotError, match="neither a field nor the blank"):
            Template.load(path)
        return
    prompt = Template.load(path).render(Row({"text": "a", "text.__class__": "column"}), ("x",))
    shown = text.replace("{text.__class__}", "column").replace("{{text}}", "{text}").replace("${text}", "$a")
    assert prompt.text("") == f"a{shown}"


def test_a_row_is_never_read_as_a_template() -> None:
    prompt = library.template("zh-sentiment-mlm").render(Row({"text": "{mask}{text}{label}{{"}), ("很",))
    assert prompt.text("很") == "很满意。{mask}{text}{label}{{"
    assert [piece.kind for piece in prompt.pieces].count(Kind.MASK) == 1


@pytest.mark.parametrize("scorer", ["os:system", "promptshot.scorers.fake:FakeScorer", "fake"])
def test_a_template_cannot_name_code_to_run(tmp_path: Path, scorer: str) -> None:
    with pytest.raises(PromptshotError, match="scorer: must be one of: mlm, nsp, causal, rtd"):
        Template.load(put(tmp_path / "t.yaml", TEMPLATE.replace("mlm", f"'{scorer}'")))


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 60))
YAML = {
    "billion laughs": LAUGHS,
    "a loop": "about: &a [*a]\n",
    "merge keys": "x: &a {scorer: mlm}\n<<: *a\n",
    "a python object": "about: !!python/object/apply:os.system ['touch owned']\n",
    "a python name": "about: !!python/name:os.system\n",
    "a tag of its own": "about: !owned x\n",
    "a doubled key": TEMPLATE + "about: b\n",
    "an unknown key": TEMPLATE + "run: rm\n",
    "deep nesting": "about: " + "[" * 50_000,
    "deep mappings": "{a: " * 50_000,
    "very many values": "- a\n" * 500_000,
    "as many unknown keys as there may be values": "".join(f"k{i}:\n" for i in range(99_000)),
    "as many misspelt keys of fields": TEMPLATE + "fields:\n" + "".join(f" f{i}: {{jion: x}}\n" for i in range(49_000)),
    "as many labels of one word": "scorer: mlm\ntext: '{mask}{text}'\nverbalizer:\n labels:\n"
    + "".join(f"  l{i}: w\n" for i in range(99_000)),
    "a million braces": "scorer: mlm\ntext: '" + "{" * 2_000_000 + "'\n",
    "very many braces around nothing": "scorer: mlm\ntext: '" + "{ }" * 600_000 + "'\n",
    "a file as large as a book": "#" * 3_000_000,
    "two documents": TEMPLATE + "---\n" + TEMPLATE,
    "half a character": 'about: "\\ud800"\n',
    "a NUL": 'about: "\\0"\n',
    "bytes": "\xff\xfe\x00",
}


@pytest.mark.parametrize("kind", YAML)
def test_a_hostile_yaml_file_is_refused_in_time_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = put(tmp_path / "t.yaml", YAML[kind])
    rows = put(tmp_path / "r.jsonl", '{"text": "a"}\n')
    began = time.process_time()
    code = run_command(["classify", str(rows), "-t", str(path), "--scorer", "fake"])
    seconds = time.process_time() - began
    out, err = capsys.readouterr()
    tracemalloc.start()  # which takes several times as long
    with pytest.raises(PromptshotError):
        library.verbalizer_of(Template.load(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {path}")
    assert err.count("\n") == 1
    assert seconds < 10
    assert peak < 200 << 20
    assert not (tmp_path / "owned").exists()


# ------------------------------------------------------------------ special tokens in a text stay text


def unigram(names: Sequence[str] = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "<extra_id_0>")) -> Tokenizer:
    """A Unigram model, which has special tokens among its pieces, as XLM-RoBERTa, ALBERT and T5 have."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=list(names), unk_token="<unk>", show_progress=False,
        initial_alphabet=[chr(c) for c in range(33, 127)],
    )  # fmt: skip
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return made


def word_level() -> Tokenizer:
    """Whole words, so that a special token that stands alone would be found."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "[MASK]": 1, "[SEP]": 2, "a": 3, "b": 4}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["[UNK]", "[MASK]", "[SEP]"])
    return made


TOKENIZERS: dict[str, tuple[Callable[[], Tokenizer], dict[str, str]]] = {
    "wordpiece": (wordpiece, SPECIAL),
    "byte-level BPE": (lambda: byte_bpe(["<|endoftext|>"]), {"eos_token": "<|endoftext|>"}),
    "RoBERTa's BPE": (roberta_bpe, {"mask_token": "<mask>", "unk_token": "<unk>", "eos_token": "</s>"}),
    "sentencepiece BPE": (sentencepiece_bpe, {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}),
    "unigram": (unigram, {"mask_token": "<mask>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}),
    "word level": (word_level, {"mask_token": "[MASK]", "unk_token": "[UNK]"}),
}
TOKENS = [
    *(
        "[MASK]",
        "[SEP]",
        "[CLS]",
        "[PAD]",
        "<s>",
        "</s>",
        "<pad>",
        "<mask>",
        "<unk>",
        "<|endoftext|>",
        "<eod>",
        "<sep>",
    ),
    *("<extra_id_0>", "＜mask＞", "＜/s＞", "<MASK>", "<m" + "ask>", "\u200b<mask>", "<mask><mask>"),
]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("token", TOKENS)
def test_a_special_token_in_a_text_stays_text(kind: str, token: str) -> None:
    make, names = TOKENIZERS[kind]
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=make(), **names)
    encoder = TextEncoder(tokenizer)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    for text in (token, f"a {token} b", f"a{token}b", f"{token} {token}"):
        assert not special & {*encoder.ids(text), *encoder.continuing(text)}
        assert len(encoder.spans(text)) == len(encoder.ids(text))
    assert encoder.ids("a b")


def test_taking_special_tokens_out_changes_no_other_token() -> None:
    plain = unigram()
    encoder = TextEncoder(transformers.PreTrainedTokenizerFast(tokenizer_object=unigram(), mask_token="<mask>"))
    for text in (*TEXTS, "a < b > c", "<x>", "龘"):
        assert len(encoder.ids(text)) == len(plain.encode(text, add_special_tokens=False).ids)
    made = Tokenizer.from_str(plain.to_str())
    made.add_tokens(["体育新闻"])
    encoder = TextEncoder(transformers.PreTrainedTokenizerFast(tokenizer_object=made, mask_token="<mask>"))
    assert made.token_to_id("体育新闻") in encoder.ids("这是体育新闻<mask>")
    assert made.token_to_id("<mask>") not in encoder.ids("这是体育新闻<mask>")


@pytest.fixture(scope="module")
def xlm(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A masked language model with a Unigram tokenizer."""
    made = unigram()
    names = {
        "mask_token": "<mask>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    }
    return build(tmp_path_factory.mktemp("xlm"), transformers.BertForMaskedLM, bert_config(made), made, **names)


@pytest.mark.parametrize("model", ["bert_mlm", "roberta", "xlm"])
@pytest.mark.parametrize("token", ["[MASK]", "<mask>", "＜mask＞", "[SEP]", "</s>"])
def test_a_mask_in_a_row_a_word_or_a_template_is_never_the_blank(
    request: pytest.FixtureRequest, model: str, token: str
) -> None:
    tiny: Tiny = request.getfixturevalue(model)
    scorer = load("mlm", ModelOptions(tiny.name))
    assert isinstance(scorer, TorchScorer)
    pieces = (
        Piece(Kind.FIXED, f"a {token} b "),
        Piece(Kind.FIELD, f"{token}{token} good {token}"),
        Piece(Kind.FIXED, " it was "),
        Piece(Kind.MASK),
        Piece(Kind.FIXED, f" {token}"),
    )
    prompt = Prompt(pieces, ("a", token))
    tokenizer = tiny.tokenizer
    for query in scorer.plan(prompt).queries:
        masks = [i for i, token_id in enumerate(query.ids) if token_id == tokenizer.mask_token_id]
        assert masks == list(query.asked)
        assert query.ids.count(tokenizer.sep_token_id) == 1
        assert tokenizer.mask_token_id not in {i for target in query.targets for i in target}
    (found,) = scorer.score([prompt])
    assert found.error is None


@pytest.mark.parametrize("token", ["<|endoftext|>", "<s>", "</s>", "[MASK]"])
@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_the_end_of_a_text_in_a_demonstration_a_word_or_a_row_ends_nothing(
    request: pytest.FixtureRequest, model: str, token: str
) -> None:
    tiny: Tiny = request.getfixturevalue(model)
    scorer = load("causal", ModelOptions(tiny.name))
    assert isinstance(scorer, TorchScorer)
    pieces = (Piece(Kind.DEMO, f"a {token} good\n"), Piece(Kind.FIELD, f"b {token}"), Piece(Kind.MASK))
    special = set(tiny.tokenizer.all_special_ids) - {tiny.tokenizer.unk_token_id if model == "llama" else None}
    for query in scorer.plan(Prompt(pieces, ("good", token))).queries:
        text = query.ids[1:] if query.ids[0] == tiny.tokenizer.bos_token_id else query.ids
        assert not special & set(text)
        assert not special & {i for target in query.targets for i in target}


# ------------------------------------------------------------------ names and paths


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/etc/passwd", "~/x", "~root/x", "x\0", "..\\x", "\\\\host\\share\\x", "n" * 100_000, ".", "..", ""),
        *("file:///etc/passwd", "http://127.0.0.1/x.yaml", "a/../../x.yaml", "\u202ex", "\x1b[31m", "con", "\ud800"),
    ],
)
@pytest.mark.parametrize("kind", ["templates", "verbalizers"])
def test_a_name_that_plays_tricks_finds_nothing_and_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: shelf.Shelf
) -> None:
    put(tmp_path / "x.yaml", TEMPLATE)
    (tmp_path / "own" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "own" / "deep")
    find = library.template if kind == "templates" else library.verbalizer
    with pytest.raises(PromptshotError) as caught:
        find(name, tmp_path / "own")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2000


SECRET = "root:x:0:0:secret\npassword: hunter2\n"


@pytest.mark.parametrize("how", ["absolute", "relative", "link", "link in a folder", "library"])
def test_a_template_cannot_show_what_another_file_says(tmp_path: Path, how: str) -> None:
    secret = put(tmp_path / "passwd", SECRET)
    inside = tmp_path / "downloaded" / "templates"
    path = put(inside / "t.yaml", "scorer: mlm\ntext: '{mask}{text}'\nverbalizer: WHERE\n")
    named = {"absolute": str(secret), "relative": "../../passwd", "link": "./v.yaml", "library": "v"}
    if how == "link":
        (inside / "v.yaml").symlink_to(secret)
    if how == "link in a folder":
        (inside / "d").symlink_to(tmp_path)
        (tmp_path / "v.yaml").symlink_to(secret)
    if how == "library":
        (tmp_path / "downloaded" / "verbalizers").mkdir()
        (tmp_path / "downloaded" / "verbalizers" / "v.yaml").symlink_to(secret)
    path.write_text(path.read_text().replace("WHERE", named.get(how, "d/v.yaml")))
    with pytest.raises(PromptshotError) as caught:
        library.verbalizer_of(Template.load(path), tmp_path / "downloaded")
    assert "secret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "no " in str(caught.value)
    assert library.names("verbalizers", tmp_path / "downloaded") == library.names("verbalizers")


def test_a_link_to_a_yaml_file_is_followed(tmp_path: Path) -> None:
    own = put(tmp_path / "mine.yaml", "labels: {a: x, b: y}\n")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "v.yaml").symlink_to(own)
    assert library.verbalizer("v", tmp_path / "library").names == ("a", "b")


def test_a_link_to_nothing_or_to_itself_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert library.names("verbalizers", tmp_path) == library.names("verbalizers")
    for name in ("gone", "loop", "pipe", "folder"):
        with pytest.raises(PromptshotError, match="no verbalizer named"):
            library.verbalizer(name, tmp_path)


# ------------------------------------------------------------------ terminals

EVIL = "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b]8;;http://x\x1b\\\x1b[2J\x9b31m\u202eevil\u2066\u200b\x08\r\x7f[red]x[/red]"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """What a terminal got, but for the colours and line ends that are our own."""
    return re.sub(r"\x1b\[[\d;?]*[mhlKA]|\r", "", text)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_escape_sequences_never_reach_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(console.Console, "is_terminal", True)
    name = EVIL.replace("/", "")
    rows = put(tmp_path / f"{name}.jsonl", f"{json.dumps({'text': EVIL, 'label': EVIL})}\n{EVIL}\n" * 3)
    labels = {"labels": {EVIL: ["很"], "b": [EVIL]}, "about": EVIL}
    keys = {"scorer": "mlm", "text": "{mask}{text}", "verbalizer": labels, "about": EVIL, "example": {"text": EVIL}}
    path = put(tmp_path / "lib" / "templates" / f"{name}.yaml", json.dumps(keys))
    put(tmp_path / "lib" / "verbalizers" / f"{name}.yaml", json.dumps(labels))
    out = str(tmp_path / "out.jsonl")
    base = ["classify", str(rows), "--scorer", "fake"]
    runs = [
        [*base, "-t", str(path), "-o", out],
        [*base, "-t", str(path), "--dry-run"],
        [*base, "-t", "{mask}" + EVIL],
        [*base, "-t", EVIL],
        [*base, "--labels", f"{EVIL},b", "-t", "{mask}{text}" + EVIL, "--dry-run"],
        ["classify", EVIL, "-t", str(path), "--scorer", "fake"],
        ["templates", "list", "--library", str(tmp_path / "lib")],
        ["verbalizers", "list", "--library", str(tmp_path / "lib")],
        ["templates", "show", "x" + EVIL],
    ]
    for arguments in runs:
        run_command(arguments)
        for said in capsys.readouterr():
            assert not OBEYED.findall(shown(said)), (arguments, said)


def test_zero_width_and_right_to_left_letters_of_a_language_are_still_shown() -> None:
    assert console.printable("שלום 你好 😀") == "שלום 你好 😀"


# ------------------------------------------------------------------ models from strangers

CLOZE = Prompt((Piece(Kind.FIELD, "a "), Piece(Kind.MASK)), ("good",))


class Owned:
    """An object that, when a pickle of it is read, makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def copied(tiny: Tiny, folder: Path) -> Path:
    shutil.copytree(tiny.folder, folder)
    return folder


@pytest.mark.parametrize("allowed", [False, True])
def test_a_pickle_is_refused_and_its_code_never_run(bert: Tiny, tmp_path: Path, allowed: bool) -> None:
    folder = copied(bert, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Owned(tmp_path / "owned")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        load("mlm", ModelOptions(str(folder), allow_pickle=allowed))
    assert ("--allow-pickle" in caught.value.hint) is not allowed
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Owned(tmp_path / "owned")))
    with pytest.raises(ModelError):
        load("mlm", ModelOptions(str(folder), allow_pickle=allowed))
    assert not (tmp_path / "owned").exists()
    pickle.loads(pickle.dumps(Owned(tmp_path / "owned")))  # it would have
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_a_checkpoint_brings_is_not_run(bert: Tiny, tmp_path: Path, file: str) -> None:
    folder = copied(bert, tmp_path / "model")
    put(folder / "own.py", f"open({str(tmp_path / 'owned')!r}, 'w')\nclass Config: pass\nclass Tokenizer: pass\n")
    said = json.loads((folder / file).read_text())
    said |= {"auto_map": {"AutoConfig": "own.Config", "AutoTokenizer": ["own.Tokenizer", None]}}
    said |= {"model_type": "own"} if file == "config.json" else {"tokenizer_class": "Own"}
    put(folder / file, json.dumps(said))
    if file == "config.json":
        with pytest.raises(ModelError, match="--trust-remote-code"):
            load("mlm", ModelOptions(str(folder)))
    else:
        load("mlm", ModelOptions(str(folder)))  # its own tokenizer is left aside for the one in tokenizer.json
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["nobody/kernels", "kernels-community/flash-attn2:run", "flash_attention_2"])
def test_a_checkpoint_cannot_have_kernels_fetched_and_run(
    bert: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("transformers.integrations.hub_kernels.load_and_register_attn_kernel", asked.append)
    folder = copied(bert, tmp_path / "model")
    said = json.loads((folder / "config.json").read_text())
    put(folder / "config.json", json.dumps(said | {"attn_implementation": name}))
    scorer = load("mlm", ModelOptions(str(folder)))
    assert isinstance(scorer, TorchScorer)
    assert scorer.model.config._attn_implementation in ("sdpa", "eager")
    assert scorer.score([CLOZE]) == load("mlm", ModelOptions(bert.name)).score([CLOZE])
    assert not asked


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"\xff" * 50, b'{"a": ' * 3000, b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"]
)
def test_a_damaged_checkpoint_is_one_line(bert: Tiny, tmp_path: Path, file: str, data: bytes) -> None:
    folder = copied(bert, tmp_path / "model")
    put(folder / file, data)
    with pytest.raises(PromptshotError) as caught:
        load("mlm", ModelOptions(str(folder)))
    assert str(caught.value).isprintable()


def changed(path: Path, *keys: str | int, value: Any) -> None:
    """Put a value into a JSON file."""
    said = place = json.loads(path.read_text(encoding="utf-8"))
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    put(path, json.dumps(said))


def refusal(folder: Path, seconds: float = 20.0, scorer: str = "mlm") -> str:
    """The line with which a model is refused, by its scorer and by its tokenizer alone, in time."""
    said = []
    for load_it in (lambda: load(scorer, ModelOptions(str(folder))), lambda: load_tokenizer(ModelOptions(str(folder)))):
        began = time.monotonic()
        with pytest.raises(ModelError) as caught:
            load_it()
        assert time.monotonic() - began < seconds
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000
        said.append(str(caught.value))
    assert said[0] == said[1]
    return said[0]


ENDLESS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (os.mkfifo, "a pipe, not a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"),
    "endless": (lambda path: os.truncate(put(path, b""), 1 << 42), "a file of 4,194,304 MiB"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="devices and sparse files of Linux")
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "merges.txt", "chat_template.jinja", "x.model"]
)
@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_among_the_files_of_a_model_is_never_read(
    bert: Tiny, tmp_path: Path, file: str, what: str
) -> None:
    folder = copied(bert, tmp_path / "model")
    (folder / file).unlink(missing_ok=True)
    make, said = ENDLESS[what]
    make(folder / file)
    assert f"{folder / file}: {said}" in refusal(folder, 2.0)
    rows = put(tmp_path / "r.jsonl", '{"text": "a"}\n')
    for model in (["-m", str(folder)], ["-m", str(folder), "--scorer", "fake"]):  # which hashes what it does not load
        began = time.monotonic()
        run_command(
            ["classify", str(rows), "-t", "{mask}{text}", "--labels", "很,不", *model, "-o", str(tmp_path / "o")]
        )
        assert time.monotonic() - began < 15


def test_a_link_to_a_file_or_to_nothing_among_the_files_is_what_it_is(bert: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in bert.folder.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "vocab.txt").symlink_to("nowhere")
    (folder / "merges.txt").symlink_to("merges.txt")
    (folder / "spiece.model").mkdir()
    assert load("mlm", ModelOptions(str(folder))).score([CLOZE]) == load("mlm", ModelOptions(bert.name)).score([CLOZE])
    assert recipe.folder_hash(str(folder)) == recipe.folder_hash(bert.name)


def test_a_very_large_file_is_hashed_by_its_size_and_by_blocks_all_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "LARGE", 100_000)
    monkeypatch.setattr(recipe, "BLOCK", 1000)
    data = bytes(200_000)
    found = {}
    for name, said in {
        "same": data, "again": data, "first": b"x" + data[1:], "last": data[:-1] + b"x",
        "middle": data[:100_000] + b"x" * 3000 + data[103_000:], "longer": data + b"\0",
    }.items():  # fmt: skip
        found[name] = recipe._file_hash(str(put(tmp_path / name, said)))
    assert found.pop("again") == found["same"]
    assert len(set(found.values())) == len(found)


SIZES_OF_STRANGERS: list[tuple[str, Any, str]] = [
    ("num_hidden_layers", 10**7, "num_hidden_layers: 10000000; more than 100,000 there cannot be"),
    ("num_hidden_layers", 1e18, "num_hidden_layers: 1e+18; more than"),
    ("num_labels", 10**9, "num_labels: 1000000000; more than"),
    ("vocab_size", 10**11, "weights, and its files of weights have"),
    ("hidden_size", 2 * 10**6, "weights, and its files of weights have"),
    ("max_position_embeddings", 10**13, "weights, and its files of weights have"),
    ("hidden_size", 10**13, "cannot be loaded"),
    ("vocab_size", -5, "cannot be loaded"),
    ("intermediate_size", [5], "cannot be loaded"),
    ("num_attention_heads", 0, "cannot be loaded"),
    ("hidden_act", "sudo", "cannot be loaded: KeyError"),
]


@pytest.mark.parametrize(("key", "value", "said"), SIZES_OF_STRANGERS)
def test_sizes_that_no_weights_can_have_are_refused_by_arithmetic(
    bert: Tiny, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    folder = copied(bert, tmp_path / "model")
    changed(folder / "config.json", key, value=value)
    with pytest.raises(ModelError) as caught:
        load("mlm", ModelOptions(str(folder)))
    assert said in str(caught.value)
    assert str(folder) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_model_that_no_memory_can_hold_is_refused_before_it_is_made(
    bert: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspect, "memory", lambda: 50_000)
    with pytest.raises(
        ModelError, match=r"asks for [\d,]+ weights, 0 GiB; this machine has 0 GiB of memory; take a sm"
    ):
        load("mlm", ModelOptions(bert.name))
    monkeypatch.setattr(suspect, "memory", lambda: None)  # where a system does not tell
    load("mlm", ModelOptions(bert.name))


def test_a_configuration_that_takes_for_ever_is_given_up(bert: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspect, "PATIENCE", 0.3)
    built = transformers.BertModel.__init__

    def slow(self: Any, *args: Any, **more: Any) -> None:
        try:
            end = time.thread_time() + 30
            while time.thread_time() < end:
                pass
        except Exception:  # as libraries have it
            pass
        built(self, *args, **more)

    monkeypatch.setattr(transformers.BertModel, "__init__", slow)
    assert "it takes more than 0.3 seconds" in refusal(bert.folder, 10.0)


LENGTHS: list[tuple[Any, int | None]] = [
    *((48, 48), (48.0, 48), (None, LENGTH), (0, LENGTH), (-1, LENGTH), (1e300, LENGTH), (10**40, LENGTH)),
    *((float("inf"), LENGTH), (float("nan"), None), (-7, None), (True, None), (False, None), ([48], None), ({}, None)),
    *(("many", None), ("48", None), ("", None), (0.5, None), (float("-inf"), None)),
]


@pytest.mark.parametrize(("value", "limit"), LENGTHS)
def test_a_maximum_length_is_a_number_of_tokens_or_none_at_all(
    bert: Tiny, tmp_path: Path, value: Any, limit: int | None
) -> None:
    folder = copied(bert, tmp_path / "model")
    changed(folder / "tokenizer_config.json", "model_max_length", value=value)
    if limit is None:
        assert "model_max_length" in (said := refusal(folder)) or "cannot be loaded" in said
        return
    assert load("mlm", ModelOptions(str(folder))).limit == limit  # type: ignore[attr-defined]
    assert load_tokenizer(ModelOptions(str(folder))).limit == limit


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ({"a": "../model/model.safetensors"}, "names what is not in its folder: ../model/model.safetensors"),
        ({"a": "/tmp/x.safetensors"}, "names what is not in its folder"),
        ({"a": "a.safetensors", "b": "b.safetensors"}, "names files that are not there: a.safetensors, b.safetensors"),
        ({"a": 5}, "no 'weight_map' from weights to files"),
        ([], "no 'weight_map' from weights to files"),
        ({"a": ".."}, "names what is not in its folder"),
    ],
)
def test_an_index_names_files_of_its_own_folder(bert: Tiny, tmp_path: Path, shards: Any, said: str) -> None:
    folder = copied(bert, tmp_path / "model")
    (folder / "model.safetensors").rename(tmp_path / "x.safetensors")
    put(folder / "model.safetensors.index.json", json.dumps({"weight_map": shards}))
    assert said in refusal(folder)


@pytest.mark.parametrize(
    "data",
    [b"[" * 200_000, b'{"a": ' * 900 + b"1" + b"}" * 900, b"[]", b"7", b"\xff{}", b'{"a": ' + b"7" * 9999 + b"}"],
)
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
)
def test_what_is_no_json_object_is_refused_by_its_name(bert: Tiny, tmp_path: Path, file: str, data: bytes) -> None:
    folder = copied(bert, tmp_path / "model")
    put(folder / file, data)
    assert f"{folder / file}: cannot be loaded: " in refusal(folder, 5.0)


# ------------------------------------------------------------------ tokenizers that blow up

BLOWN: dict[str, tuple[str, Any]] = {
    "a pattern that looks back": ("pre_tokenizer", {"Regex": r"(?:x+x+)+y|(.*)*\1q"}),
    "very many steps": ("steps", 200_000),
    "text that doubles": ("normalizer", [{"String": "e"}] * 40),
    "a sign that becomes a book": ("normalizer", {"Regex": "[a-z]"}),
    "padding to a billion": ("padding", 10**9),
    "a prefix like a book": ("prepend", 10**8),
}


def blown(path: Path, kind: str) -> None:
    where, pattern = BLOWN[kind]
    split = {"type": "Split", "pattern": pattern, "behavior": "Removed", "invert": False}
    replace = {"type": "Replace", "pattern": pattern, "content": "t" * 10**7}
    doubling = (
        [{"type": "Replace", "pattern": one, "content": "eee"} for one in pattern] if where == "normalizer" else []
    )
    parts: dict[str, tuple[str, Any]] = {
        "pre_tokenizer": (where, split),
        "normalizer": (where, {"type": "Sequence", "normalizers": doubling} if isinstance(pattern, list) else replace),
        "padding": (
            where,
            {"strategy": {"Fixed": pattern}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
             "pad_type_id": 0, "pad_token": "[PAD]"},
        ),
        "steps": ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFKD"}] * 200_000}),
        "prepend": ("normalizer", {"type": "Prepend", "prepend": "x" * 10**7}),
    }  # fmt: skip
    changed(path, parts[where][0], value=parts[where][1])


@pytest.mark.parametrize("kind", BLOWN)
def test_a_tokenizer_that_blows_up_is_stopped_in_a_process_of_its_own(
    bert: Tiny, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspect, "TRIED", 4.0)
    folder = copied(bert, tmp_path / "model")
    blown(folder / "tokenizer.json", kind)
    said = refusal(folder)
    assert f"{folder / 'tokenizer.json'}: it takes more than" in said or "the tokenizers library panics at it" in said


def test_usual_tokenizers_are_not_tried_and_others_are_once(
    bert: Tiny, gpt2: Tiny, llama: Tiny, roberta: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    trial = suspect._try
    monkeypatch.setattr(suspect, "_try", lambda path, said: tried.append(path.name) or trial(path, said))
    for kind, name in (("mlm", bert.name), ("causal", gpt2.name), ("causal", llama.name), ("mlm", roberta.name)):
        load(kind, ModelOptions(name))
    for name in ("builtin:bert", "builtin:gpt2"):
        load_tokenizer(ModelOptions(name))
    assert not tried
    folder = copied(bert, tmp_path / "model")
    replace = {"type": "Replace", "pattern": {"Regex": "colou?r"}, "content": "colour"}
    changed(folder / "tokenizer.json", "normalizer", value={"type": "Sequence", "normalizers": [replace]})
    assert load("mlm", ModelOptions(str(folder))).score([CLOZE])[0].error is None
    assert tried == ["tokenizer.json"]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokenizers_of_every_kind_are_usual(kind: str) -> None:
    make, _ = TOKENIZERS[kind]
    assert suspect.is_usual(json.loads(make().to_str()))


UNUSUAL: list[tuple[str, Any]] = [
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": 5}),
    ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 51}),
    ("normalizer", {"type": "Replace", "pattern": {"String": " "}, "content": "▁" * 9}),
    ("normalizer", "NFC"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": r"\s+|(a+)+"}, "behavior": "Isolated", "invert": False}),
    ("pre_tokenizer", {"type": "Split", "pattern": None}),
    ("decoder", {"type": "Replace", "pattern": {"Regex": ".*"}, "content": ""}),
    ("post_processor", {"type": "TemplateProcessing", "single": [{}] * 33, "pair": []}),
    ("padding", {"strategy": {"Fixed": 10**12}}),
    ("truncation", {"max_length": 10**12}),
    ("truncation", [5]),
    ("added_tokens", [{"content": "a" * 1001}]),
    ("added_tokens", "x"),
    ("model", {"type": "WordPiece", "vocab": {}, "max_input_chars_per_word": 10**9}),
    ("model", {"type": "Magic", "vocab": {}}),
    ("model", {"type": "WordPiece", "vocab": {}, "continuing_subword_prefix": "#" * 65}),
    ("model", {"type": "BPE", "vocab": {"a" * 5000: 1}}),
    ("model", {"type": "Unigram", "vocab": [[5, 0.0]]}),
    ("model", 7),
]


@pytest.mark.parametrize(("part", "value"), UNUSUAL)
def test_a_part_that_could_take_long_is_not_usual(part: str, value: Any) -> None:
    said = json.loads(wordpiece().to_str())
    assert suspect.is_usual(said)
    assert not suspect.is_usual(said | {part: value})


# ------------------------------------------------------------------ sloppy ones


def test_merges_that_are_left_to_chance_are_made_the_same_every_time(gpt2: Tiny, tmp_path: Path) -> None:
    folder = copied(gpt2, tmp_path / "model")
    changed(folder / "tokenizer.json", "model", "dropout", value=0.7)
    prompts = [Prompt((Piece(Kind.FIELD, f"{text} it was"), Piece(Kind.MASK)), (" great", " bad")) for text in TEXTS]
    assert load("causal", ModelOptions(str(folder))).score(prompts) == load("causal", ModelOptions(gpt2.name)).score(
        prompts
    )


def test_a_wordpiece_without_an_unknown_token_costs_the_rows_that_need_one_and_no_other(
    bert: Tiny, tmp_path: Path
) -> None:
    folder = copied(bert, tmp_path / "model")
    said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    said["model"]["vocab"] = {piece: i for piece, i in said["model"]["vocab"].items() if piece != "[UNK]"}
    said["added_tokens"] = [token for token in said["added_tokens"] if token["content"] != "[UNK]"]
    put(folder / "tokenizer.json", json.dumps(said))
    rows = put(tmp_path / "r.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in ("a day", "🙂", "good news")))
    out = tmp_path / "o.jsonl"
    command = [
        "classify",
        str(rows),
        "-t",
        "{text} it was {mask}",
        "--scorer",
        "mlm",
        "-m",
        str(folder),
        "-o",
        str(out),
    ]
    assert run_command([*command, "--labels", "good,awful"]) == 3
    (reject,) = map(json.loads, Path(f"{out}.rejects.jsonl").read_text(encoding="utf-8").splitlines())
    assert reject["source"].endswith("r.jsonl:2")
    assert "the tokenizer failed: " in reject["reason"]
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2
    assert run_command([*command[:-1], str(tmp_path / "p.jsonl"), "--labels", "good,☃"]) == 1  # a word is told as ever


def test_segments_that_the_model_does_not_count_are_refused_when_it_is_loaded(bert: Tiny, tmp_path: Path) -> None:
    folder = copied(bert, tmp_path / "model")
    said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    parts = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 6}}]
    said["post_processor"] = {
        "type": "TemplateProcessing", "single": parts[:1], "pair": parts, "special_tokens": {}
    }  # fmt: skip
    put(folder / "tokenizer.json", json.dumps(said))
    for kind in ("mlm", "nsp"):
        with pytest.raises(ModelError, match="gives segments the number 6, and the model knows 0 to 1"):
            load(kind, ModelOptions(str(folder)))


def test_a_token_without_an_embedding_is_the_error_of_its_row_also_where_it_was_not_foreseen(
    bert: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = load("mlm", ModelOptions(bert.name))
    assert isinstance(made, TorchScorer)
    made.embeddings = made.encoder.ids("movie")[0]
    texts = ("a day", "a movie", "a b")
    found = made.score([Prompt((Piece(Kind.FIELD, text), Piece(Kind.MASK)), ("a",)) for text in texts])
    assert [one.error for one in found] == [None, "the model has no embedding for the token 'movie'", None]


def test_padding_that_leaves_no_room_for_a_position_is_refused(roberta: Tiny, tmp_path: Path) -> None:
    folder = copied(roberta, tmp_path / "model")
    changed(folder / "config.json", "pad_token_id", value=-1)
    assert "its position embeddings leave room for" in refusal(folder)


def test_weights_of_another_shape_are_named(bert: Tiny, tmp_path: Path) -> None:
    folder = copied(bert, tmp_path / "model")
    changed(folder / "config.json", "max_position_embeddings", value=50)
    with pytest.raises(ModelError, match=r"of the body are in the checkpoint in another shape .* says: bert\.emb"):
        load("mlm", ModelOptions(str(folder)))


OFFLINE = """
import socket, sys
def refuse(*arguments, **options):
    print("NETWORK", arguments, file=sys.stderr)
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse
from promptshot.cli import main
main(sys.argv[1:])
"""


def without_network(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a Python in which every attempt to reach the network is told."""
    kept = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    command = [sys.executable, "-c", OFFLINE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=kept, cwd=ROOT)


@pytest.mark.parametrize("scorer", ["mlm", "nsp", "causal"])
def test_a_built_in_model_needs_no_network(scorer: str) -> None:
    done = without_network("classify", "examples/zh-reviews.jsonl", "-t", f"zh-sentiment-{scorer}", "-n", "2")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert "NETWORK" not in done.stderr


def test_offline_means_that_the_network_is_not_even_tried() -> None:
    rows = ["classify", "examples/zh-reviews.jsonl", "-t", "zh-sentiment-mlm", "-m", "nobody/nothing"]
    done = without_network(*rows, "--offline")
    assert done.returncode == 1
    assert "no model 'nobody/nothing': tried the local cache (offline)" in done.stderr
    assert "NETWORK" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "NETWORK" in without_network(*rows).stderr  # the guard sees what it should


# ------------------------------------------------------------------ words


def test_a_verbalizers_words_and_labels_are_text_of_bounded_weight(tmp_path: Path) -> None:
    for words in ("{a: {x: 1e308}, b: y}", "{a: {x: nan}, b: y}", '{a: "\\0", b: y}', '{a: "\\ud800", b: y}'):
        with pytest.raises((VerbalizerError, PromptshotError)) as caught:
            library.verbalizer(str(put(tmp_path / "v.yaml", f"labels: {words}\n")))
        assert str(caught.value).isprintable()
