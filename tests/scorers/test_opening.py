"""The package's own models are filled by name, and are what transformers makes of their files."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers import Tiny

from promptshot.kinds import KINDS
from promptshot.scorers.checkpoints import opening
from promptshot.scoring import ModelOptions

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("kind", "name"),
    [("mlm", "bert"), ("nsp", "bert"), ("embed", "bert"), ("embed", "gpt2"), ("causal", "gpt2")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_built_in_model_has_the_weights_and_tables_of_its_file(kind: str, name: str, dtype: torch.dtype) -> None:
    options, kind_of = ModelOptions(f"builtin:{name}"), KINDS[kind]
    opened = opening.open_checkpoint(options.model, options)
    drawn = torch.get_rng_state()
    ours, report = opening._filled(kind_of, opened.own(), dtype)
    assert torch.equal(torch.get_rng_state(), drawn)
    other = opened.own()
    theirs, reported = opening._of_any(kind_of, other.place, other.config, dtype, options, other.where)
    for one, of in (
        (ours.state_dict(), theirs.state_dict()),
        (dict(ours.named_buffers()), dict(theirs.named_buffers())),
    ):
        assert one.keys() == of.keys()
        assert all(torch.equal(tensor, of[key]) and tensor.dtype == of[key].dtype for key, tensor in one.items())
    assert {key: {*keys} for key, keys in report.items()} == {key: {*reported[key]} for key in report}
    assert ours.config.to_dict() == theirs.config.to_dict()


def test_whoever_comes_behind_it_draws_as_before(bert: Tiny) -> None:
    code = (
        "from promptshot.scorers import load\nfrom promptshot.scoring import ModelOptions\n"
        "load('mlm', ModelOptions('builtin:bert'))\n"
        "import torch, transformers\n"
        f"model = transformers.AutoModelForMaskedLM.from_pretrained({bert.name!r})\n"
        "print(model.bert.embeddings.token_type_ids.unique().tolist(), torch.nn.Linear(9, 9).weight.std().item() > 0.1)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout.strip() == "[0] True", said.stderr
