"""Random number streams: independent generators derived from one seed, each named after its use."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor


def derive_seed(seed: int, *names: str | int) -> int:
    """Derive a seed in [0, 2^63) that depends only on ``seed`` and ``names``."""
    words = [seed, *(zlib.crc32(str(name).encode()) for name in names)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


class Streams:
    """The random generators of a run, by name. They are independent: using one does not change another."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._torch: dict[str, torch.Generator] = {}
        self._numpy: dict[str, np.random.Generator] = {}
        self.reseeded: list[str] = []
        """Names of the streams whose saved state could not be used, see :meth:`load_state_dict`."""

    def torch(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """The torch generator with this name, on ``device``. It is created at the first call."""
        if name not in self._torch:
            generator = torch.Generator(device)
            self._torch[name] = generator.manual_seed(derive_seed(self.seed, "torch", name))
        return self._torch[name]

    def numpy(self, name: str) -> np.random.Generator:
        """The NumPy generator with this name. It is created at the first call."""
        if name not in self._numpy:
            self._numpy[name] = np.random.default_rng(derive_seed(self.seed, "numpy", name))
        return self._numpy[name]

    def state_dict(self) -> dict[str, Any]:
        """The state of every stream, for a checkpoint."""
        return {
            "torch": {name: g.get_state() for name, g in self._torch.items()},
            "numpy": {name: g.bit_generator.state for name, g in self._numpy.items()},
        }

    def load_state_dict(self, state: dict[str, Any], step: int = 0) -> None:
        """Restore a saved state in the existing generators.

        A state saved on one type of device (cpu, cuda, mps) cannot be used on another. Such a stream is seeded again
        from its name, the run's seed and ``step``, the training step of the checkpoint.
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


def sample_categorical(logits: Tensor, generator: Generator) -> Tensor:
    """Draw one sample from each categorical distribution: logits (B, n) -> (B,) int64.

    Returns the same samples as ``torch.multinomial``, but without its input check, which synchronises with the device.
    """
    probabilities = logits.float().softmax(dim=-1)
    # Exponential race: of exponential variables with rates p, the i-th is the smallest with probability p_i.
    return (probabilities / torch.empty_like(probabilities).exponential_(generator=generator)).argmax(dim=-1)
