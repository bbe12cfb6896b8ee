"""Reading and writing of checkpoints in the format of DIAMOND's published code.

Such a file is a flat state dict, written by ``torch.save``. Its tensors have the same names as here, except for the
prefixes. It contains only weights, so the configuration of the agent is inferred from the names and shapes of tensors.
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
from adamas.diffusion.edm import EdmConfig
from adamas.interop.sizes import PREFIXES, Tensors, infer_config
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond.world import DiamondConfig


def published_agent(tensors: Tensors, source: str) -> Agent:
    """Build the agent of a published file of an Atari game, on the CPU and in evaluation mode.

    The file does not contain the names of actions, which become "0", "1", ..., nor the noise levels and the sampler,
    which get the published values.

    Args:
        tensors: the content of the file.
        source: the name of the file, for error messages.

    Raises:
        UserError: if the tensors are not those of a complete agent.
    """
    absent = [prefix for prefix in PREFIXES if not any(name.startswith(prefix) for name in tensors)]
    if absent:
        raise UserError(
            f"{source} has no tensors named {', '.join(f'{prefix}*' for prefix in absent)}: it is not a complete "
            "agent (denoiser, reward/end model, actor-critic); choose the checkpoint of an Atari game"
        )
    renamed = {_rename(name, PREFIXES): tensor for name, tensor in tensors.items()}
    return build(infer_config(renamed, source), renamed, source)


def save_published(agent: Agent, path: Path | str) -> None:
    """Write the weights of ``agent`` to a new file in the published format.

    Raises:
        UserError: if the file exists or cannot be written, the agent has no policy, the published code cannot represent
            it, or the size of a frame cannot be inferred from the weights.
    """
    path, state = Path(path), agent.state_dict()
    if not _is_published_kind(agent.config):
        raise UserError(
            "the published format is for EDM denoisers of one stage on stacked frames, without sigma_change, and a "
            "reward/end model; keep the checkpoint folder instead"
        )
    _ = agent.policy  # raises UserError if there is no policy
    shape = agent.config.obs_shape
    if shape[1] != shape[2] or infer_config(state, "the agent").obs_shape != shape:
        raise UserError(
            f"the published format cannot represent frames of {shape[1]}x{shape[2]}: they must be squares that each "
            "level of the reward/end model halves exactly; keep the checkpoint folder instead"
        )
    back = {ours: published for published, ours in PREFIXES.items()}
    tensors = {_rename(name, back): tensor.cpu().contiguous() for name, tensor in state.items()}
    content = io.BytesIO()  # when the disk is full, torch.save() to a file would not raise OSError
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


def _is_published_kind(config: AgentConfig) -> bool:
    """Whether the published code has such a world model and such a policy."""
    model, policy = config.world_model, config.actor_critic
    if not isinstance(model, DiamondConfig) or not isinstance(policy, ActorCriticConfig | None):
        return False
    if model.upsampler is not None or model.reward_end is None or not isinstance(model.denoiser, EdmConfig):
        return False
    return model.denoiser.network.context == "frames" and not model.denoiser.sigma_change


def build(config: AgentConfig, tensors: Tensors, source: str) -> Agent:
    """Build an agent with the given weights, in evaluation mode. Does not change the global random state.

    Args:
        config: the configuration of the agent.
        tensors: the weights, named as in the agent's state dict.
        source: where the weights come from, for error messages.

    Raises:
        UserError: if tensors are missing or unexpected, or have another shape or dtype than those of ``config``.
    """
    check_weights(without_weights(config, tensors, source), tensors, source, "an agent")
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced at once
        agent = Agent(config)
    agent.load_state_dict(tensors)
    return agent.eval()


def without_weights(config: AgentConfig, tensors: Tensors, source: str) -> Agent:
    """Build an agent on the meta device, without memory for weights, to check ``tensors`` before allocating any.

    Raises:
        UserError: if an agent of these sizes cannot be built, or has more blocks of layers than there are tensors.
    """
    if (blocks := config.world_model.num_blocks) > len(tensors):
        raise UserError(
            f"{source} does not hold an agent: its configuration describes {blocks:,} blocks of layers, and there are "
            f"{len(tensors):,} tensors; get the file again"
        )
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns about tensors without elements
            return Agent(config)
    except (
        RuntimeError,
        ValueError,
        TypeError,
        IndexError,
        AssertionError,
        ArithmeticError,
        MemoryError,
    ) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{source} does not hold an agent: an agent of these sizes cannot be built ({reason}); get the file again"
        ) from error


def check_weights(module: nn.Module, tensors: Tensors, source: str, what: str) -> None:
    """Compare the names, shapes and dtypes of ``tensors`` with a module's weights.

    Args:
        module: the module that the tensors are meant for.
        tensors: named as in the module's state dict.
        source: where the tensors come from, for error messages.
        what: name of the module, for error messages.

    Raises:
        UserError: if tensors are missing or unexpected, or have another shape or dtype than the module's.
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
    """Read the tensors of a published file without running code from it. Raises UserError if it is not such a file."""
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
                f"{path} is not a published checkpoint ({name[:80]!r} is not a plain tensor); choose another"
            )
    return content


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense and on the CPU, with memory of its own for every value (no expanded tensor)."""
    if (
        tensor.layout is not torch.strided
        or tensor.is_nested
        or tensor.is_quantized
        or tensor.device.type != "cpu"
    ):
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
