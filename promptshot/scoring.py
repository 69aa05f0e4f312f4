"""The wall: prompts go down, scores come up. Here are its messages and protocols; nothing imports torch.

Above it are strings and labels, below it tensors. A scorer knows nothing of labels, files or accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Literal, Protocol, runtime_checkable

CAUTION = "caution"  # in a scorer's details: a line on what to keep in mind about its scores
Cut = Literal["tail", "head", "middle"]
Scope = Literal["choice", "choice+rest", "rest"]
# Texts longer than the model: cut, read in overlapping pieces, or read whole, with places made of two or within sight.
Long = Literal["cut", "windows", "hierarchical", "local"]
BEYOND: tuple[Long, ...] = ("hierarchical", "local")  # these read beyond the length that a model was trained on
ALPHA = 0.4  # the share of the coarse place in one made of two (kexue.fm 7947)
LongPool = Literal["mean", "max", "logsumexp"]
# What the masks of a word of several tokens know of its other tokens: nothing, those before, or all of them.
MultiToken = Literal["independent", "left-to-right", "pseudo-log-likelihood"]


class Kind(Enum):
    """What a piece of a prompt is: fitting shortens FIELD, drops whole DEMO, touches nothing else."""

    FIXED = "fixed"
    FIELD = "field"
    MASK = "mask"
    HOLE = "hole"  # the place in segment text whose position ids the choice takes (nsp)
    BREAK = "break"  # between segments A and B
    DEMO = "demo"
    TURN = "turn"  # a turn of a chat begins; its text is whose: system, user or assistant


SYSTEM, USER, ASSISTANT = "system", "user", "assistant"  # whose turns there are in a chat


@dataclass(frozen=True)
class Piece:
    """A stretch of a prompt; `cut` and `cut_order` say how a FIELD gives way (lowest order first).

    A DEMO with an `answer` is two turns of a chat: `text` is what was asked.
    """

    kind: Kind
    text: str = ""
    cut: Cut = "tail"
    cut_order: int = 0
    answer: str = ""

    @property
    def shown(self) -> str:
        """The piece for people who have no model at hand: turns begin a line, with whose they are in brackets."""
        if self.kind is Kind.TURN:
            return f"\n[{self.text}] "
        return f"\n[{USER}] {self.text}\n[{ASSISTANT}] {self.answer}" if self.answer else self.text


@dataclass(frozen=True)
class Prompt:
    """The message that crosses to a scorer: pieces, the choices for the blank, and what is scored.

    Where `several` choices may hold at once, each is judged by itself: kinds with `odds` then give the natural-log odds
    that it holds, others what they always do.

    In a chat, TURN pieces say whose the texts behind them are: the system's, if any, the user's, the assistant's, which
    ends with the blank. Demonstrations stand before all of them, and go between system and user.
    """

    pieces: tuple[Piece, ...]
    choices: tuple[str, ...]
    scored: Scope = "choice"
    several: bool = False
    multi_token: MultiToken = "independent"
    goes_on: bool = False  # it has what follows of a text that the prompt before it has the beginning of, see Windowing

    @property
    def chat(self) -> bool:
        """Whether it is one."""
        return any(piece.kind is Kind.TURN for piece in self.pieces)

    def text(self, choice: str | None = None) -> str:
        """The prompt as a person would read it; the blank shows the choice, or ____; segments by ' | '."""
        blank = "____" if choice is None else choice
        return "".join([
            blank if piece.kind is Kind.MASK else " | " if piece.kind is Kind.BREAK else piece.shown
            for piece in self.pieces
        ])  # fmt: skip

    def whole_segments(self) -> list[str]:
        """The texts of the segments that have no blank."""
        found, blank = [""], [False]
        for piece in self.pieces:
            if piece.kind is Kind.BREAK:
                found.append("")
                blank.append(False)
            found[-1] += piece.text
            blank[-1] = blank[-1] or piece.kind is Kind.MASK
        return [text for text, has_blank in zip(found, blank, strict=True) if not has_blank]

    def texts(self) -> list[str]:
        """The prompt with each of its choices in the blank; what they share is put together once."""
        shown = [" | " if piece.kind is Kind.BREAK else piece.shown for piece in self.pieces]
        for i, piece in enumerate(self.pieces):
            if piece.kind is Kind.MASK:
                before, after = "".join(shown[:i]), "".join(shown[i + 1 :])
                return [f"{before}{choice}{after}" for choice in self.choices]
        return ["".join(shown)] * len(self.choices)


@dataclass  # frozen, it would take three times as long to make
class Scored:
    """One natural-log score and one token count per choice; higher is better, comparable in a prompt only.

    `tokens` are those of the words themselves. A score may also hold the log p of what is read before the word,
    such as a line break: that part is its `lead`, one for each choice, or () where there is none.
    `cut` is how many tokens of the row were left out to make it fit (of texts many times too long, at least so many),
    `dropped` how many demonstrations; `unknown` whether the tokenizer knows nothing of what is left of the row.
    `beyond` is how many tokens its longest sequence has more than the model was trained on, where such are read.
    `error` fails this prompt only; then there are no scores.
    """

    scores: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    cut: int = 0
    dropped: int = 0
    error: str | None = None
    lead: tuple[float, ...] = ()
    unknown: bool = False
    beyond: int = 0


def fault(scored: Scored, choices: int) -> str:
    """What is wrong with a scorer's answer for so many choices, if anything: third-party scorers come this way too."""
    if len(scored.scores) != choices:
        return f"the scorer gave {len(scored.scores)} scores for {choices} choices"
    if len(scored.tokens) != choices:
        return f"the scorer gave {len(scored.tokens)} counts of tokens for {choices} choices"
    if len(scored.lead) not in (0, choices):
        return f"the scorer gave {len(scored.lead)} leads for {choices} choices"
    try:
        return "" if all(map(math.isfinite, (*scored.scores, *scored.lead))) else "a score is not finite"
    except TypeError:
        return "a score is no number"


class Scorer(Protocol):
    """What every scorer does: one Scored for each prompt, in the same order."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]: ...


@runtime_checkable
class Checkpoint(Protocol):
    """What scorers with a tokenizer and a model also offer."""

    progress: Callable[[int], None] | None  # called with the number of prompts just finished, about

    @property
    def details(self) -> Mapping[str, Any]:
        """Device, dtype, maximum length, batch budget and the like, for the run record."""

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""


@dataclass(frozen=True)
class Token:
    """One token of a sequence as people see it; `kind` is what it belongs to, None for a special token."""

    text: str
    id: int
    kind: Kind | None = None
    segment: int = 0


@dataclass(frozen=True)
class Tokenized:
    """A prompt as a model reads it with its first choice, and the own tokens of every choice where the blank is.

    `pieces` are what fitting left of the prompt's own; `length` is that of the longest sequence. `written` is the exact
    text of a chat, special tokens too.
    """

    tokens: tuple[Token, ...] = ()
    words: tuple[tuple[Token, ...], ...] = ()
    pieces: tuple[Piece, ...] = ()
    written: tuple[Piece, ...] = ()
    length: int = 0
    cut: int = 0
    dropped: int = 0
    error: str | None = None
    least: bool = False  # whether `cut` is only known to be so much at least


class Tokenizing(Protocol):
    """A checkpoint's tokenizer as its scorers use it, without weights."""

    @property
    def kinds(self) -> Sequence[str]:
        """The scorers that the model is made for."""

    @property
    def limit(self) -> int:
        """How many tokens the model takes."""

    def tokenized(self, scorer: str, prompts: Sequence[Prompt]) -> list[Tokenized]:
        """What the scorer of that name would make of each prompt."""

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""

    def spelled(self, scorer: str, prompt: Prompt) -> list[tuple[str, ...]]:
        """The own tokens of each choice where the blank is."""

    def windows(self, scorer: str, prompt: Prompt, stride: int | None = None) -> list[Prompt]:
        """The prompts that cover one that is too long, see `Windowing`."""

    def misfit(self, scorer: str, prompt: Prompt) -> str | None:
        """Why the prompt does not fit into the model, if so."""

    def no_chat(self) -> str:
        """Why the checkpoint has no chats, see `Chatting`."""


@runtime_checkable
class Filling(Protocol):
    """What scorers with a language-model head also offer."""

    def top(self, prompts: Sequence[Prompt], n: int) -> list[list[tuple[str, float]]]:
        """The n likeliest tokens at the blank of each prompt, with natural-log probabilities."""


@runtime_checkable
class Proposing(Protocol):
    """What scorers offer that know words of their own for a blank."""

    def propose(self, prompts: Sequence[Prompt], weights: Sequence[Sequence[float]], n: int) -> list[list[str]]:
        """For each list of weights, one for each prompt: the n words that are one token at the blank and whose weighted
        sums of natural-log probabilities there are the highest, the best first."""


@dataclass(frozen=True)
class TokenScore:
    """A token of what is scored, its natural-log probability (or odds, where a scorer sums these), and whether it
    stands before the word (see `lead`)."""

    text: str
    score: float
    lead: bool = False


@runtime_checkable
class Spelling(Protocol):
    """What scorers offer whose scores are sums over tokens."""

    def spell(self, prompts: Sequence[Prompt]) -> list[list[tuple[TokenScore, ...]]]:
        """For each choice of each prompt what its score is the sum of; nothing for a prompt that cannot be scored."""


@dataclass(frozen=True)
class Gap:
    """A place in a draft whose tokens are drawn: from `least` to `most` of them; where something stands there to begin
    with, as many as that has."""

    least: int = 1
    most: int = 1
    start: str = ""


@dataclass(frozen=True)
class Draft:
    """A text to be drawn: what stays as it is, gaps, and Kind.BREAK between two segments. What is drawn depends on
    the seed and nothing else; a cloze gives `texts` of them, one chain of steps from the first to the last."""

    parts: tuple[str | Gap | Kind, ...]
    seed: str = ""
    texts: int = 1


@dataclass(frozen=True)
class Drawing:
    """How tokens are drawn: log-probabilities are divided by the temperature, of which the `top_k` likeliest are left,
    and then those that together come to `top_p`.

    A chain of a cloze takes `burn_in` steps to its first text, and `steps` from one to the next; None is ten times, and
    once, as many as it has places. A text that goes on ends at a line break, unless `newlines` may stand in it.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    burn_in: int | None = None
    steps: int | None = None
    newlines: bool = False


@dataclass(frozen=True)
class Drawn:
    """What was drawn for each gap of a draft, the number of its tokens, and the natural-log probability of these: the
    chain rule where a text goes on, and each beside all others in a cloze."""

    filled: tuple[str, ...]
    tokens: int
    log_probability: float


@runtime_checkable
class Sampling(Protocol):
    """What scorers offer that can write texts."""

    def sample(self, drafts: Sequence[Draft], how: Drawing, watch: Callable[[str], object] = str) -> list[list[Drawn]]:
        """The texts of each draft; raises OptionError for one that is too long for the model."""


@runtime_checkable
class Chatting(Protocol):
    """What scorers offer that can read prompts with turns."""

    def no_chat(self) -> str:
        """Why there can be no such prompts with its checkpoint; empty where there can."""


@runtime_checkable
class Embedding(Protocol):
    """What scorers that can tell how alike texts are also offer."""

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text, all of one size: of a model, the mean of its last layer over the tokens, or what
        its own settings say where it is an encoder of sentences."""


@runtime_checkable
class Comparing(Embedding, Protocol):
    """What scorers offer whose scores are of vectors."""

    def changed(self, change: Callable[[Any], Any]) -> Scorer:
        """The same scorer, to which vectors are what `change` makes of them: (n, width) -> (n, any width), numpy."""


@runtime_checkable
class Windowing(Protocol):
    """What scorers offer that can say which prompts cover one that is too long for their model."""

    def windows(self, prompt: Prompt, stride: int | None = None) -> list[Prompt]:
        """The prompt alone where it fits, or where nothing helps; else one for each of the overlapping pieces of the
        field that gives way first, all but the first of which go on. `stride` is how many tokens lie between the
        beginnings of two; default: three quarters of a piece."""


@runtime_checkable
class Doubted(Protocol):
    """What a scorer offers whose shortcuts can be doubted, see doctor."""

    @property
    def layers(self) -> int:
        """How many layers a token goes through, with the head."""

    def quick(self) -> Scorer:
        """The same checkpoint with every shortcut, where this one is plain; it takes the weights, and this one ends."""


@dataclass(frozen=True)
class ModelOptions:
    """How to load and run a checkpoint: any hub name or local folder, or `builtin:NAME`."""

    model: str = ""
    revision: str | None = None
    device: str = "auto"  # auto | cpu | cuda[:N] | mps
    dtype: str = "auto"  # auto | float32 | mixed | bfloat16 | float16
    batch_size: int | None = None  # sequences at once; default: as many as the budget allows
    batch_budget: int | None = None  # tokens at once; default: by a fixed rule of device and width
    max_length: int | None = None  # tokens; default: what the model takes
    offline: bool = False
    trust_remote_code: bool = False
    plain: bool = False  # one sequence per choice, without the shared parts that causal models can be run with
    allow_pickle: bool = False  # read pytorch_model.bin (weights only) where there is no safetensors
    pooling: str | None = None  # how a vector is made of a text: mean | cls | first-last; default: as the model says
    temperature: float | None = None  # by which the cosines of vectors are divided; default: 0.05
    head: str = ""  # which head to ask in the place of the scorer's own, see `ScorerKind.stand_ins`
    long: Long = "cut"  # what is done with texts longer than the model
    long_pool: LongPool | None = None  # what the scores of the pieces of a text come to; default: mean
    long_stride: int | None = None  # tokens between the beginnings of two pieces; default: three quarters of a piece
    long_alpha: float | None = None  # the share of the coarse place in a hierarchical one; default: 0.4
    device_map: str | None = None  # how a model is spread over devices (auto | balanced | ...), or one device

    def identity(self) -> dict[str, Any]:
        """What of them decides scores: not the batch size or the device."""
        special = {"pooling": self.pooling, "temperature": self.temperature, "head": self.head or None}
        special |= {"long": None if self.long == "cut" else self.long, "long_pool": self.long_pool}
        special |= {"long_stride": self.long_stride, "long_alpha": self.alpha if self.long == "hierarchical" else None}
        said = {name: value for name, value in special.items() if value is not None}
        return {"precision": [self.revision, self.dtype, self.max_length], **said}

    @property
    def alpha(self) -> float:
        """`long_alpha` where it is said, else what is usual."""
        return ALPHA if self.long_alpha is None else self.long_alpha

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
