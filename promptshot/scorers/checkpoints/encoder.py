"""Text to token ids: special tokens in a text stay text, and cutting never tears a template."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from promptshot.errors import ModelError, surfaces
from promptshot.scoring import Kind, Piece

Ids = list[int]
SEAM = 8  # words
REMEMBERED = 1024  # texts whose tokens are kept
UTF8 = 4  # bytes, and so tokens, that a character may take
RARE = "\U000103a0"  # a letter of Old Persian
_SENTINEL = re.compile("▁?<extra_id_[0-9]+>")
BYTES = (258, 257)  # ByT5 was trained with its last bytes, which are in no text, and not with those of these names


class Unfit(Exception):
    """The prompt cannot be scored; `str()` is the reason for the reader."""


@dataclass(frozen=True)
class Layout:
    """The special tokens around one text or a pair, as the tokenizer itself puts them."""

    before: Ids
    between: Ids  # empty for a single text
    after: Ids
    types: tuple[int, int]  # token type of segment A (with `before` and `between`), and of B (with `after`)

    def token_types(self, sizes: Sequence[int]) -> Ids:
        """The token types of the whole sequence, for segments of these sizes."""
        a, b = self.types
        if len(sizes) == 1:
            return [a] * (len(self.before) + sizes[0] + len(self.after))
        first = len(self.before) + sizes[0] + len(self.between)
        return [a] * first + [b] * (sizes[1] + len(self.after))


class Encoder(ABC):
    """A tokenizer seen as functions from text to ids, without special tokens."""

    apart: ClassVar[bool] = False  # whether a context and what continues it are tokenized each on its own
    source: tuple[str, Mapping[str, Any]] = ("", {})  # where its checkpoint is, and what loaders are told beside that
    tokenizer: Any  # with pad_token_id, unk_token_id, bos_token_id, eos_token_id and model_max_length

    @abstractmethod
    def ids(self, text: str) -> Ids:
        """The tokens of a text that stands at the beginning."""

    @abstractmethod
    def continuing(self, text: str) -> Ids:
        """The tokens of a text that goes on behind another."""

    def extended(self, text: str, ends: Sequence[str]) -> tuple[Ids, list[Ids]]:
        """The tokens of a text, and those of the text with each end, tokenized at once."""
        return self.ids(text), [self.ids(text + end) for end in ends]

    @abstractmethod
    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in the text (characters)."""

    def spans_continuing(self, text: str) -> list[tuple[int, int]]:
        """The same for a text that goes on behind another."""
        return self.spans(text)

    @abstractmethod
    def layout(self, pair: bool) -> Layout:
        """The special tokens around one text or a pair."""

    @abstractmethod
    def shown(self, token: int) -> str:
        """A token for people: its text, with a mark for the space that it may begin with."""

    @abstractmethod
    def piece(self, token: int) -> str:
        """A token as the tokenizer names it; empty where there is none."""

    @property
    @abstractmethod
    def special(self) -> frozenset[int]:
        """The tokens that stand for no text: those that were added as special, and the unknown one."""

    @property
    def joins(self) -> bool:
        """Whether tokens are decoded with spaces between them that none of them has."""
        return False

    @abstractmethod
    def beyond(self, size: int) -> dict[int, str]:
        """The tokens that a text can come to and whose ids are `size` or more, as people know them."""

    def lead(self, ids: Ids) -> int:
        """How many first tokens are white space only, of a word that has more than these."""
        count = 0
        while count < len(ids) - 1 and (size := self._white(ids[count : count + UTF8])):
            count += size
        return max(0, min(count, len(ids) - 1))

    def _white(self, ids: Ids) -> int:
        """How many of some first tokens are white space: one, several bytes of a wide space, or none."""
        for n in range(1, len(ids) + 1):
            text = self._decoded(tuple(ids[:n]))
            if not text.strip() and (text or not "".join(map(self.shown, ids[:n])).strip("▁")):  # and no part of one
                return n
            if "\ufffd" not in text:  # no part of a character
                break
        return 0

    @cached_property
    def _decoded(self) -> Callable[[tuple[int, ...]], str]:
        return lru_cache(maxsize=REMEMBERED)(lambda ids: str(self.tokenizer.decode(list(ids))))

    @property
    def unk(self) -> int | None:
        """The token of what the tokenizer does not know, if it has one."""
        found: int | None = self.tokenizer.unk_token_id
        return found

    @cached_property
    def loses(self) -> bool:
        """Whether characters that the tokenizer does not know leave no token at all."""
        try:
            return not self.ids(RARE)
        except BaseException as problem:  # it fails at them, and so at the rows that have them
            if surfaces(problem):
                raise
            return False

    def knows(self, text: str) -> bool:
        """Whether the tokenizer has any token for a text, besides the unknown one and white space."""
        return any(token != self.unk and not self._white([token]) for token in self.ids(text))

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words for which the tokenizer has only its unknown token (in part or whole)."""
        unk = self.tokenizer.unk_token_id
        return [w for w in words if w and (not (ids := self._tried(w)) or (unk is not None and unk in ids))]

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of different words that the tokenizer spells the same, so that no score can tell them apart."""
        first: dict[tuple[int, ...], str] = {}
        spelled = [(word, first.setdefault(tuple(self._tried(word)), word)) for word in words]
        return [(other, word) for word, other in spelled if other != word]

    def _tried(self, word: str) -> Ids:
        """The tokens of a word; none where the tokenizer fails at it, as a WordPiece without an unknown token does."""
        try:
            return self.ids(word)
        except BaseException as problem:
            if surfaces(problem):
                raise
            return []


class TextEncoder(Encoder):
    """The encoder for every tokenizer of transformers, fast or slow."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is any transformers tokenizer, fast or slow."""
        self.tokenizer = tokenizer
        self._backend = _without_special_tokens(tokenizer.backend_tokenizer) if tokenizer.is_fast else None
        self._layouts: dict[bool, Layout] = {}
        # Fitting, planning and every label of a pair ask for the same texts again.
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._tokenized)
        if self._backend is not None:
            self._backend.no_truncation()
            self._backend.no_padding()
            if getattr(self._backend.model, "dropout", None):
                self._backend.model.dropout = None  # random merges are for training
        # Tokenizers that put a space mark before every text need an anchor to go on within one.
        self._anchor = "," if self._after(",", "a") not in (None, self.ids("a")) else ""

    def ids(self, text: str) -> Ids:
        """The tokens of a text that stands at the beginning."""
        return list(self._remembered(text))

    def _tokenized(self, text: str) -> tuple[int, ...]:
        if self._backend is None:
            return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
        self._backend.encode_special_tokens = True
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def continuing(self, text: str) -> Ids:
        """The tokens of a text that goes on behind another."""
        after = self._after(self._anchor, text) if self._anchor else None
        return self.ids(text) if after is None else after

    def extended(self, text: str, ends: Sequence[str]) -> tuple[Ids, list[Ids]]:
        """The same ids as of the whole strings; where it is safe, only the tail of a long text is cut anew.

        text                  end      Tokenizers cut a text into words before tokens. No rule for words looks as far
        ..... | w w w w w w   x y      as SEAM words ahead, so that the tokens left of the seam stay what they are;
        tokens^seam                    and that the right can be cut alone is tried with the text itself.
        """
        if self._backend is None:
            return super().extended(text, ends)
        self._backend.encode_special_tokens = True
        found = self._backend.encode(text, add_special_tokens=False)
        ids: Ids = found.ids
        words = found.word_ids
        last = words[-1] if words else None
        at = bisect_left(words, last - SEAM + 1) if last is not None and None not in words else 0  # first right token
        if at:
            begin = found.token_to_chars(at)[0]
            if self.ids(text[begin:]) == ids[at:]:
                return ids, [ids[:at] + self.ids(text[begin:] + end) for end in ends]
        return ids, [self.ids(text + end) for end in ends]

    def _after(self, anchor: str, text: str) -> Ids | None:
        base, whole = self.ids(anchor), self.ids(anchor + text)
        return whole[len(base) :] if whole[: len(base)] == base else None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in the text (characters); a slow tokenizer's token counts as one."""
        if self._backend is None:
            return [(i, i + 1) for i in range(len(text))]
        self._backend.encode_special_tokens = True
        return [(start, end) for start, end in self._backend.encode(text, add_special_tokens=False).offsets]

    def spans_continuing(self, text: str) -> list[tuple[int, int]]:
        """The same for a text that goes on behind another."""
        if not self._anchor or self._after(self._anchor, text) is None:
            return self.spans(text)
        before, size = len(self.ids(self._anchor)), len(self._anchor)
        found = self.spans(self._anchor + text)[before:]
        return [(max(0, start - size), max(0, end - size)) for start, end in found]

    def shown(self, token: int) -> str:
        """Its text, with ▁ for a space, and � where it is only part of a character."""
        piece = str(self.tokenizer.convert_ids_to_tokens(token))
        text = str(self.tokenizer.decode([token])) or piece
        return "▁" + text.lstrip(" ▁") if piece.startswith(("▁", "Ġ")) else text

    def piece(self, token: int) -> str:
        """A token as the tokenizer names it; empty where there is none."""
        return self._pieces.get(token, "")

    @cached_property
    def _pieces(self) -> dict[int, str]:
        return {i: piece for piece, i in self.tokenizer.get_vocab().items()}

    @cached_property
    def special(self) -> frozenset[int]:
        """Those that were added as special, and the unknown one."""
        added = self.tokenizer.added_tokens_decoder
        ids = {*self.tokenizer.all_special_ids, self.unk, *(i for i, token in added.items() if token.special)}
        return frozenset(int(i) for i in ids if i is not None)

    @property
    def joins(self) -> bool:
        """As WordPiece has it."""
        return type(self._backend.model).__name__ == "WordPiece" if self._backend is not None else True

    def beyond(self, size: int) -> dict[int, str]:
        """Special tokens that were added stay text in a text; the unknown one may come of any text."""
        added = self.tokenizer.added_tokens_decoder
        found = {i: token for token, i in self.tokenizer.get_vocab().items() if i >= size}
        return {
            i: str(token)
            for i, token in found.items()
            if i not in added or not added[i].special or (i == self.unk and i in self.ids(RARE))
        }

    def layout(self, pair: bool) -> Layout:
        """Found by encoding a probe: works for every tokenizer and every version of transformers."""
        if pair not in self._layouts:
            self._layouts[pair] = self._probed_layout(pair)
        return self._layouts[pair]

    def _probed_layout(self, pair: bool) -> Layout:
        a, b = self.ids("a"), self.ids("b") if pair else []
        texts = ("a", "b") if pair else ("a",)
        encoded = self.tokenizer(*texts, return_token_type_ids=True)
        ids = list(encoded["input_ids"])
        types = list(encoded.get("token_type_ids") or [0] * len(ids))
        start = _find(ids, a, 0)
        end_a = start + len(a)
        start_b = _find(ids, b, end_a) if pair else end_a
        type_b = types[start_b] if pair else types[start]
        return Layout(ids[:start], ids[end_a:start_b], ids[start_b + len(b) :], (types[start], type_b))


def _without_special_tokens(backend: Any) -> Any:
    """The tokenizer itself where `<mask>` in a text stays text, else a copy of it in which that is so.

    Most tokenizers need only be told not to look for special tokens. But a Unigram or word-level model has them
    among its pieces and finds them there by itself, as XLM-RoBERTa and T5 do: in the copy, these pieces (not
    their ids) begin with a character that no text has.
    """
    special = {token.content: i for i, token in backend.get_added_tokens_decoder().items() if token.special}
    special |= {
        name: i for name, i in backend.get_vocab().items() if _SENTINEL.fullmatch(name)
    }  # mT5 calls none special
    backend.encode_special_tokens = True
    asked = {name: i for name, i in special.items() if name != getattr(backend.model, "unk_token", None)}
    probes = [(f"a{between}{name.lstrip('▁')}", i) for name, i in asked.items() for between in ("", " ")]
    if not any(i in backend.encode(text, add_special_tokens=False).ids for text, i in probes):
        return backend
    said = json.loads(backend.to_str())
    model = said["model"]

    def renamed(piece: str) -> str:
        return f"\0{piece}" if piece in special else piece

    if isinstance(model["vocab"], dict):
        model["vocab"] = {renamed(piece): i for piece, i in model["vocab"].items()}
    else:
        model["vocab"] = [[renamed(piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token"):
        model["unk_token"] = renamed(model["unk_token"])
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if "".join(pair) not in special]
    known = backend.get_vocab(with_added_tokens=False)
    said["added_tokens"] = [
        token
        for token in said["added_tokens"]
        if not (_SENTINEL.fullmatch(token["content"]) or (token["special"] and token["content"] in known))
    ]
    copy = type(backend).from_str(json.dumps(said | {"post_processor": None, "truncation": None, "padding": None}))
    copy.encode_special_tokens = True
    return copy


def sentinels(tokenizer: Any) -> Ids:
    """The first two signs of T5 for a span that is left out, <extra_id_0> and <extra_id_1>; none where it has none.

    mT5 has them as pieces of its sentencepiece model, with a space mark, and they count down in most vocabularies.
    """
    if type(tokenizer).__name__ == "ByT5Tokenizer":
        return list(BYTES)
    known = tokenizer.get_vocab()
    for names in (("▁<extra_id_0>", "▁<extra_id_1>"), ("<extra_id_0>", "<extra_id_1>")):
        if all(name in known for name in names):
            return [int(known[name]) for name in names]
    return []


def _find(ids: Ids, part: Ids, start: int) -> int:
    for i in range(start, len(ids) - len(part) + 1):
        if ids[i : i + len(part)] == part:
            return i
    raise ModelError("the tokenizer does not keep its own tokens apart", hint="use another checkpoint")


# ------------------------------------------------------------------ runs of text


def segments(pieces: Sequence[Piece]) -> list[list[str | Kind]]:
    """Neighbouring texts joined; MASK and HOLE stand between them; a BREAK begins a new segment."""
    found: list[list[str | Kind]] = [[]]
    for piece in pieces:
        if piece.kind is Kind.BREAK:
            found.append([])
        elif piece.kind in (Kind.MASK, Kind.HOLE):
            found[-1].append(piece.kind)
        elif found[-1] and isinstance(last := found[-1][-1], str):
            found[-1][-1] = last + piece.text
        else:
            found[-1].append(piece.text)
    return found


def in_runs(pieces: Sequence[Piece]) -> list[list[list[Piece]]]:
    """The same as pieces: for each segment, neighbouring texts together, the blank and the hole on their own."""
    found: list[list[list[Piece]]] = [[]]
    for piece in pieces:
        if piece.kind is Kind.BREAK:
            found.append([])
        elif piece.kind in (Kind.MASK, Kind.HOLE) or not found[-1] or found[-1][-1][0].kind in (Kind.MASK, Kind.HOLE):
            found[-1].append([piece])
        else:
            found[-1][-1].append(piece)
    return found


def common_prefix(sequences: Sequence[Ids]) -> int:
    """How many first ids all sequences share."""
    first, last = min(sequences), max(sequences)  # what these share lies in all between them
    shared, most = 0, min(len(first), len(last))
    while shared < most:  # by halves: contexts of a thousand tokens are compared at once, and not token by token
        middle = (shared + most + 1) // 2
        shared, most = (middle, most) if first[shared:middle] == last[shared:middle] else (shared, middle - 1)
    return shared
