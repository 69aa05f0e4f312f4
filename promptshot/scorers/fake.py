"""A scorer without a model: for tests, documentation and trying out templates and files."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from promptshot.scoring import ModelOptions, Prompt, Scored


class FakeScorer:
    """Scores that depend on nothing but the text: always the same, on every machine, in any order."""

    def __init__(self, options: ModelOptions | None = None) -> None:
        self.options = options or ModelOptions()

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """A pseudo-random score in (-10, 0) for each choice; a token is a character."""
        return [
            Scored(tuple(map(_score, prompt.texts(), prompt.choices)), tuple([len(c) or 1 for c in prompt.choices]))
            for prompt in prompts
        ]

    def no_chat(self) -> str:
        """Empty: it reads whatever is written."""
        return ""


def _score(text: str, choice: str) -> float:
    digest = blake2b(f"{choice}\0{text}".encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return -10 * int.from_bytes(digest, "big") / 2**64
