"""Checkpoints in the format that DIAMOND was published in.

Such a file is one flat state dict, written by ``torch.save``. Its tensors have the names that they have here,
but for the prefixes. It holds weights and nothing else, so that everything about the agent has to be read off
the names and shapes of its tensors.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from adamas.agent import Agent, AgentConfig
from adamas.core.errors import UserError
from adamas.core.files import check_regular, creating
from adamas.interop.sizes import PREFIXES, Tensors, infer_config


def published_agent(tensors: Tensors, source: str) -> Agent:
    """The agent that a published file of an Atari game holds, on the CPU and in evaluation mode.

    The file records neither the names of the actions (they become "0", "1", ...) nor noise levels and sampler
    (they take the published values).

    Args:
        tensors: what the file holds.
        source: its name, for error messages.

    Raises:
        UserError: it is something else, or only a part of an agent.
    """
    absent = [prefix for prefix in PREFIXES if not any(name.startswith(prefix) for name in tensors)]
    if absent:
        raise UserError(
            f"{source} has no tensors named {', '.join(f'{prefix}*' for prefix in absent)}: it is not a whole "
            "agent (denoiser, reward/end model, actor-critic); choose the checkpoint of an Atari game"
        )
    renamed = {_rename(name, PREFIXES): tensor for name, tensor in tensors.items()}
    return build(infer_config(renamed, source), renamed, source)


def save_published(agent: Agent, path: Path | str) -> None:
    """Write the weights of ``agent`` to a new file in the published format.

    Raises:
        UserError: the file exists or cannot be written, the denoiser is not EDM's, or the weights do not tell the
            size of a frame.
    """
    path, state, world_model = Path(path), agent.state_dict(), agent.config.world_model
    denoiser = world_model.denoiser
    plain = denoiser.diffusion == "edm" and denoiser.network.context == "frames" and not denoiser.sigma_change
    if not plain or world_model.upsampler or not world_model.reward_end:
        raise UserError(
            "the published format is for EDM denoisers of one stage on stacked frames, without sigma_change, and a "
            "reward/end model; keep the checkpoint folder instead"
        )
    shape = agent.config.obs_shape
    if shape[1] != shape[2] or infer_config(state, "the agent").obs_shape != shape:
        raise UserError(
            f"the published format cannot tell that frames are {shape[1]}x{shape[2]}: it is for squares "
            "whose side each level of the reward/end model halves exactly; keep the checkpoint folder instead"
        )
    back = {ours: published for published, ours in PREFIXES.items()}
    tensors = {_rename(name, back): tensor.cpu().contiguous() for name, tensor in state.items()}
    content = io.BytesIO()  # where the disk is full, torch.save() itself raises no OSError
    torch.save(tensors, content)
    try:
        with creating(path) as temporary:
            temporary.write_bytes(content.getbuffer())
    except FileExistsError as error:
        raise UserError(f"{path} exists and is not overwritten; choose another name") from error
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; check the folder and its free space"
        ) from error


def build(config: AgentConfig, tensors: Tensors, source: str) -> Agent:
    """An agent with the given tensors as weights, in evaluation mode. Leaves the random state alone.

    Args:
        config: what to build.
        tensors: named as in the agent's state dict.
        source: where they come from, for error messages.

    Raises:
        UserError: tensors are missing, superfluous, or of another shape or type than ``config`` says.
    """
    check_weights(without_weights(config, tensors, source), tensors, source, "an agent")
    with torch.random.fork_rng(devices=[]):  # the initial weights are random, but not for long
        agent = Agent(config)
    agent.load_state_dict(tensors)
    return agent.eval()


def without_weights(config: AgentConfig, tensors: Tensors, source: str) -> Agent:
    """An agent that takes no memory, to compare ``tensors`` with before one is built that may fit into no machine.

    Raises:
        UserError: there is no agent of these sizes, or it has far more parts than there are tensors.
    """
    model = config.world_model
    parts = (model.denoiser.network, model.reward_end, model.upsampler and model.upsampler.network)
    blocks = sum(depth for part in parts if part for depth in part.depths)
    if blocks > len(tensors):
        raise UserError(
            f"{source} does not hold an agent: its configuration describes {blocks:,} residual blocks, and there are "
            f"{len(tensors):,} tensors; get the file again"
        )
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights without any value
            return Agent(config)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ArithmeticError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{source} does not hold an agent: there is none of these sizes ({reason}); get the file again"
        ) from error


def check_weights(module: nn.Module, tensors: Tensors, source: str, what: str) -> None:
    """Compare ``tensors`` with a module's weights.

    Args:
        module: what they are for.
        tensors: named as in the module's state dict.
        source: where they come from, for error messages.
        what: the module is, for error messages.

    Raises:
        UserError: tensors are missing, superfluous, or of another shape or type than the module's.
    """
    expected = module.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is unexpected" for name in tensors if name not in expected]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} {tensors[name].dtype} instead of {tuple(t.shape)} {t.dtype}"
        for name, t in expected.items()
        if name in tensors and (tensors[name].shape, tensors[name].dtype) != (t.shape, t.dtype)
    ]
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise UserError(f"{source} does not hold {what}: {problems[0]}{more}; get the file again")


def _rename(name: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What a published file holds; UserError if it cannot be read or is none. Executes no code from the file."""
    try:
        check_regular(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except Exception as error:  # arbitrary bytes make an unpickler raise almost anything
        raise UserError(
            f"{path} is not a published checkpoint (a state dict, *.pt); choose such a file"
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise UserError(f"{path} is not a published checkpoint (a flat state dict); choose such a file")
    for name, tensor in content.items():
        if not _is_plain(tensor):
            raise UserError(
                f"{path} is not a published checkpoint ({name[:80]!r} is no plain tensor); choose another"
            )
    return content


def _is_plain(tensor: Tensor) -> bool:
    """Whether all values of a tensor are there, one by one: it is neither sparse nor one value a thousand times."""
    if (
        tensor.layout is not torch.strided
        or tensor.is_nested
        or tensor.is_quantized
        or tensor.device.type != "cpu"
    ):
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
