"""Two ways to the same numbers: when a probe takes them for the same."""

from __future__ import annotations

import pytest
import torch

from promptshot.scorers.engine.heads import ROUGH, same

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_the_last_digits_may_differ_and_no_more(dtype: torch.dtype) -> None:
    exact = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)) * 10
    one, other = exact.to(dtype), (exact * (1 + torch.finfo(dtype).eps / 2)).to(dtype)
    assert not torch.equal(one, other)  # as kernels for other shapes round
    assert same(lambda: one, lambda: other, ROUGH)
    assert not same(lambda: one, lambda: other)
    assert not same(lambda: one, lambda: one.roll(1, 0), ROUGH)  # the numbers of other rows
    assert not same(lambda: one, lambda: one * 1.05, ROUGH)


def test_in_float32_they_may_not() -> None:
    one = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)) * 10
    assert same(lambda: one, lambda: one * (1 + 1e-6), ROUGH)
    assert not same(lambda: one, lambda: one * (1 + 2e-3), ROUGH)
    assert not same(lambda: one, lambda: one[:2])
