"""Every kind of scorer on a GPU: the scores of the plain way on the CPU, whatever the batch; memory; the command line.

They need one, or PROMPTSHOT_TEST_DEVICE, which names a device; with `cpu` they show that they are sound themselves.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from asked import CASES, Models, apart, prompts
from helpers import LONG, prompt_of, read_rows

from promptshot import doctor
from promptshot.cli import run_command
from promptshot.scorers import Loader
from promptshot.scorers.checkpoints.opening import whole_floats
from promptshot.scoring import ModelOptions, Scored

DEVICE = os.environ.get("PROMPTSHOT_TEST_DEVICE", "")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.gpu,
    pytest.mark.skipif(not (DEVICE or torch.cuda.is_available()), reason="no GPU, and no PROMPTSHOT_TEST_DEVICE"),
]
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def device() -> str:
    return DEVICE or "cuda"


# ------------------------------------------------------------------ scores


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_the_plain_way_on_the_cpu_whatever_the_batch(
    models: Models, case: str, device: str
) -> None:
    truth = models.plain(case)
    torch.set_float32_matmul_precision("high")  # as a program around may have it
    for size in (None, 1, 3, 32):
        made = models.scorer(case, device=device, dtype="float32", batch_size=size)
        assert apart(made.score(prompts(case)), truth) <= 1e-4, size
        assert not str(made.details.get("engine", "")).startswith("plain")  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed"])
@pytest.mark.parametrize("case", CASES)
def test_less_precision_moves_margins_by_no_more_than_rounding_explains(
    models: Models, case: str, dtype: str, device: str
) -> None:
    truth = models.plain(case)
    made = models.scorer(case, device=device, dtype=dtype)
    found = made.score(prompts(case))
    most = doctor.BEYOND * doctor.Rounding.of(made, found).most
    moved = max(abs(_margin(one) - _margin(other)) for one, other in zip(found, truth, strict=True))
    assert 0 < moved <= most


def _margin(scored: Scored) -> float:
    return scored.scores[0] - scored.scores[1]


@pytest.mark.parametrize("kind", ["mlm", "nsp", "causal"])
def test_the_doctor_finds_the_built_in_models_sound(kind: str, device: str) -> None:
    found = [*doctor.examine(kind, ModelOptions(device=device, dtype="float32"), Loader(keeps=False))]
    assert [finding for finding in found if finding.verdict == "failed"] == []


def test_products_of_float32_are_whole() -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    whole_floats(torch.device("cuda"))
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    whole_floats(torch.device("cpu"))  # what other devices do is not ours
    assert torch.get_float32_matmul_precision() == "high"


# ------------------------------------------------------------------ memory


@pytest.mark.parametrize("case", ["mlm, built in", "nsp, built in", "causal, built in", "seq2seq", "rtd", "embed"])
def test_memory_does_not_grow_from_batch_to_batch(models: Models, case: str, device: str) -> None:
    made = models.scorer(case, device=device, dtype="float32")
    held = []
    for _ in range(4):
        made.score(prompts(case))
        held.append(_held(made.device))  # type: ignore[attr-defined]
    assert held[1] == held[2] == held[3]


def _held(device: torch.device) -> int:
    """Bytes of tensors that somebody still has."""
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return sum(one.numel() * one.element_size() for one in gc.get_objects() if type(one) is torch.Tensor)


def test_where_memory_is_short_batches_become_smaller(models: Models, device: str) -> None:
    if not device.startswith("cuda"):
        pytest.skip("the limit is one of CUDA's")
    asked = [prompt_of([(f"{i} {LONG * 3} It was ", ".")], ["good", "awful"]) for i in range(1500)]
    case, place = "mlm, built in", torch.device(device)
    truth = models.scorer(case, device=device, dtype="float32", batch_budget=4096).score(asked)
    made: Any = models.scorer(case, device=device, dtype="float32", batch_budget=1 << 20)
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved(place) + (192 << 20)
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(place).total_memory, place)
    try:
        found = made.score(asked)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, place)
    assert made.reduced_budget
    assert apart(found, truth) <= 1e-4


# ------------------------------------------------------------------ the command line


@pytest.mark.parametrize("template", ["zh-sentiment-mlm", "zh-sentiment-nsp", "zh-sentiment-causal"])
@pytest.mark.parametrize("dtype", ["float32", "mixed"])
def test_classify_gives_the_labels_of_the_cpu(template: str, dtype: str, device: str, tmp_path: Path) -> None:
    said = []
    for place, precision in (("cpu", "float32"), (device, dtype)):
        out = tmp_path / f"{place.replace(':', '')}-{precision}.jsonl".replace("cpu", f"cpu{len(said)}")
        how = ["--device", place, "--dtype", precision, "-q", "-o", str(out)]
        assert run_command(["classify", str(EXAMPLES / "zh-reviews.jsonl"), "-t", template, *how]) == 0
        said.append([(row["prediction"], row["probability"]) for row in read_rows(out)])
    sure = [i for i, (_, probability) in enumerate(said[0]) if probability > (0.5 if dtype == "float32" else 0.52)]
    assert len(sure) > len(said[0]) // 2
    assert [said[0][i][0] for i in sure] == [said[1][i][0] for i in sure]
