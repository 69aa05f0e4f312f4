"""promptshot: how well does a pretrained model sort your texts? Zero- and few-shot, without training."""

from __future__ import annotations

TYPE_CHECKING = False  # checkers take it to be true; without typing, the first millisecond sees to Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from promptshot.classify.classifier import Classifier
    from promptshot.classify.prediction import Prediction
    from promptshot.classify.recipe import Recipe
    from promptshot.errors import OptionError, PromptshotError, RowError
    from promptshot.prompts.template import Template
    from promptshot.prompts.verbalizer import Verbalizer
    from promptshot.rows.row import Row
    from promptshot.scoring import Prompt

__version__ = "0.1.0"

_HOME = {
    "Classifier": "classify.classifier",
    "Prediction": "classify.prediction",
    "Recipe": "classify.recipe",
    "OptionError": "errors",
    "PromptshotError": "errors",
    "RowError": "errors",
    "Prompt": "scoring",
    "Template": "prompts.template",
    "Row": "rows.row",
    "Verbalizer": "prompts.verbalizer",
}
__all__ = [
    "Classifier",
    "OptionError",
    "Prediction",
    "Prompt",
    "PromptshotError",
    "Recipe",
    "Row",
    "RowError",
    "Template",
    "Verbalizer",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'promptshot' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"promptshot.{_HOME[name]}"), name)
