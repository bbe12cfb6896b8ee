"""One seed, many independent streams of random numbers, each named after its use."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed in [0, 2^63) that depends on ``seed`` and ``names`` and on nothing else."""
    words = [seed, *(zlib.crc32(str(name).encode()) for name in names)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


class Streams:
    """The generators of a run. A stream's numbers do not depend on how much another one is used."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._torch: dict[str, torch.Generator] = {}
        self._numpy: dict[str, np.random.Generator] = {}
        self.reseeded: list[str] = []
        """Streams that could not go on where they were saved, see :meth:`load_state_dict`."""

    def torch(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """The torch generator called ``name``, which lives on ``device``."""
        if name not in self._torch:
            generator = torch.Generator(device)
            self._torch[name] = generator.manual_seed(derive_seed(self.seed, "torch", name))
        return self._torch[name]

    def numpy(self, name: str) -> np.random.Generator:
        """The NumPy generator called ``name``."""
        if name not in self._numpy:
            self._numpy[name] = np.random.default_rng(derive_seed(self.seed, "numpy", name))
        return self._numpy[name]

    def state_dict(self) -> dict[str, Any]:
        """Every stream's state, for a checkpoint."""
        return {
            "torch": {name: g.get_state() for name, g in self._torch.items()},
            "numpy": {name: g.bit_generator.state for name, g in self._numpy.items()},
        }

    def load_state_dict(self, state: dict[str, Any], step: int = 0) -> None:
        """Continue from a saved state, in the generators that were handed out before.

        Every kind of device draws its own numbers. A stream that was saved on another kind cannot go on there: it
        begins anew, from its name, the run's seed and the ``step`` at which the run was saved.
        """
        self.reseeded = []
        for name, generator in self._torch.items():
            saved = state["torch"][name]
            if saved.shape == generator.get_state().shape:
                generator.set_state(saved)
            else:
                generator.manual_seed(derive_seed(self.seed, "torch", name, step))
                self.reseeded.append(name)
        for name, rng in self._numpy.items():
            rng.bit_generator.state = state["numpy"][name]


def draw(logits: Tensor, generator: Generator) -> Tensor:
    """One draw from each categorical distribution: logits (B, n) -> (B,) int64.

    The same numbers as ``torch.multinomial``, which however waits for the device to check its input.
    """
    probabilities = logits.float().softmax(dim=-1)
    # Of exponential variables with rates p, the i-th is the least with probability p_i: the race is drawn.
    return (probabilities / torch.empty_like(probabilities).exponential_(generator=generator)).argmax(dim=-1)
