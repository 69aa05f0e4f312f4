"""The tokenizer of CPM: jieba's words, joined by spaces, in the pieces of a sentencepiece model.

This is what CPM was trained with (TsinghuaAI/CPM-Generate). The CpmTokenizer of transformers gives other ids:
it loses line breaks and appends <sep><cls>, whose ids lie beyond CPM's embeddings.
"""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from transformers.utils import cached_file

from promptshot.errors import ModelError, install, lacking, told
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, Layout

CLASSES = ("CpmTokenizer", "CpmTokenizerFast")
FILES = ("spiece.model", "chinese_vocab.model")
SPACE, NEWLINE = "\u2582", "\u2583"  # ▂ and ▃
OLD_NEWLINE = "<cls>"  # the piece of a line break in the first release, which no text is cut into
_SIGNS = str.maketrans({" ": SPACE, "\n": NEWLINE})


class CpmTokenizer:
    """Text to ids and back, with the few attributes that scorers read from any tokenizer."""

    bos_token_id = None  # nothing begins a text; documents end with <eod>
    model_max_length = None

    def __init__(self, file: Path) -> None:
        """Load the sentencepiece model in `file`; raises ModelError when it, or an extra package, is missing."""
        self.words = segmenter("CPM")
        try:
            self.pieces = _needed("sentencepiece", "CPM").SentencePieceProcessor(model_file=str(file))
        except (OSError, RuntimeError):
            raise ModelError("no sentencepiece model", where=str(file), hint="fetch the checkpoint anew") from None
        self.unk_token_id: int = self.pieces.unk_id()
        self.pad_token_id = self._id("<pad>")
        self.eos_token_id = self._id("<eod>")
        self.newline_id = next(filter(None, map(self._id, (NEWLINE, OLD_NEWLINE))), self.unk_token_id)
        self.encode = lru_cache(maxsize=4096)(self._encode)  # a context comes once for each choice

    def __len__(self) -> int:
        """How many tokens there are."""
        return int(self.pieces.get_piece_size())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids; spaces and line breaks come from tokens of their own."""
        lines: list[list[int]] = [[]]
        for token in ids:
            if token == self.newline_id:
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(self.pieces.decode(line).replace(" ", "").replace(SPACE, " ") for line in lines)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in the text (characters).

        text      体 育 | 新 闻       jieba's words
        joined    体 育 _ 新 闻       the space between them stands nowhere in the text
        origin    0  1  2 2  3  4
        """
        origin: list[int] = []
        place = 0
        for word in self._words(text):
            origin += range(place, place + len(word))
            place += len(word)
            origin.append(place)
        # The last of `origin` stands for the end of the text, and for a space that does not follow.
        return [(origin[begin], origin[end]) for begin, end in self._cut(text)["offsets"]]

    def _encode(self, text: str) -> tuple[int, ...]:
        found = self._cut(text)
        pairs = zip(found["ids"], found["pieces"], strict=True)
        return tuple(self.newline_id if piece == NEWLINE else token for token, piece in pairs)

    def _cut(self, text: str) -> Any:
        """The ids, pieces and offsets of jieba's words, joined by spaces."""
        joined = " ".join(word.translate(_SIGNS) for word in self._words(text))
        return self.pieces.encode(joined, return_type="offset_mapping")

    def _words(self, text: str) -> list[str]:
        return list(self.words.cut(text, cut_all=False))

    def _id(self, piece: str) -> int | None:
        found = int(self.pieces.piece_to_id(piece))
        return None if found == self.unk_token_id else found


class CpmEncoder(Encoder):
    """No special tokens anywhere; prompt and continuation are tokenized apart, as CPM's own scorer does.

    jieba looks at what stands around a word, so both at once may give other tokens.
    """

    apart: ClassVar[bool] = True

    tokenizer: CpmTokenizer

    def __init__(self, tokenizer: CpmTokenizer) -> None:
        self.tokenizer = tokenizer

    def ids(self, text: str) -> Ids:
        """The tokens of a text."""
        return list(self.tokenizer.encode(text))

    def continuing(self, text: str) -> Ids:
        """The same: every word carries its own space mark."""
        return self.ids(text)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in the text (characters)."""
        return self.tokenizer.spans(text)

    def beyond(self, size: int) -> dict[int, str]:
        """All pieces from there on; `load` has compared their number with the model's."""
        return {i: self.shown(i) for i in range(size, len(self.tokenizer))}

    def piece(self, token: int) -> str:
        """That of the sentencepiece model; empty where there is none."""
        return self.shown(token) if token < len(self.tokenizer) else ""

    @property
    def special(self) -> frozenset[int]:
        """Those of the control pieces, but not the line break."""
        pieces, newline = self.tokenizer.pieces, self.tokenizer.newline_id
        ids = range(len(self.tokenizer))
        no = {i for i in ids if pieces.is_control(i) or pieces.is_unknown(i)} | {self.tokenizer.eos_token_id}
        return frozenset(i for i in no if i is not None and i != newline)

    def shown(self, token: int) -> str:
        """The piece of the sentencepiece model."""
        return str(self.tokenizer.pieces.id_to_piece(token))

    def layout(self, pair: bool) -> Layout:
        """Nothing around a text."""
        return Layout([], [], [], (0, 0))


# ------------------------------------------------------------------ loading


def is_cpm(place: str, config: Any, where: Mapping[str, Any]) -> bool:
    """Whether a checkpoint (folder or hub name) names CPM's tokenizer; `where` has revision and the like."""
    if getattr(config, "tokenizer_class", None) in CLASSES:
        return True
    file = file_of(place, "tokenizer_config.json", where)
    if file is None:
        return False
    said = json.loads(file.read_text(encoding="utf-8"))
    return isinstance(said, dict) and said.get("tokenizer_class") in CLASSES


def load(place: str, config: Any, where: Mapping[str, Any]) -> CpmTokenizer:
    """The tokenizer of a CPM checkpoint; raises ModelError when its file or an extra package is missing."""
    found = (file_of(place, name, where) for name in FILES)
    others = sorted(Path(place).glob("*.model")) if Path(place).is_dir() else []
    file = next((path for path in found if path is not None), others[0] if len(others) == 1 else None)
    if file is None:
        raise ModelError(f"no {' or '.join(FILES)}", where=place, hint="put CPM's sentencepiece model there")
    tokenizer = CpmTokenizer(file)
    if len(tokenizer) > config.vocab_size:
        what = f"{file.name} has {len(tokenizer)} tokens, the model only {config.vocab_size}"
        raise ModelError(what, where=place, hint="take the sentencepiece model of this checkpoint")
    return tokenizer


def file_of(place: str, name: str, where: Mapping[str, Any]) -> Path | None:
    """A file of the checkpoint, fetched where it is not at hand; None where there is none."""
    wanted = {key: where[key] for key in ("revision", "local_files_only") if key in where}
    try:
        found = cached_file(place, name, **wanted)
    except OSError:
        return None
    return Path(found) if found else None


def _needed(name: str, whose: str) -> Any:
    """A package of the extra, for a family's tokenizer; raises ModelError, with what installs a missing one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jieba's code is older than today's Python
            return importlib.import_module(name)
    except ImportError as problem:
        package = lacking(problem)
        needed, hint = (package, install(package)) if package else (f"{name} ({told(problem)})", "install it anew")
        raise ModelError(f"{whose}'s tokenizer needs the package {needed}", hint=hint) from None


def segmenter(whose: str) -> Any:
    """jieba with its own dictionary, loaded in silence: what others add to the common one does not matter."""
    jieba = _needed("jieba", whose)
    log = logging.getLogger(jieba.default_logger.name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        made = jieba.Tokenizer()
        made.initialize()
    finally:
        log.setLevel(level)
    return made
