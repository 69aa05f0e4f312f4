"""What the tests on a GPU, and on one that is only pretended, have in common; torch is loaded when one of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asked import Models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    from asked import Models

    return Models(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """The settings of the process are as they were, after each test."""
    import torch

    products, precision = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = products
