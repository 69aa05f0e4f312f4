"""What gives way where a prompt is too long for a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from promptshot.scorers.checkpoints.encoder import Encoder, Unfit
from promptshot.scoring import Kind, Piece

SIDE, MORE, MANY = 6, 1009, 4  # characters for each token of the limit, and besides; sides that make a text long
MARGIN = 64  # tokens beyond the limit that must stand in each side


class TooLong(Unfit):
    """It does not fit even with its fields cut."""


# ------------------------------------------------------------------ fitting


@dataclass(frozen=True)
class Fitted:
    """Pieces that fit, how many tokens of the fields were cut, how many demonstrations dropped.

    Of a text many times as long as the limit not all is tokenized: then so many tokens were cut at `least`.
    """

    pieces: tuple[Piece, ...]
    cut: int = 0
    dropped: int = 0
    least: bool = False


def fit(pieces: Sequence[Piece], size: Callable[[Sequence[Piece]], int], limit: int, encoder: Encoder) -> Fitted:
    """Drop the oldest demonstrations, then shorten fields, until `size` is at most `limit` tokens.

    What fits is what `size` was asked of last. Raises TooLong when what must stay does not fit, or no text of a row
    would remain.
    """
    kept, cut, dropped = bounded(pieces, limit, encoder), 0, 0
    least = any(a.kind is Kind.FIELD and a.text != b.text for a, b in zip(kept, pieces, strict=True))
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
    return Fitted(tuple(kept), cut, dropped, least)


LEAST = 4  # the part of the limit that a text in pieces has room for at least, where demonstrations stand before it
LAST = 1 << 20  # the order of a field that gives way last


def slide(
    pieces: Sequence[Piece],
    size: Callable[[Sequence[Piece]], int],
    limit: int,
    encoder: Encoder,
    stride: int | None = None,
) -> list[tuple[Piece, ...]]:
    """The pieces as they are where they fit; else, for each overlapping part of the field that gives way first, the
    pieces with that part in its place, which fit.

    Demonstrations stay as long as they leave a quarter of the limit to the text, and are dropped by `fit` as the parts
    leave them no room. All parts but for what tokens come to at their edges are of one size, the last ends with the
    text. What cannot be fitted so stays as it is.

    |#########......|            `stride` tokens lie between two beginnings; default: three quarters of a part
    |......#########|
    """
    try:
        if size(bounded(pieces, limit, encoder)) <= limit:
            return [tuple(pieces)]
        at, _ = _gives_way(bounded(pieces, limit, encoder), 1, encoder)
        if at is None:
            return [tuple(pieces)]
        text = pieces[at].text
        spans = encoder.spans(text)
        least = min(len(spans), max(1, limit // LEAST))
        held = replace(pieces[at], kind=Kind.FIXED, text=text[: spans[least - 1][1]])
        fitted = fit([held if i == at else piece for i, piece in enumerate(pieces)], size, limit, encoder)
    except TooLong:
        return [tuple(pieces)]
    room = least + limit - size(fitted.pieces)
    if room >= len(spans) and not fitted.cut:  # without some demonstrations all of it fits
        return [tuple(pieces)]

    def fits(part: str) -> bool:
        return size([replace(piece, text=part) if piece is held else piece for piece in fitted.pieces]) <= limit

    parts = _parts(text, spans, room, min(stride or max(1, room * 3 // 4), room), fits)
    return [
        tuple(replace(p, text=part, cut_order=LAST) if i == at else p for i, p in enumerate(pieces)) for part in parts
    ]


def _parts(
    text: str, spans: Sequence[tuple[int, int]], room: int, stride: int, fits: Callable[[str], bool]
) -> Iterator[str]:
    """The overlapping parts of a text, of about `room` of its tokens each; none of its tokens is in no part."""
    begin = 0
    while True:
        end = min(begin + room, len(spans))
        while end > begin + 1 and not fits(text[spans[begin][0] : spans[end - 1][1]]):
            end -= 1
        yield text[spans[begin][0] : spans[end - 1][1]]
        if end == len(spans):
            return
        last = len(spans) - (end - begin)  # where the last part begins, if no more fits into that than into this one
        begin = min(end, max(begin + 1, min(begin + stride, last)))


def beginning(text: str, tokens: int, encoder: Encoder) -> str:
    """As much of a text as decides its first so many tokens; the whole of one that is not very long."""
    return _bounded(Piece(Kind.FIELD, text), tokens, encoder).text


def bounded(pieces: Sequence[Piece], limit: int, encoder: Encoder) -> list[Piece]:
    """The pieces; of texts of very many tokens only as much as tells what fits into the limit."""
    return [_bounded(piece, limit, encoder) for piece in pieces]


def _bounded(piece: Piece, limit: int, encoder: Encoder) -> Piece:
    """The piece; of a text of very many tokens only its two sides, which are all that can stay of it.

    #####|................|#####      Each side has more tokens than fit, and these are the same with more of the text
    side                    side      beside it. So all that is cut is cut out of the two as it would be of the whole,
                                      in which a tokenizer reads the dots to no end.
    """
    side = SIDE * limit + MORE
    if piece.kind not in (Kind.FIELD, Kind.DEMO):
        return piece
    while len(piece.text) > MANY * side:
        if _settled(piece.text, side, limit + MARGIN, encoder):
            return replace(piece, text=piece.text[:side] + piece.text[-side:])
        side *= 2
    return piece


def _settled(text: str, side: int, tokens: int, encoder: Encoder) -> bool:
    """Whether the two sides of a text have so many tokens each, which more of the text does not change."""
    first, last = text[:side], text[-side:]
    more = side + 6 * (side // 12) + 1  # digits in threes, and what goes in pairs, would not be the same by chance
    return (
        len(head := encoder.ids(first)) >= tokens
        and len(tail := encoder.ids(last)) >= tokens
        and head[:tokens] == encoder.ids(text[:more])[:tokens]
        and tail[-tokens:] == encoder.ids(text[-more:])[-tokens:]
    )


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
