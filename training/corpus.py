"""Plain text for pre-training: documents of sentences, mixed by source.

A corpus file is gzip text, one sentence a line, a blank line between documents. No label is ever
read. Sentences that also occur in an evaluation set (compared by letters and digits only) are left out.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One corpus file and the way it is used."""

    name: str
    language: str
    repeats: int  # how often its documents are seen in one pass over the mix
    ordered: bool  # whether neighbouring sentences follow each other: only then does NSP learn from it


MIX = (
    Source("zh_reviews", "zh", 3, True),
    Source("zh_news_titles", "zh", 2, False),
    Source("zh_news_msra", "zh", 1, False),
    Source("zh_fewclue_docs", "zh", 1, True),
    Source("zh_wiki_cmrc", "zh", 1, True),
    Source("en_movie_reviews", "en", 3, True),
    Source("en_sentences_mr_sst_cr_subj", "en", 4, True),
    Source("en_wiki", "en", 1, True),
)

# Words of judgement, masked more often than others: to guess them, a model must read the rest for its tone.
# They are chosen by hand, from no label and no evaluation set.
JUDGEMENT = (
    "很 不 好 差 棒 赞 烂 糟 坏 "
    "good bad great terrible best worst better worse excellent awful wonderful boring dull brilliant poor fine "
    "nice horrible funny unfunny stupid perfect interesting entertaining enjoyable beautiful ugly weak strong "
    "lame silly clever smart annoying disappointing impressive mess masterpiece waste fails works love hate fun "
    "tedious predictable moving powerful bland flat fresh charming pointless mediocre superb solid pretentious"
)

_CLAUSE = re.compile(r"[^，。！？；,.!?;]*[，。！？；,.!?;]*\s*")


def bare(text: str) -> str:
    """Letters and digits only, lower case: the form in which texts are compared."""
    return "".join(c for c in text.lower() if c.isalnum())


def evaluation_texts(folder: Path) -> frozenset[str]:
    """Every text field of every dev and test row below `folder`, in its bare form."""
    found: set[str] = set()
    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.jsonl")]):
        if not re.search(r"dev|test", path.name):
            continue
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip().startswith("{"):
                values = json.loads(line).values()
                found.update(bare(v) for v in values if isinstance(v, str) and len(bare(v)) >= 8)
    return frozenset(found)


def documents(path: Path, excluded: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """The documents of one corpus file, each a list of sentences; excluded sentences are dropped."""
    document: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            sentence = line.strip()
            if sentence and bare(sentence) not in excluded:
                document.append(sentence)
            elif not sentence and document:
                yield document
                document = []
    if document:
        yield document


def clauses(sentence: str) -> list[str]:
    """A sentence cut after its punctuation: 'a, b.' -> ['a, ', 'b.']."""
    return [part for part in _CLAUSE.findall(sentence) if part.strip()]
