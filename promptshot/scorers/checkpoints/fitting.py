"""What gives way where a prompt is too long for a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from promptshot.scorers.checkpoints.encoder import Encoder, Unfit
from promptshot.scoring import Kind, Piece


class TooLong(Unfit):
    """It does not fit even with its fields cut."""


# ------------------------------------------------------------------ fitting


@dataclass(frozen=True)
class Fitted:
    """Pieces that fit, how many tokens of the fields were cut, how many demonstrations dropped."""

    pieces: tuple[Piece, ...]
    cut: int = 0
    dropped: int = 0


def fit(pieces: Sequence[Piece], size: Callable[[Sequence[Piece]], int], limit: int, encoder: Encoder) -> Fitted:
    """Drop the oldest demonstrations, then shorten fields, until `size` is at most `limit` tokens.

    What fits is what `size` was asked of last. Raises TooLong when what must stay does not fit, or no text of a row
    would remain.
    """
    kept, cut, dropped = list(pieces), 0, 0
    while (over := size(kept) - limit) > 0:
        if not dropped and any(piece.kind is Kind.DEMO for piece in kept):
            dropped = _in_the_way(kept, size, limit, over, encoder)
            kept = _without(kept, dropped)
            continue
        at, tokens = _gives_way(kept, over, encoder)
        if at is None:
            fixed = size([p for p in kept if p.kind is not Kind.FIELD])
            raise TooLong(f"the template alone takes {fixed} of {limit} tokens, which leaves no room for text")
        kept[at], gone = _shorten(kept[at], tokens, encoder)
        cut += gone
    if cut and not any(p.text.strip() for p in kept if p.kind is Kind.FIELD):
        raise TooLong(f"nothing of the text fits into {limit} tokens beside the template")
    return Fitted(tuple(kept), cut, dropped)


def _in_the_way(
    pieces: Sequence[Piece], size: Callable[[Sequence[Piece]], int], limit: int, over: int, encoder: Encoder
) -> int:
    """How many demonstrations must go, all of them where that is not enough.

    Their own tokens say about how many, so that a prompt is not put together anew for each.
    """
    lengths = [len(encoder.ids(piece.text)) for piece in pieces if piece.kind is Kind.DEMO]
    count = next((n for n, tokens in enumerate(accumulate(lengths), 1) if tokens >= over), len(lengths))
    while count > 1 and size(_without(pieces, count - 1)) <= limit:
        count -= 1
    while count < len(lengths) and size(_without(pieces, count)) > limit:
        count += 1
    return count


def _without(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """The pieces without the first so many demonstrations."""
    demos = [i for i, piece in enumerate(pieces) if piece.kind is Kind.DEMO][:count]
    return [piece for i, piece in enumerate(pieces) if i not in demos]


def _gives_way(pieces: Sequence[Piece], over: int, encoder: Encoder) -> tuple[int | None, int]:
    """The field to shorten next (lowest order, then longest), and by how many tokens.

    Fields of one order come down to one level:   #####|##     5 over: this one gives 2,
                                                  #####|###    this one 3,
                                                  ###  |       and this one nothing
    """
    fields = [(i, p) for i, p in enumerate(pieces) if p.kind is Kind.FIELD and p.text]
    if not fields:
        return None, 0
    order = min(p.cut_order for _, p in fields)
    lengths = {i: len(encoder.spans(p.text)) for i, p in fields if p.cut_order == order}
    at = max(lengths, key=lambda i: lengths[i])
    level = max(0, lengths[at] - over)
    while sum(max(0, n - level - 1) for n in lengths.values()) >= over:
        level += 1
    return at, max(1, lengths[at] - level)


def _shorten(piece: Piece, tokens: int, encoder: Encoder) -> tuple[Piece, int]:
    """The piece without `tokens` of its tokens, cut at token boundaries; and how many went."""
    spans = encoder.spans(piece.text)
    keep = len(spans) - tokens
    if keep <= 0:
        return replace(piece, text=""), max(1, len(spans))
    head = {"tail": keep, "head": 0, "middle": keep - keep // 2}[piece.cut]
    # h h h | x x x x | t t     the tokens x go, with the characters from `begin` to `end`; a space stays before t
    begin = spans[head - 1][1] if head else 0
    end = len(piece.text) if head == keep else spans[head + tokens - 1][1] if head else spans[tokens][0]
    # Several tokens may share one character (bytes of a rare one): always make headway.
    if begin == end:
        begin, end = (begin - 1, end) if head else (begin, end + 1)
    text = piece.text[:begin] + piece.text[end:]
    return replace(piece, text=text), max(1, len(spans) - len(encoder.spans(text)))
