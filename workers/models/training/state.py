"""The state of a training, saved as safetensors: weights, their running mean, the optimizer."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass
class TrainingState:
    """The state of a training, which every step changes."""

    net: nn.Module
    optimizer: torch.optim.AdamW
    mean: dict[str, Tensor]  # the running mean of the weights, which workers use
    step: int = 0
    losses: list[float] = field(default_factory=list)  # one for each step
    measured: list[tuple[int, float]] = field(default_factory=list)  # (step, dB)
    seconds: float = 0.0

    @classmethod
    def start(cls, net: nn.Module, learning_rate: float) -> "TrainingState":
        """Start a training with a network's current weights."""
        optimizer = torch.optim.AdamW(
            net.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=5e-2
        )
        mean = {name: value.detach().clone() for name, value in net.state_dict().items()}
        return cls(net, optimizer, mean)

    def average(self, decay: float) -> None:
        """Move the running mean towards the weights, faster in the first steps.

        Args:
            decay: 0..1, the share of the mean that stays in a step.
        """
        rate = 1 - min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                self.mean[name].lerp_(value, rate)

    def save(self, path: Path) -> None:
        """Save the state to a file. A failure leaves the previous file unchanged."""
        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        tensors |= {f"mean.{name}": value for name, value in self.mean.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        record = {
            "step": self.step,
            "losses": self.losses,
            "measured": self.measured,
            "seconds": self.seconds,
        }
        half = path.with_suffix(".part")
        save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            half,
            metadata={"record": json.dumps(record)},
        )
        half.replace(path)

    def load(self, path: Path) -> None:
        """Load the state from a file written by `save` for a network of the same sizes."""
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["record"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        self.net.load_state_dict(_below(tensors, "net."))
        self.mean = _below(tensors, "mean.")
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            index, slot = name.split(".")
            slots.setdefault(int(index), {})[slot] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        self.step, self.losses = record["step"], record["losses"]
        self.measured = [(step, value) for step, value in record["measured"]]
        self.seconds = record["seconds"]


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
