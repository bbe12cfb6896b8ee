"""An agent as three ONNX models, and what a program needs to dream with them: ``world.json``.

    denoiser.onnx       noisy, sigma, prev_obs, prev_action  ->  denoised, estimate
    reward_end.onnx     obs, action, next_obs, hidden, cell  ->  logits_reward, logits_end, next_hidden, next_cell
    actor_critic.onnx   obs, hidden, cell                    ->  logits, value, next_hidden, next_cell

``docs/export.md`` has all shapes. The batch may have any size, and everything is computed in fp32. What goes from step
to step is passed in and out, and what is random (noise, and draws from the logits) is left to the program.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

import adamas
from adamas.agent import Agent
from adamas.core.actions import ActionSpec
from adamas.core.checks import check_range
from adamas.core.config import to_dict
from adamas.core.errors import UserError, not_installed
from adamas.diffusion.schedules import karras_sigmas
from adamas.export.networks import MODELS, Step, draw_inputs, pad_channels, parts_of
from adamas.rl.action_distribution import LOG_STD_MAX, LOG_STD_MIN

OPSET = 20  # onnxruntime is fastest with it: from 21 on, group normalisation is another operator
OPSETS = range(18, 25)
TOLERANCE = 1e-4
"""Largest absolute difference from PyTorch that is let pass."""
FPS = 15  # steps a second of an Atari game with frame skip 4
NOISE_LEVELS = 5  # at which the denoiser is compared
BATCHES = (1, 3)


def export_onnx(
    agent: Agent,
    folder: Path,
    frames: Tensor | None = None,
    opset: int = OPSET,
    title: str = "dream",
    fps: float = FPS,
) -> dict[str, float]:
    """Write the models and ``world.json``, and compare the models with PyTorch.

    Args:
        agent: the agent, on the CPU.
        folder: where to; must exist.
        frames: (3 or more, L, C, H, W) uint8, contexts to compare on; noise when not given.
        opset: version of the operators, 18 to 24.
        title: name of the world.
        fps: steps a second at which a program should show it.

    Returns:
        The largest absolute difference of each model's outputs from PyTorch's. Where frames are cut down to levels, it
        is that of the frames before, and how far the levels are from where those should be cut.

    Raises:
        UserError: a part of the agent is missing or of another kind than can be exported, the opset is none of those,
            the packages are missing, or a difference is above :data:`TOLERANCE`.
    """
    check_export(agent, opset)
    errors = {name: export_model(agent, name, folder, frames, opset) for name in MODELS}
    world = json.dumps(describe(agent, title, opset, fps), indent=1, allow_nan=False)
    (folder / "world.json").write_text(world + "\n", encoding="utf-8")
    return errors


def export_model(
    agent: Agent, name: str, folder: Path, frames: Tensor | None = None, opset: int = OPSET
) -> float:
    """Write one of :data:`MODELS`; arguments, errors and the difference that is returned as in :func:`export_onnx`."""
    generator = Generator().manual_seed(0)
    if frames is None:
        shape = (max(BATCHES), agent.world_model.context_length, *agent.config.obs_shape)
        frames = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    step, path = MODELS[name](agent), folder / f"{name}.onnx"
    _export(step, draw_inputs(agent, frames[:2], 1.0, generator)[name], path, opset)
    error = _compare(agent, name, step, path, frames, generator)
    if not error <= TOLERANCE:  # nan is not
        raise UserError(
            f"{path.name} differs from PyTorch by {error:.1e}, more than {TOLERANCE:.0e}; try another `opset` or "
            "version of torch, onnxscript or onnxruntime"
        )
    return error


def check_export(agent: Agent, opset: int) -> None:
    """Refuse what cannot be exported, before anything is written. Raises UserError, see :func:`export_onnx`."""
    config = parts_of(agent).world_model.config
    if config.upsampler is not None:
        raise UserError("a world model of two stages cannot be exported; choose one of a single stage")
    if config.sampler.s_cond > 0:
        raise UserError(
            "the sampler puts noise on past frames and exported models do not; set `sampler.s_cond` to 0"
        )
    check_range("opset", opset, least=OPSETS[0], most=OPSETS[-1])
    for module in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            raise not_installed(module, "export")


def describe(agent: Agent, title: str, opset: int, fps: float = FPS) -> dict[str, Any]:
    """What a program that dreams must know besides the models, as plain values for JSON."""
    parts = parts_of(agent)
    channels, height, width = agent.config.obs_shape
    sampler = parts.world_model.sampler
    sigmas = karras_sigmas(sampler.num_steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)
    # JSON knows no infinity.
    finite = to_dict(sampler) | {"s_tmax": min(sampler.s_tmax, sys.float_info.max)}
    return {
        "format": 1,
        "title": title,
        "channels": channels,
        "height": height,
        "width": width,
        "actions": describe_actions(agent.action_spec),
        "context_length": parts.world_model.context_length,
        "lstm_dim": {
            "reward_end": parts.reward_end.config.lstm_dim,
            "actor_critic": parts.policy.config.lstm_dim,
        },
        "rewards": [-1, 0, 1],
        "ends": [False, True],
        "quantised": parts.denoiser.config.quantise,
        "sampler": finite,
        "sigmas": sigmas.tolist(),
        "starts_at_newest_frame": parts.denoiser.config.sigma_change is not None,
        "fps": fps,
        "opset": opset,
        "adamas": adamas.__version__,
    }


def describe_actions(spec: ActionSpec) -> list[str] | dict[str, Any]:
    """Names where one choice is all there is; else the parts of an action, and what makes a policy's axes."""
    if spec.is_discrete:
        return list(spec.names)
    return to_dict(spec) | {"log_std": [LOG_STD_MIN, LOG_STD_MAX]}


def level_error(estimate: NDArray[np.float32], cut: NDArray[np.float32]) -> float:
    """How far ``estimate`` is, at most, from values that are cut down to ``cut``; arrays of any shape."""
    estimate = estimate.clip(-1, 1)
    below, above = cut - estimate, estimate - (cut + 2 / 255)
    return float(np.maximum(below, above).clip(min=0).max())


def _export(step: Step, inputs: Mapping[str, Tensor], path: Path, opset: int) -> None:
    from onnxscript import ir

    step = copy.deepcopy(step).eval()  # padding changes it
    pad_channels(step)
    batch = torch.export.Dim("batch")
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            step,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(step.outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    # Every node tells which line of which file it comes from: folders of this machine, in files for others.
    ir.passes.common.ClearMetadataAndDocStringPass()(program.model)
    program.save(str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of what PyTorch deprecates within itself, and of torchvision's absence."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@torch.no_grad()
def _compare(
    agent: Agent,
    name: str,
    step: Step,
    path: Path,
    frames: Tensor,
    generator: Generator,
) -> float:
    """The largest difference between PyTorch and onnxruntime, over sizes of batches and levels of noise."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    sampler = parts_of(agent).world_model.sampler
    errors = []
    for sigma in np.geomspace(sampler.sigma_min, sampler.sigma_max, NOISE_LEVELS).tolist():
        for b in BATCHES:
            inputs = draw_inputs(agent, frames[:b], sigma, generator)[name]
            found = session.run(None, {key: value.numpy() for key, value in inputs.items()})
            expected = step(**inputs)
            if name == "denoiser" and len(found) == 2:
                denoised, found, expected = found[0], found[1:], expected[1:]
                errors.append(level_error(found[0], denoised))
            errors += [float(np.abs(e.numpy() - f).max()) for e, f in zip(expected, found, strict=True)]
    return float(np.max(errors))  # unlike max, it does not lose a nan
