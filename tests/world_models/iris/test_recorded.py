"""The networks of IRIS and its dreams give what the published code gave for the same weights and inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.types import to_model_range
from adamas.rl.plain_actor_critic import PlainActorCritic, PlainActorCriticConfig
from adamas.world_models.iris import transformer, world
from adamas.world_models.iris.autoencoder import AutoencoderConfig
from adamas.world_models.iris.dynamics import DynamicsConfig
from adamas.world_models.iris.tokenizer import TokenizerConfig
from adamas.world_models.iris.transformer import TransformerConfig
from adamas.world_models.iris.world import Iris, IrisConfig
from tests.conftest import LoadReference
from tests.helpers.batches import frames_alone
from tests.helpers.tensors import seeded

SPEC = ActionSpec.numbered(5)
SHAPE = (3, 32, 32)
CONFIG = IrisConfig(
    tokenizer=TokenizerConfig(
        vocab_size=24,
        embed_dim=10,
        autoencoder=AutoencoderConfig(
            channels=(8, 8, 8, 8), attention_sizes=(8, 16), latent_channels=12, num_groups=4
        ),
    ),
    dynamics=DynamicsConfig(
        transformer=TransformerConfig(num_layers=2, num_heads=2, embed_dim=16), max_blocks=4
    ),
    burn_in=3,
)
LOSSES = {"loss_obs": "loss_obs", "loss_reward": "loss_rewards", "loss_end": "loss_ends"}
IO = Mapping[str, Tensor]


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def io(reference: LoadReference) -> IO:
    return reference("iris").io


@pytest.fixture
def iris(reference: LoadReference) -> Iris:
    """The world model with the recorded weights. Those of LPIPS and two tables of masks are none of its own."""
    model, weights = Iris(CONFIG, SHAPE, SPEC), reference("iris").weights
    for name, part in (("tokenizer", model.tokenizer), ("world_model", model.world_model)):
        own = {k.removeprefix(f"{name}."): w for k, w in weights.items() if k.startswith(f"{name}.")}
        left_out = ("lpips.",) if name == "tokenizer" else ()
        own = {k: w for k, w in own.items() if not k.startswith(left_out) and k.split(".")[-1] not in MASKS}
        part.load_state_dict(own)
    return model


MASKS = ("mask", "indices", "unembedder_mask", "block_mask")


@pytest.fixture
def actor_critic(reference: LoadReference) -> PlainActorCritic:
    config = PlainActorCriticConfig(lstm_dim=8, channels=(4, 4, 6, 6))
    network = PlainActorCritic(config, SHAPE, SPEC)
    weights = reference("iris").weights
    prefix = "actor_critic."
    network.load_state_dict({k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)})
    return network


def gradients_are_those(module: nn.Module, prefix: str, io: IO) -> int:
    """How many gradients equal the recorded ones, which must be those of all parameters."""
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        same(parameter.grad, io[f"grad.{prefix}.{name}"])
    return len(list(module.parameters()))


def test_the_tokenizer_encodes_and_decodes(iris: Iris, io: IO) -> None:
    tokenizer = iris.tokenizer.requires_grad_(False)
    x = to_model_range(io["batch.observations"][0])
    same(tokenizer.encoder(x), io["tokenizer.encoder"])
    encoded = tokenizer.quantise(x)
    same(encoded.z, io["tokenizer.z"])
    same(encoded.codes, io["tokenizer.z_quantized"])
    assert torch.equal(encoded.tokens, io["tokenizer.tokens"])
    decoded = tokenizer.decoder(tokenizer.post_quant_conv(encoded.codes))
    same(decoded, io["tokenizer.decoded"])
    same(tokenizer.decode(encoded.tokens), io["tokenizer.reconstruction"] * 2 - 1)


def test_every_layer_of_the_autoencoder(iris: Iris, io: IO) -> None:
    """Mean and deviation of what each gives for the first frame, its first and its last value."""
    tokenizer, seen = iris.tokenizer.requires_grad_(False), dict[str, Tensor]()
    names = [name.removeprefix("tokenizer.tap.") for name in io if name.startswith("tokenizer.tap.")]
    for name in names:

        def keep(module: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
            seen[name] = output[0].detach()

        tokenizer.get_submodule(name).register_forward_hook(keep)
    tokenizer.reconstruct(io["batch.observations"][0])
    assert len(names) == 26
    for name in names:
        x = seen[name].flatten()
        same(torch.stack((x.mean(), x.std(), x[0], x[-1])), io[f"tokenizer.tap.{name}"])


def test_the_tokenizer_s_loss(iris: Iris, io: IO) -> None:
    loss, metrics = iris.tokenizer.loss(io["batch.observations"][0])
    same(metrics["loss_commitment"], io["tokenizer.loss.commitment_loss"])
    same(metrics["loss_reconstruction"], io["tokenizer.loss.reconstruction_loss"])
    same(loss, io["tokenizer.loss.total"] - io["tokenizer.loss.perceptual_loss"])


def test_the_dynamics_predict_and_learn(iris: Iris, io: IO) -> None:
    model = iris.world_model
    logits = model(io["world_model.tokens"])
    same(logits.obs, io["world_model.logits_observations"])
    same(logits.reward, io["world_model.logits_rewards"])
    same(logits.end, io["world_model.logits_ends"])
    loss, metrics = model.loss(io["world_model.obs_tokens"], *episodes(io))
    for name, theirs in LOSSES.items():
        same(metrics[name], io[f"world_model.loss.{theirs}"])
    same(loss, io["world_model.loss.total"])
    loss.backward()  # type: ignore[no-untyped-call]
    assert gradients_are_those(model, "world_model", io) == 49


def episodes(io: IO) -> list[Tensor]:
    """Actions, rewards, ends, and which steps are real."""
    return [io[f"batch.{name}"] for name in ("actions", "rewards", "ends", "mask_padding")]


def test_dropout_is_where_it_was(iris: Iris, io: IO, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [io["world_model.dropout.kept.embed"]]
    for i in range(2):
        parts = ("attention", "projection", "mlp")
        kept += [io[f"world_model.dropout.kept.blocks.{i}.{part}"] for part in parts]
    left = iter(kept)

    def recorded(x: Tensor, probability: float, generator: Generator | None) -> Tensor:
        mask = next(left)
        assert mask.shape == x.shape and probability == 0.1
        return x * mask / 0.9

    monkeypatch.setattr(transformer, "dropout", recorded)
    _, metrics = iris.world_model.loss(io["world_model.obs_tokens"], *episodes(io), seeded())
    for name, theirs in LOSSES.items():
        same(metrics[name], io[f"world_model.dropout.{theirs}"])
    assert next(left, None) is None


def test_the_cache_changes_nothing(iris: Iris, io: IO) -> None:
    model = iris.world_model.requires_grad_(False)
    tokens, cache, logits, at = io["world_model.tokens"], model.empty_cache(4), [], 0
    for count in io["world_model.cached.chunks"].tolist():
        found, cache = model.extend(tokens[:, at : at + count], at % 17, cache)
        logits.append(found)
        at += count
    same(torch.cat([x.obs for x in logits], dim=1), io["world_model.logits_observations"])
    same(torch.cat([x.end for x in logits], dim=1), io["world_model.logits_ends"])
    for layer in range(2):
        same(cache.keys[0, layer], io[f"world_model.cached.keys.{layer}"][0])
        same(cache.values[0, layer], io[f"world_model.cached.values.{layer}"][0])


@pytest.mark.parametrize(("kind", "steps"), [("imagine", 3), ("flush", 5)])
def test_dreams(iris: Iris, io: IO, monkeypatch: pytest.MonkeyPatch, kind: str, steps: int) -> None:
    """With the recorded draws. The longer ones forget their past when the cache is full."""
    draws = recorded_draws(io, kind)
    monkeypatch.setattr(world, "sample_categorical", lambda logits, generator: next(draws[logits.shape[-1]]))
    context = frames_alone(io["imagine.context.observations"], io["imagine.context.mask_padding"])
    state, seen = iris.start(context)
    assert torch.equal(state["tokens"], io[f"{kind}.first_tokens"])
    if kind == "imagine":
        found = torch.stack((seen[0, 0], seen[1, 1], seen[2, 2]))
        same(found, io["imagine.burn_in.reconstruction"] * 2 - 1)
    for step in range(steps):
        state, imagined = iris.imagine(state, io[f"{kind}.actions"][:, step], seeded())
        assert torch.equal(state["tokens"], io[f"{kind}.obs_tokens"][:, step])
        assert torch.equal(imagined.reward, io[f"{kind}.rewards"][:, step].float())
        assert torch.equal(imagined.terminated, io[f"{kind}.ends"][:, step].bool())
        if kind == "imagine":
            same(imagined.features, io["imagine.frames"][:, step + 1] * 2 - 1)


def recorded_draws(io: IO, kind: str) -> dict[int, Iterator[Tensor]]:
    """By the number of classes: 3 signs of rewards, 2 for ends, 24 tokens."""
    sizes = {3: "reward", 2: "end", 24: "obs"}
    return {size: iter(io[f"{kind}.drawn.{name}"].unbind(1)) for size, name in sizes.items()}


def test_the_policy_in_a_dream(iris: Iris, actor_critic: PlainActorCritic, io: IO) -> None:
    context = frames_alone(io["imagine.context.observations"], io["imagine.context.mask_padding"])
    _, seen = iris.start(context)
    state: tuple[Tensor, ...] = actor_critic.initial_state(3)
    with torch.no_grad():
        for obs, real in zip(seen[:, :-1].unbind(1), context.mask[:, :-1].unbind(1), strict=True):
            after = actor_critic(obs, state).state
            state = tuple(torch.where(real[:, None], new, old) for new, old in zip(after, state, strict=True))
    same(state[0], io["imagine.burn_in.hidden"])
    same(state[1], io["imagine.burn_in.cell"])
    logits, values = [], []
    for obs in (io["imagine.frames"] * 2 - 1).unbind(1):
        output = actor_critic(obs, state)
        state = output.state
        logits.append(output.logits)
        values.append(output.value)
    same(torch.stack(logits, dim=1), io["imagine.logits_actions"])
    same(torch.stack(values, dim=1), io["imagine.values"])
