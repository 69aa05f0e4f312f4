"""From seconds and scores to tables: medians, ratios, agreement, Markdown. Pure functions, no tool needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Scores = Sequence[Sequence[float]]

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.5, "float16": 0.1}  # largest score difference that is not flagged
SHARES = frozenset({"openprompt"})  # tools that say ln p among the words, not among the whole vocabulary
LIKELIEST = frozenset({"llama.cpp"})  # tools that give the likeliest tokens only: a word may be missing (-inf)
COARSER = ("promptshot-", "llama.cpp")  # how the names of tools begin that round more than float32 does

LEGEND = """\
- **rows/s**: rows per second, from strings to scores, median of {rounds} runs; ± is half the way between the fastest
  and the slowest run, as a share of the median.
- **ratio**: how many times longer the tool takes than promptshot, run by run in the same round, median (and range).
- **batch**: the batch size that was fastest for that tool on a part of the rows, of those tried; promptshot chooses
  for itself.
- **memory**: peak of resident memory during a run, in MB, model and libraries included.
- **difference**: the largest difference of a score from promptshot's, natural logarithms (nsp: logits); ⚠ above
  {tolerance:g}.
- **same**: share of rows with the same best word.
"""
MORE = {
    "llama": f"""\
- **missing**: words that are not among the likeliest tokens, so that they have no score; their row then counts by the
  words that have one, and as not the same where none has.
- All tools read the same numbers, four bits and a scale in the file. promptshot multiplies them in float32 or in what
  its name says; llama.cpp with activations rounded to 8 bits, or by a copy of the file in bfloat16. Beside float32 ⚠
  stands above {TOLERANCE["bfloat16"]:g} here.
"""
}


# ------------------------------------------------------------------ numbers


def spread(values: Sequence[float]) -> float:
    """Half the way from the least to the greatest value, as a share of the median."""
    return (max(values) - min(values)) / 2 / median(values)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Their seconds by ours, round by round."""
    return [b / a for a, b in zip(ours, theirs, strict=True)]


def log_shares(row: Sequence[float]) -> list[float]:
    """ln p of each word among the words."""
    top = max(row)
    norm = top + math.log(sum(math.exp(score - top) for score in row))
    return [score - norm for score in row]


def difference(ours: Scores, theirs: Scores, shares: bool = False, likeliest: bool = False) -> float:
    """The largest absolute difference of two scores; not a number counts as infinitely far, -inf may be left out."""
    far = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(log_shares(mine) if shares else mine, other, strict=True):
            if not (likeliest and b == -math.inf):
                far = max(far, abs(a - b) if math.isfinite(a - b) else math.inf)
    return far


def missing(scores: Scores) -> int:
    """How many words have no score."""
    return sum(score == -math.inf for row in scores for score in row)


def agreement(ours: Scores, theirs: Scores) -> float:
    """Share of rows with the same best choice; ties go to the first, and a row without any score has none."""
    same = [_best(mine) == _best(other) for mine, other in zip(ours, theirs, strict=True)]
    return sum(same) / len(same)


def _best(row: Sequence[float]) -> int | None:
    return max(range(len(row)), key=lambda i: row[i]) if max(row) > -math.inf else None


# ------------------------------------------------------------------ Markdown


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; columns other than the first two are aligned to the right."""
    marks = ["---" if i < 2 else "--:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, marks, *rows)) + "\n"


def comparison(results: Sequence[Mapping[str, Any]]) -> str:
    """The table of a suite, from the results as `measure.compare` gives them."""
    rows = []
    cut = any(LIKELIEST & set(result["tools"]) for result in results)
    for result in results:
        title = f"{result['about']}; {result['rows']} rows, {result['model']}"
        for name, tool in result["tools"].items():
            tolerance = TOLERANCE["bfloat16" if name.startswith(COARSER) else result["dtype"]]
            absent = f"{tool['missing']} of {result['rows'] * result['choices']}" if "missing" in tool else ""
            rows.append([title, name, *_cells(name, tool, tolerance), *([absent] if cut else [])])
            title = ""
    head = ("work", "tool", "rows/s", "±", "ratio", "batch", "memory", "difference", "same")
    return markdown((*head, "missing") if cut else head, rows)


def _cells(name: str, tool: Mapping[str, Any], tolerance: float) -> list[str]:
    if tool.get("error"):
        return [f"not run: {tool['error']}".replace("|", "/").replace("\n", " "), *[""] * 6]
    cells = [f"{tool['rows_per_second']:.3g}", f"{tool['spread']:.0%}"]
    if "ratio" not in tool:
        return [*cells, "1 ×", "own", _mb(tool), "", ""]
    ratio = f"{tool['ratio']:.2f} × ({min(tool['ratios']):.2f} to {max(tool['ratios']):.2f})"
    batch = "own" if name.startswith("promptshot") else str(tool["batch_size"] or "fixed")
    flag = " ⚠" if tool["difference"] > tolerance else ""
    return [*cells, ratio, batch, _mb(tool), f"{tool['difference']:.1e}{flag}", f"{tool['same']:.1%}"]


def _mb(tool: Mapping[str, Any]) -> str:
    on_device = tool.get("device_peak_mb")
    return f"{tool['peak_mb']:,.0f}" + (f" + {on_device:,.0f} on the device" if on_device else "")


def machine(facts: Mapping[str, Any]) -> str:
    """One paragraph about machine, versions and date."""
    lines = [
        f"- {facts['date']}; {facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads; {facts['device']}, "
        f"{facts['dtype']}; load average before the first run {facts['load']:.2f}",
        *(f"- {name}: {_versions(found)}" for name, found in sorted(facts.get("versions", {}).items())),
    ]
    return "\n".join(lines) + "\n"


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())


def encoder(found: Mapping[str, Any]) -> str:
    """The share of the machine's peak, and where the time goes."""
    peak = found["peak"]
    rows = [
        ["large matrix products alone (peak)", f"{peak['peak_gflops']:.0f}", "100%"],
        ["inside the batches", f"{peak['gflops_inside']:.0f}", f"{peak['share_inside']:.0%}"],
        ["the whole run, tokenizer and all", f"{peak['gflops']:.0f}", f"{peak['share']:.0%}"],
    ]
    parts = ["## Share of the machine's peak\n", markdown(("BERT-base, EPRSTMT cloze", "GFLOP/s", "share"), rows)]
    parts.append(
        f"\n{peak['rows']} rows, {peak['tokens']} tokens with none of the padding, {peak['gflop']:.0f} GFLOP of matrix "
        "products in the encoder (behind the last attention at the blank only); after each batch, one large float32 "
        "product is timed in the same process: the peak of the same seconds.\n"
    )
    parts.append("\n## Where the time goes\n")
    names = ("model", "tokenize and plan", "tensors", "read and the rest", "outside")
    rows = [[run["work"], f"{run['rows']}", *(f"{run['parts'].get(n, 0):.1%}" for n in names)] for run in found["time"]]
    parts.append(markdown(("work", "rows", *names), rows))
    parts.append("\nBy looks at the stack, every 2 ms. The project's functions in which the time is spent:\n")
    for run in found["time"]:
        top = ", ".join(f"`{name}` {share:.0%}" for name, share in run["functions"].items() if share >= 0.01)
        parts.append(f"- {run['work']}: {top}")
    return "\n".join(parts) + "\n"


def around(found: Mapping[str, Any]) -> str:
    """What everything but the model costs."""
    rows = [
        [run["what"], f"{run['rows']:,}", f"{run['seconds']:.1f}", f"{run['rate']:,.0f}", f"{run['peak_mb']:.0f}"]
        for run in found["runs"]
    ]
    head = ("command", "rows", "seconds", "rows/s", "peak MB")
    return f"`{found['command']}`\n\n" + markdown(head, rows) + f"\nMedian of {found['rounds']} runs.\n"
