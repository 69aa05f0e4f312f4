"""Where a training stands, on disk: going on from a checkpoint gives the very weights of a run without a stop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.files import whole

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Position:
    """The next batch in the stream, and the tokens before it."""

    stage: int = 0
    pool: int = 0
    batch: int = 0  # within the pool
    in_stage: int = 0  # tokens seen in this stage
    seen: int = 0  # tokens seen in all


@dataclass
class State:
    """All that changes while training goes on. The data stream has no state but its position: seeds make it."""

    model: Any
    optimizer: torch.optim.Optimizer
    average: Weights  # the running mean of the weights
    position: Position
    steps: int = 0

    def average_in(self, keep: float) -> None:
        """Move the running mean towards the weights; in the first steps it follows faster."""
        self.steps += 1
        share = 1 - min(keep, self.steps / (self.steps + 9))
        weights = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, mean in self.average.items():
                mean.lerp_(weights[name], share)

    def save(self, path: Path, settings: dict[str, Any]) -> None:
        """Write the checkpoint; killed at any moment, this one or the one before is whole."""
        state = {
            "settings": settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "position": asdict(self.position),
            "steps": self.steps,
            "rng": torch.get_rng_state(),
        }
        with whole(path) as out:
            torch.save(state, out)

    def restore(self, path: Path, settings: dict[str, Any], device: torch.device) -> None:
        """Take everything back from a checkpoint of the same settings."""
        state = torch.load(path, map_location=device, weights_only=True)
        if state["settings"] != settings:
            raise SystemExit(f"{path}: made with {state['settings']}, not {settings}; use another folder")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.position = Position(**state["position"])
        self.steps = state["steps"]
        torch.set_rng_state(state["rng"].cpu())
