"""Plain text for pre-training: which files, and how they become documents of clauses.

A corpus file is gzip text, one sentence a line, a blank line between documents. No label is ever read.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One corpus file."""

    name: str
    language: str  # zh or en
    about: str  # review: people judge something; topic: texts on all kinds of things
    ordered: bool  # whether neighbouring sentences follow each other: only then does NSP learn from it

    @property
    def kind(self) -> str:
        """Which words and frames fit this text: "zh-review", "en-topic", ..."""
        return f"{self.language}-{self.about}"


SOURCES = {
    source.name: source
    for source in (
        Source("zh_reviews", "zh", "review", True),
        Source("zh_news_titles", "zh", "topic", False),
        Source("zh_news_msra", "zh", "topic", False),
        Source("zh_fewclue_docs", "zh", "topic", True),
        Source("zh_wiki_cmrc", "zh", "topic", True),
        Source("zh_lctt_tech", "zh", "topic", True),
        Source("en_movie_reviews", "en", "review", True),
        Source("en_sentences_mr_sst_cr_subj", "en", "review", True),
        Source("en_wiki", "en", "topic", True),
        Source("en_speeches_abc_genesis", "en", "topic", True),
    )
}
KINDS = ("zh-review", "en-review", "zh-topic", "en-topic")

_CLAUSE = re.compile(r"\s*[^，。！？；,.!?;]*[，。！？；,.!?;]*")


def bare(text: str) -> str:
    """Letters and digits only, lower case, without accents or full-width forms: how texts are compared."""
    return "".join(c for c in unicodedata.normalize("NFKD", text).lower() if c.isalnum())


def documents(corpus: Path, source: Source) -> Iterator[str]:
    """The documents of one source, each as one line of text."""
    space = "" if source.language == "zh" else " "
    document: list[str] = []
    with gzip.open(corpus / f"{source.name}.txt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            if sentence := line.strip():
                document.append(sentence)
            elif document:
                yield space.join(document)
                document = []
    if document:
        yield space.join(document)


def clauses(text: str) -> list[str]:
    """A text cut after its punctuation, spaces go with what follows: 'a, b.' -> ['a,', ' b.']."""
    return [part for part in _CLAUSE.findall(text) if part.strip()]
