"""In-context completion with causal models: log p of the word, of what follows it, or of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from promptshot.errors import ModelError, OptionError
from promptshot.scorers.checkpoints.beyond import refuse_absolute
from promptshot.scorers.checkpoints.chat import Chat, Run
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, Unfit, common_prefix
from promptshot.scorers.checkpoints.fitting import bounded
from promptshot.scorers.checkpoints.opening import quiet
from promptshot.scorers.engine import prefix
from promptshot.scorers.engine.base import HeadScorer
from promptshot.scorers.engine.batches import Answers
from promptshot.scorers.engine.heads import Head
from promptshot.scorers.engine.plans import Plan, Planner, Query, Stretch
from promptshot.scorers.engine.sampling import ancestral
from promptshot.scorers.engine.trials import Mates, astray
from promptshot.scoring import Draft, Drawing, Drawn, Kind, Piece, Prompt


@dataclass(frozen=True)
class _Sequences:
    """For each choice, the ids of its context and of the whole; `spaced` has the white space of the context too.

    Where the words themselves are not what is scored, there is no `spaced`.
    """

    contexts: Sequence[Ids] = ()
    wholes: Sequence[Ids] = ()
    spaced: Ids | None = None


class CausalPlanner(Planner):
    """Every choice has a sequence of its own: context, choice and what follows."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        super().__init__(encoder, limit)
        self.start = encoder.layout(pair=False).before

    @cached_property
    def _chat(self) -> Chat | str:
        """The checkpoint's template for chats, or why there is none."""
        try:
            return Chat(self.encoder)
        except Unfit as problem:
            return str(problem)

    def no_chat(self) -> str:
        """Why the checkpoint has no chats; empty where it has."""
        return self._chat if isinstance(self._chat, str) else ""

    @property
    def chat(self) -> Chat:
        """The checkpoint's template for chats; raises Unfit where there is none."""
        if isinstance(self._chat, str):
            raise Unfit(self._chat)
        return self._chat

    def plan(self, prompt: Prompt) -> Plan:
        """One query for each choice, all with the same cut of the row's text."""
        found = _Sequences()

        def size(pieces: Sequence[Piece]) -> int:
            nonlocal found
            found = self._sequences(pieces, prompt)  # those that fit are the last it is asked for
            return max(map(len, found.wholes))

        fitted = self.fit(prompt.pieces, size)
        queries, counts = [], []
        begins = self._begins(found, prompt)
        for i, (ids, begin, lead) in enumerate(zip(found.wholes, begins, self._leads(found, begins), strict=True)):
            # Position p predicts token p + 1:   c  c  c | s  w  w
            #                             asked        ^  ^  ^       s, a line break, is the lead
            asked = tuple(range(begin - 1, len(ids) - 1))
            queries.append(Query(ids, (i,), asked, (tuple(ids[begin:]),), leads=(lead,) if lead else ()))
            counts.append(len(asked) - lead)
        return Plan(tuple(queries), tuple(counts), fitted)

    def size(self, prompt: Prompt) -> Callable[[Sequence[Piece]], int]:
        """Tokens of the longest sequence."""
        return lambda pieces: max(map(len, self._sequences(pieces, prompt).wholes))

    def words(self, prompt: Prompt) -> list[Ids]:
        """The own tokens of each choice as they go on from the context, without what follows."""
        before = prompt.pieces[: [p.kind for p in prompt.pieces].index(Kind.MASK) + 1]
        pieces = tuple(bounded(before, self.limit, self.encoder))
        bare = replace(prompt, pieces=pieces, scored="choice")
        found = self._sequences(bare.pieces, bare)
        begins = self._begins(found, bare)
        leads = self._leads(found, begins)
        return [whole[begin + lead :] for whole, begin, lead in zip(found.wholes, begins, leads, strict=True)]

    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """Special tokens, then the text: at once, or what is scored on its own where the model learnt so."""
        pieces = plan.fitted.pieces
        if prompt.chat:
            return self._stretches_of_chat(prompt, pieces)
        blank, text = _places(pieces)
        end = blank + 1 if prompt.scored == "choice" else len(pieces)
        filled = [replace(p, text=prompt.choices[0]) if p.kind is Kind.MASK else p for p in pieces[:end]]
        cut = text if prompt.scored == "rest" else blank
        parts = [filled[:cut], filled[cut:]] if self.encoder.apart else [filled]
        found = [Stretch(self.encoder.ids(_text(part)), 0, tuple(part), _text(part)) for part in parts]
        ids = next(query.ids for query in plan.queries if 0 in query.choices)
        return [Stretch(ids[: len(ids) - sum(len(stretch.ids) for stretch in found)]), *found]

    def _stretches_of_chat(self, prompt: Prompt, pieces: Sequence[Piece]) -> list[Stretch]:
        *parts, last = self._parts(pieces)
        assert isinstance(last, Run)
        last = replace(last, pieces=(*last.pieces, *_gap(pieces), Piece(Kind.MASK, prompt.choices[0])))
        found = []
        for part in (*parts, last):
            if isinstance(part, int):
                found.append(Stretch([part]))
            elif text := part.text:
                goes_on = self.chat.continuing and not part.first
                found.append(Stretch(self.chat.ids(part), 0, _fit_to(part.pieces, text), text, goes_on))
        return found

    def written(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The exact text of a chat, special tokens too; raises Unfit."""
        parts = self._parts(pieces)
        found: list[Piece] = []
        for part in parts:
            named = self.encoder.tokenizer.convert_ids_to_tokens(part) if isinstance(part, int) else ""
            found += part.pieces if isinstance(part, Run) else [Piece(Kind.FIXED, named)]
        return [*found, *_gap(pieces), Piece(Kind.MASK)]

    def _parts(self, pieces: Sequence[Piece]) -> list[int | Run]:
        """A chat up to its blank, without white space at the end of what the answer begins with; see `Chat.parts`."""
        asked = list(pieces[: [piece.kind for piece in pieces].index(Kind.MASK)])
        if _begun(pieces):
            asked[-1] = replace(asked[-1], text=asked[-1].text.rstrip())
        return self.chat.parts(asked)

    def _of_chat(self, pieces: Sequence[Piece], prompt: Prompt) -> _Sequences:
        """The ids for each choice of a chat.

        What the template wrote before the answer is no part of it, be it white space; what the prompt itself begins the
        answer with is told from the word as in any text.
        """
        *parts, last = self._parts(pieces)
        assert isinstance(last, Run)
        start = [token for part in parts for token in self.chat.ids(part)]
        gap = _text(_gap(pieces))
        spaced = [gap] if gap else []
        head, wholes = self.chat.extended(last, last.text, [*spaced, *(gap + choice for choice in prompt.choices)])
        head, wholes = start + head, [start + whole for whole in wholes]
        if not head:  # the answer begins the sequence
            raise Unfit("its template for chats writes nothing before the answer")
        return _Sequences([head] * len(prompt.choices), wholes[len(spaced) :], wholes[0] if spaced else head)

    @property
    def special(self) -> Ids:
        """What begins a text."""
        return self.start or self._first_token()

    def _sequences(self, pieces: Sequence[Piece], prompt: Prompt) -> _Sequences:
        """The ids for each choice.

        The channel scores the row's own text: the template's words between blank and field are context too.
        """
        if prompt.chat:
            return self._of_chat(pieces, prompt)
        blank, text = _places(pieces)
        before, lead, rest = (_text(part) for part in (pieces[:blank], pieces[blank + 1 : text], pieces[text:]))
        if prompt.scored == "rest":
            pairs = [self._joined(before + choice + lead, [rest]) for choice in prompt.choices]
            found = _Sequences([head for head, _ in pairs], [whole for _, (whole,) in pairs])
        else:
            behind = lead + rest if prompt.scored == "choice+rest" else ""
            spaced = [""] if before[-1:].isspace() else []
            head, wholes = self._joined(before, [*spaced, *(choice + behind for choice in prompt.choices)])
            found = _Sequences([head] * len(prompt.choices), wholes[len(spaced) :], wholes[0] if spaced else head)
        if all(found.contexts):
            return found
        # Nothing stands before the word: its first token is predicted from the token that begins a text.
        first = self._first_token()
        whole, context = ([first + ids for ids in of] for of in (found.wholes, found.contexts))
        return _Sequences(context, whole, None if found.spaced is None else first + found.spaced)

    def _joined(self, context: str, scored: Sequence[str]) -> tuple[Ids, list[Ids]]:
        """The ids of the context, and of it with each scored text: one string, or two where the model learnt so.

        White space at the end of a context belongs to what is scored, as in lm-evaluation-harness: "Topic: "
        and "Sports" are read as "Topic:" and " Sports", which is how such models spell words. A tokenizer
        that keeps the two apart has a token for the space, which stays where it is.
        """
        if self.encoder.apart:
            head = self.start + self.encoder.ids(context)
            return head, [head + self.encoder.ids(text) for text in scored]
        kept = context.rstrip()
        head, wholes = self.encoder.extended(kept, [context[len(kept) :] + text for text in scored])
        return self.start + head, [self.start + whole for whole in wholes]

    def _begins(self, sequences: _Sequences, prompt: Prompt) -> list[int]:
        """Where the scored tokens begin: behind the context, or earlier where a token reaches across.

        Choices of one context share the place, so that they are scored on the same condition.
        """
        pairs = list(zip(sequences.contexts, sequences.wholes, strict=True))
        shared = [common_prefix([context, whole]) for context, whole in pairs]
        if prompt.scored != "rest":
            shared = [min(shared)] * len(shared)
        return [max(1, min(place, len(whole) - 1)) for place, (_, whole) in zip(shared, pairs, strict=True)]

    def _leads(self, sequences: _Sequences, begins: Sequence[int]) -> list[int]:
        """How many scored tokens of each choice stand before its word: they end in the context, or are white space.

        context  Answer :↵          ":↵" is one token: the line break is scored, and so is the colon
        whole    Answer :↵ word
                        ^  ^ own
        """
        if sequences.spaced is None:
            return [0] * len(begins)
        leads = []
        for whole, begin in zip(sequences.wholes, begins, strict=True):
            before = max(begin, min(common_prefix([sequences.spaced, whole]), len(whole) - 1))
            leads.append(before - begin + self.encoder.lead(whole[before:]))
        return leads

    def _first_token(self) -> Ids:
        ids = (self.encoder.tokenizer.bos_token_id, self.encoder.tokenizer.eos_token_id)
        return next(([int(token)] for token in ids if token is not None), [])


class CausalScorer(HeadScorer):
    """Sum of log p of the tokens that `scored` names, given all before them."""

    name = "causal"
    head: Head
    planner: CausalPlanner

    def _prepare(self) -> None:
        super()._prepare()
        self.model.config.use_cache = False  # every sequence is run once
        if why := astray(self.model, self.limit):
            config = self.model.config
            hint = "" if getattr(config, "is_decoder", True) else "its config.json says is_decoder: false; "
            what = f"this {config.model_type} model {why}"
            raise ModelError(what, where=self.checkpoint, hint=f"{hint}use a GPT-like model")
        self.doubt = "as asked for" if self.options.plain else prefix.doubt(self.model, self.head)
        # In tokens; longer prompts are run plainly.
        self.views, self.reach = ({}, 0) if self.doubt else prefix.sight(self.model, self.head, self.limit)
        if self.options.long == "local":
            self._stay_local()
        if self.reach:
            self.budget = self.options.batch_budget or prefix.token_budget(self.model, self.head)

    def _stay_local(self) -> None:
        """Let each token see those less than the trained length before it (kexue.fm 9431); raises OptionError."""
        why = self.doubt
        if self.options.plain:  # then nothing has been tried
            why = prefix.doubt(self.model, self.head)
            self.views, self.reach = ({}, 0) if why else prefix.sight(self.model, self.head, self.limit)
        if not why:
            refuse_absolute(self.model, self.checkpoint)
        if self.reach < self.limit:
            what = f"--long local: this {self.model.config.model_type} model cannot be shown a part of a text"
            why = why or f"what it makes of a text depends on the length, beyond {self.reach} tokens"
            raise OptionError(f"{what} ({why})", where=self.checkpoint, hint="use --long windows")
        self.views = prefix.within(self.views, self.trained)

    def _mates(self) -> Mates:
        """Of those that are run in batches; what is shared is not padded."""
        return "any" if self.reach >= self.limit else super()._mates()

    @property
    def details(self) -> Mapping[str, Any]:
        """Also which way the model is run."""
        engine = f"plain ({self.doubt})" if self.doubt else "shared prefix"
        chats = {"chat_template": True} if getattr(self.tokenizer, "chat_template", None) else {}
        return {**super().details, "engine": engine, **chats}

    @quiet()
    def sample(self, drafts: Sequence[Draft], how: Drawing, watch: Callable[[str], object] = str) -> list[list[Drawn]]:
        """Texts drawn token by token, see `sampling.ancestral`."""
        return ancestral(self, drafts, how, watch)

    def no_chat(self) -> str:
        """Why the checkpoint has no chats; empty where it has."""
        with quiet():
            return self.planner.no_chat()

    def answers(self, queries: Sequence[Query], owners: Sequence[int]) -> Iterator[Answers]:
        """What sequences share is run once; those beyond the reach, and models of some kinds, one by one."""
        plain, shared, nothing = list[int](), list[int](), list[int]()
        for i, query in enumerate(queries):
            (nothing if not query.asked else shared if len(query.ids) <= self.reach else plain).append(i)
        yield [(i, [0.0]) for i in nothing]
        for together in [[i] for i in shared] if self.options.plain else [shared] if shared else []:
            trie = prefix.Trie.of([queries[i] for i in together])
            mine = [owners[i] for i in together]
            walk = prefix.Walk(self.model, self.head, trie, mine, self.options.batch_size, self.views)
            for batch in self.pieces(walk, self.budget):
                yield [(together[i], values) for i, values in batch]
        for batch in super().answers([queries[i] for i in plain], [owners[i] for i in plain]):
            yield [(plain[i], values) for i, values in batch]


def _places(pieces: Sequence[Piece]) -> tuple[int, int]:
    """Where the blank stands, and the field behind it; where there is none, what follows the blank."""
    kinds = [piece.kind for piece in pieces]
    blank = kinds.index(Kind.MASK)
    return blank, kinds.index(Kind.FIELD, blank) if Kind.FIELD in kinds[blank:] else blank + 1


def _begun(pieces: Sequence[Piece]) -> str:
    """What a prompt itself begins the answer of a chat with."""
    kinds = [piece.kind for piece in pieces]
    turn = len(kinds) - 1 - kinds[::-1].index(Kind.TURN)
    return _text(pieces[turn + 1 : kinds.index(Kind.MASK)])


def _gap(pieces: Sequence[Piece]) -> list[Piece]:
    """The white space between that and the word."""
    said = _begun(pieces)
    return [Piece(Kind.FIXED, gap)] if (gap := said[len(said.rstrip()) :]) else []


def _fit_to(pieces: Sequence[Piece], text: str) -> tuple[Piece, ...]:
    """The pieces of a run whose white space at an end a special token has taken."""
    whole = _text(pieces)
    lost = len(whole) - len(whole.lstrip()) if not whole.startswith(text) else 0
    found, left = [], len(text)
    for piece in pieces:
        kept = piece.text[lost:][:left]
        lost = max(0, lost - len(piece.text))
        left -= len(kept)
        found.append(replace(piece, text=kept))
    return tuple(found)


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
