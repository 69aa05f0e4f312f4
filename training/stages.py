"""The whole course of training for each model: what is read, how often, for how long. General text first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.models import Shape

EVERYTHING = {
    "zh_reviews": 3,
    "zh_news_titles": 2,
    "zh_news_msra": 1,
    "zh_fewclue_docs": 1,
    "zh_wiki_cmrc": 1,
    "en_movie_reviews": 3,
    "en_sentences_mr_sst_cr_subj": 4,
    "en_wiki": 1,
}
DOMAIN = {"zh_reviews": 2, "zh_news_titles": 2, "en_movie_reviews": 3, "en_sentences_mr_sst_cr_subj": 4}
PROMPTS = {
    "zh_reviews": 2,
    "zh_news_titles": 4,
    "zh_news_msra": 1,
    "zh_fewclue_docs": 1,
    "zh_wiki_cmrc": 1,
    "en_movie_reviews": 4,
    "en_sentences_mr_sst_cr_subj": 16,
    "en_speeches_abc_genesis": 2,
    "en_wiki": 1,
}
ASKED = {"zh-review": 3, "en-review": 6, "zh-topic": 4, "en-topic": 3}  # shares of the framed texts by their kind


@dataclass(frozen=True)
class Stage:
    """A stretch of training on one mix."""

    name: str
    tokens: int
    repeats: dict[str, int]  # how often the documents of a source come in one pass over the mix
    framed: float = 0.0  # the share of samples that are a text in the frame of a prompt


@dataclass(frozen=True)
class Course:
    """Everything that decides what a training comes to, but the corpora and the seed."""

    shape: Shape
    stages: tuple[Stage, ...]
    rate: float  # the highest learning rate
    warm_up: int = 1_500_000  # tokens; shorter, and the post-norm BERT never leaves the unigram plateau
    decay: float = 0.3  # the last share of all tokens, over which the rate falls to nothing
    budget: int = 4_096  # padded tokens a step
    documents: int = 400  # whose samples are sorted by length together
    averaging: float = 0.999  # how much of the running mean of the weights a step keeps

    @property
    def tokens(self) -> int:
        """The tokens of all stages."""
        return sum(stage.tokens for stage in self.stages)

    def rate_at(self, seen: int) -> float:
        """The learning rate after so many tokens: it warms up, stays, and falls."""
        falling = (self.tokens - seen) / (self.decay * self.tokens)
        return self.rate * max(0.001, min(1.0, seen / self.warm_up, falling))

    def from_stage(self, name: str) -> Course:
        """The end of this course, for weights that have been through what comes before it."""
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise SystemExit(f"no stage {name!r}; there are {', '.join(names)}")
        rest = self.stages[names.index(name) :]
        return replace(self, stages=rest, warm_up=300_000, rate=self.rate / 1.5)

    def lasting(self, tokens: int) -> Course:
        """This course with another length of its last stage."""
        return replace(self, stages=(*self.stages[:-1], replace(self.stages[-1], tokens=tokens)))


COURSES = {
    "bert": Course(
        Shape(),
        (
            Stage("general", 20_000_000, EVERYTHING),
            Stage("domain", 15_000_000, DOMAIN),
            Stage("prompts", 20_000_000, PROMPTS, framed=0.7),
        ),
        rate=7e-4,
    ),
    "gpt2": Course(
        Shape(),
        (
            Stage("general", 20_000_000, EVERYTHING),
            Stage("prompts", 20_000_000, PROMPTS, framed=0.7),
        ),
        rate=1.5e-3,
    ),
}
