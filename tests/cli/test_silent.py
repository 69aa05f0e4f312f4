"""No warning of a library reaches the terminal: what is on stderr is ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ZH, EN = str(EXAMPLES / "zh-reviews.jsonl"), str(EXAMPLES / "en-headlines.csv")
FEW = ("-n", "3")
TWO = ("-t", "zh-sentiment-mlm", "-t", "zh-sentiment-causal")

COMMANDS: dict[str, tuple[str, ...]] = {
    "mlm": ("classify", ZH, "-t", "zh-sentiment-words-mlm", *FEW, "-o", "OUT.jsonl"),
    "nsp": ("classify", ZH, "-t", "zh-sentiment-nsp", *FEW, "-o", "OUT.csv"),
    "causal": ("classify", EN, "-t", "en-news-causal", *FEW, "--demos", EN, "-k", "2", "-v", "-o", "-"),
    "causal, quiet": ("classify", EN, "-t", "en-news-causal", *FEW, "-q", "-o", "OUT.jsonl.gz"),
    "causal, plain": ("classify", EN, "-t", "en-news-causal", *FEW, "-q", "--plain"),
    "causal, bfloat16": ("classify", EN, "-t", "en-news-causal", *FEW, "-q", "--dtype", "bfloat16"),
    "mlm, bfloat16": ("classify", ZH, "-t", "zh-sentiment-mlm", *FEW, "-q", "--dtype", "bfloat16"),
    "nothing named": ("classify", ZH, "-q", *FEW),
    "fake": ("classify", ZH, "-t", "zh-sentiment-mlm", "--scorer", "fake", "--dry-run"),
    "compare": ("compare", ZH, *TWO, "-t", "zh-sentiment-nsp", *FEW),
    "search": ("compare", ZH, *TWO, "--search", "-q", "-o", "OUT.json"),
    "diff": ("diff", "A.jsonl", "B.jsonl"),
    "report": ("report", "A.jsonl"),
    "suggest": ("suggest", ZH, "-t", "zh-sentiment-mlm", "-o", "WORDS.yaml"),
    "suggest, causal": ("suggest", ZH, "-t", "zh-sentiment-causal", "--per-label", "2", "-q"),
    "prune": ("suggest", ZH, "-t", "zh-sentiment-words-mlm", "--prune", "-q", "--summary", "OUT.json"),
    "explain": ("explain", ZH, "--row", "2", "-t", "zh-sentiment-mlm", "-t", "zh-sentiment-causal"),
    "explain, json": ("explain", "又吵，又脏。", "-t", "zh-sentiment-nsp", "--json", "-q"),
    "doctor mlm": ("doctor", "--scorer", "mlm"),
    "doctor nsp": ("doctor", "--scorer", "nsp"),
    "doctor causal": ("doctor", "--scorer", "causal", "--dtype", "bfloat16"),
    "lint": ("templates", "lint", "zh-news-causal", "zh-idiom-nsp", "-m", "builtin:gpt2"),
    "lint, quiet": ("templates", "lint", "en-film-words-mlm", "-q", "-m", "builtin:bert"),
    "preview": ("templates", "preview", "zh-sentiment-causal", "--scores"),
    "tokens": ("templates", "preview", "zh-idiom-nsp", "--ids"),
    "words": ("verbalizers", "preview", "zh-news", "-m", "builtin:bert"),
    "verbalizers lint": ("verbalizers", "lint", "-m", "builtin:gpt2"),
    "templates list": ("templates", "list"),
    "templates show": ("templates", "show", "zh-news-nsp"),
    "templates new": ("templates", "new", "NEW.yaml", "--scorer", "mlm", "--labels", "a,b"),
    "verbalizers list": ("verbalizers", "list"),
    "verbalizers show": ("verbalizers", "show", "zh-news"),
    "verbalizers new": ("verbalizers", "new", "NEW-words.yaml", "--labels", "a,b"),
    "schema": ("templates", "schema"),
    "completion": ("completion", "bash"),
    "help": ("--help",),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_on_the_terminal_comes_from_a_library(name: str, tmp_path: Path) -> None:
    for letter in "AB":
        text = '{"text": "x", "label": "a", "prediction": "a"}\n'
        (tmp_path / f"{letter}.jsonl").write_text(text, encoding="utf-8")
    plain = ("PYTHONWARNINGS", "TRANSFORMERS_VERBOSITY", "TRANSFORMERS_NO_ADVISORY_WARNINGS", "HF_HUB_VERBOSITY")
    environment = {key: value for key, value in os.environ.items() if key not in plain}
    path = os.pathsep.join(filter(None, (str(EXAMPLES.parent), environment.get("PYTHONPATH", ""))))
    done = subprocess.run(
        [sys.executable, "-m", "promptshot", *COMMANDS[name]],
        capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, timeout=300, check=False,
        env=environment | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    found = [line for line in done.stderr.splitlines() if "Warning" in line or "site-packages" in line]
    assert found == []
    assert "Traceback" not in done.stderr
    if "-q" in COMMANDS[name]:
        assert done.stderr == ""
