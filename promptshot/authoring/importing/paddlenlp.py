"""A template of PaddleNLP's prompt API (`{'text': 'sentence1'}{'mask'}`) and its words (`label==word`, or a dict)."""

from __future__ import annotations

from promptshot.authoring.importing.braces import Dialect
from promptshot.authoring.importing.draft import Draft, Told
from promptshot.authoring.importing.given import Given
from promptshot.authoring.importing.openprompt import of_dialect

DIALECT = Dialect(
    fields=("text",),
    plain="hard",
    trained=("soft", "prefix"),
    others={"options": "the labels as choices before the text, with a blank at each"},
    more=(
        *("length", "truncate", "add_prefix_space", "token_type", "position", "encoder", "hidden_size", "duplicate"),
        *("soft_id", "add_omask", "add_prompt", "add_newline"),
    ),
    breaks=("sep",),
    adjacent=True,
)


def draft_of(given: Given, told: Told, verbalizer: Given | None = None, pick: str | None = None) -> Draft:
    """The draft of a text or of the calls in a program; raises TemplateError."""
    return of_dialect(given, told, DIALECT, verbalizer, pick)
