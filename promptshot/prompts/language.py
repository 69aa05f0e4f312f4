"""The language of texts and templates: Chinese or English."""

from __future__ import annotations

import re
from collections.abc import Iterable

from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import RowWords, Verbalizer
from promptshot.rows.row import Row
from promptshot.scoring import Kind

SPOKEN = {"zh": "Chinese", "en": "English"}
CHINESE = re.compile(r"[\u3400-\u9fff]")
LETTER = re.compile(r"[^\W\d_]")


def language_of(texts: Iterable[str]) -> str:
    """'zh' where at least a fifth of the letters are Chinese characters, else 'en'."""
    text = "".join(texts)
    letters = len(LETTER.findall(text))
    return "zh" if letters and len(CHINESE.findall(text)) >= letters / 5 else "en"


def spoken_by(template: Template, words: Verbalizer | None = None) -> str:
    """The language of a template's own text, or of its words where it has no text; empty where neither has a letter."""
    own = "".join(part.text for parts in template.segments for part in parts if part.kind is Kind.FIXED)
    if not LETTER.search(own) and words is not None and not isinstance(words, RowWords):
        own = "".join(words.choices(Row({})))
    return language_of([own]) if LETTER.search(own) else ""
