"""What prompts of equal text have scored: templates that differ in their label words only are run once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptshot.compare.candidates import Candidate
from promptshot.scoring import Checkpoint, Prompt, Scored, Scorer, fault

Ask = Callable[[Sequence[Prompt]], list[Scored]]
Key = tuple[Any, ...]


class Memory:
    """The way to a scorer for candidates whose prompts have the same text, for whichever of their words.

    The first of them asks for the words of all, so that the next one finds its own; what does not fit into the model
    is asked again for each, for there the longest word decides what of the row is cut.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(dict.fromkeys(words))
        self._known: dict[Key, Scored] = {}

    def asking(self, scorer: Scorer) -> Ask:
        """What scores prompts instead of the scorer."""

        def ask(prompts: Sequence[Prompt]) -> list[Scored]:
            wanted = {_key(prompt): prompt for prompt in prompts if _key(prompt) not in self._known}
            whole = [replace(prompt, choices=self.words) for prompt in wanted.values()]
            self._known |= zip(wanted, scorer.score(whole) if whole else [], strict=True)
            found = [self._part(prompt) for prompt in prompts]
            alone = [prompt for prompt, part in zip(prompts, found, strict=True) if part is None]
            again = iter(scorer.score(alone) if alone else [])
            if isinstance(scorer, Checkpoint) and scorer.progress:
                scorer.progress(max(0, len(prompts) - len(whole) - len(alone)))
            return [next(again) if part is None else part for part in found]

        return ask

    def _part(self, prompt: Prompt) -> Scored | None:
        """Those of the prompt's own choices; None where they cannot be told from what is known."""
        whole = self._known[_key(prompt)]
        if whole.cut or whole.dropped or whole.error or fault(whole, len(self.words)):
            return None
        at = [self.words.index(choice) for choice in prompt.choices]
        scores, tokens = tuple(whole.scores[i] for i in at), tuple(whole.tokens[i] for i in at)
        return replace(whole, scores=scores, tokens=tokens, lead=tuple(whole.lead[i] for i in at if whole.lead))


def memories(candidates: Sequence[Candidate]) -> Mapping[str, Memory]:
    """For the name of each candidate that shares its text with others, what all of these remember."""
    alike: dict[Key, list[Candidate]] = {}
    for candidate in candidates:
        if (text := _text_of(candidate)) is not None:
            alike.setdefault(text, []).append(candidate)
    found = dict[str, Memory]()
    for together in alike.values():
        if len(together) > 1:
            memory = Memory([word for one in together for word in _words(one)])
            found |= {candidate.name: memory for candidate in together}
    return found


def _text_of(candidate: Candidate) -> Key | None:
    """What decides the prompts of a candidate but for the words in their blank; None where rows or demonstrations
    bring words of their own."""
    recipe, spec = candidate.recipe, candidate.recipe.template.spec
    if recipe.task.paired or recipe.task.own_words or candidate.shots or recipe.others:
        return None
    said = spec.model_dump_json(exclude={"verbalizer", "example", "about", "source", "label_field"})
    return *candidate.engine, said, tuple(sorted({**recipe.columns, **recipe.guessed}.items()))


def _words(candidate: Candidate) -> list[str]:
    return [word for words in candidate.recipe.verbalizer.labels.values() for word in words]


def _key(prompt: Prompt) -> Key:
    return prompt.pieces, prompt.scored, prompt.several, prompt.multi_token
