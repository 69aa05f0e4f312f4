"""Fixtures of every test; nothing here loads torch, and what a test asks for does (see `tiny`).

`python -m pytest -m "not torch"` runs what needs no torch, in a Python that has none.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest
from helpers import Tiny

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["OMP_NUM_THREADS"] = "1"  # tiny models gain nothing from more

WITHOUT = "not torch"
ALL_OF_IT = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.torch\b", re.MULTILINE)


class NoTorch(MetaPathFinder):
    """Finds no torch: a test that needs it and does not say so fails."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in ("torch", "transformers"):
            raise ModuleNotFoundError(f"{fullname} is for tests with the mark torch", name=fullname)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == WITHOUT:
        sys.meta_path.insert(0, NoTorch())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without torch a file that needs it for all its tests is not imported."""
    if config.option.markexpr != WITHOUT or collection_path.suffix != ".py":
        return None
    return bool(ALL_OF_IT.search(collection_path.read_text(encoding="utf-8"))) or None


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """BERT with both pre-training heads; `.model` is the one for pre-training."""
    import tiny

    return tiny.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def bert_mlm(bert: Tiny) -> Tiny:
    """The tiny BERT as a masked language model."""
    import tiny

    return tiny.bert_mlm(bert)


@pytest.fixture(scope="session")
def bert_nsp(bert: Tiny) -> Tiny:
    """The tiny BERT as a judge of next sentences."""
    import tiny

    return tiny.bert_nsp(bert)


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """RoBERTa: byte-level BPE, positions that begin at 2, one token type."""
    import tiny

    return tiny.roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """GPT-2: byte-level BPE, no token before a text, no padding token."""
    import tiny

    return tiny.gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """T5: signs for spans that are left out, relative positions, embeddings tied to the head."""
    import tiny

    return tiny.t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="session")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """BART: a mask that the decoder writes anew with the text before it, learned positions."""
    import tiny

    return tiny.bart(tmp_path_factory.mktemp("bart"))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Llama: space marks, rotary positions, <s> before every text."""
    import tiny

    return tiny.llama(tmp_path_factory.mktemp("llama"))
