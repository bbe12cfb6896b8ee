"""The networks of IRIS give what the published code gave for the same weights and inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from adamas.core.types import to_model_range
from adamas.nn import lpips
from adamas.nn.lpips import Lpips
from adamas.world_models.iris import dynamics, transformer
from adamas.world_models.iris.world import Iris
from tests.helpers.iris_reference import Recorded
from tests.helpers.tensors import seeded

LOSSES = {"loss_obs": "loss_obs", "loss_reward": "loss_rewards", "loss_end": "loss_ends"}


def gradients_are_those(module: nn.Module, prefix: str, recorded: Recorded) -> int:
    """How many gradients equal the recorded ones, which must be those of all parameters."""
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        recorded.same(f"grad.{prefix}.{name}", parameter.grad)
    return len(list(module.parameters()))


def test_the_tokenizer_encodes_and_decodes(iris: Iris, recorded: Recorded) -> None:
    tokenizer = iris.tokenizer.requires_grad_(False)
    x = to_model_range(recorded["batch.observations"][0])
    recorded.same("tokenizer.encoder", tokenizer.encoder(x))
    encoded = tokenizer.quantise(x)
    recorded.same("tokenizer.z", encoded.z)
    recorded.same("tokenizer.distances", tokenizer.distances(encoded.z))
    recorded.same("tokenizer.z_quantized", encoded.codes)
    recorded.same("tokenizer.tokens", encoded.tokens)
    recorded.same("tokenizer.decoded", tokenizer.decoder(tokenizer.post_quant_conv(encoded.codes)))
    recorded.same("tokenizer.reconstruction", (tokenizer.decode(encoded.tokens) + 1) / 2)


def test_every_layer_of_the_autoencoder(iris: Iris, recorded: Recorded) -> None:
    """Mean and deviation of what each gives for the first frame, its first and its last value."""
    tokenizer, seen = iris.tokenizer.requires_grad_(False), dict[str, Tensor]()
    names = [name.removeprefix("tokenizer.tap.") for name in recorded.io if name.startswith("tokenizer.tap.")]
    for name in names:

        def keep(module: nn.Module, inputs: Any, output: Tensor, name: str = name) -> None:
            seen[name] = output[0].detach()

        tokenizer.get_submodule(name).register_forward_hook(keep)
    tokenizer.reconstruct(recorded["batch.observations"][0])
    assert len(names) == 26
    for name in names:
        x = seen[name].flatten()
        recorded.same(f"tokenizer.tap.{name}", torch.stack((x.mean(), x.std(), x[0], x[-1])))


def test_norms_of_tiny_inputs(iris: Iris, recorded: Recorded) -> None:
    """Their epsilons are the published ones."""
    for name, norm in (
        ("group_norm", iris.tokenizer.encoder.get_submodule("norm_out")),
        ("layer_norm", iris.dynamics.transformer.ln_f),
    ):
        recorded.same(f"small.{name}.output", norm(recorded[f"small.{name}.input"]).detach())


@pytest.fixture
def network(recorded: Recorded) -> Lpips:
    return recorded.lpips()


def test_the_perceptual_distance(network: Lpips, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dropout, and with the recorded one before each of five layers, which is active in training."""
    x, y = to_model_range(recorded["batch.observations"][0]), recorded["tokenizer.decoded"]
    recorded.same("lpips.eval", network.distance(x, y)[:, None, None, None])
    for layer in range(5):
        alone = recorded.lpips()
        for number, head in enumerate(alone.heads):
            head.mul_(number == layer)
        recorded.same(f"lpips.eval.layer.{layer}", alone.distance(x, y)[:, None, None, None])
    layers = iter(range(5))

    def drop(errors: Tensor, probability: float, generator: Generator | None) -> Tensor:
        assert probability == 0.5 and generator is not None
        return errors * recorded[f"lpips.train.kept.{next(layers)}"] * 2

    monkeypatch.setattr(lpips, "dropout", drop)
    recorded.same("lpips.train", network.distance(x, y, seeded())[:, None, None, None])
    assert next(layers, None) is None


def test_the_tokenizer_learns(iris: Iris, network: Lpips, recorded: Recorded) -> None:
    loss, metrics = iris.tokenizer.loss(recorded["batch.observations"][0], network.distance)
    terms = {"quantisation": "commitment", "reconstruction": "reconstruction", "perceptual": "perceptual"}
    for ours, theirs in terms.items():
        recorded.same(f"tokenizer.loss.{theirs}_loss", metrics[f"loss_{ours}"])
    recorded.same("tokenizer.loss.total", loss.detach())
    loss.backward()
    assert gradients_are_those(iris.tokenizer, "tokenizer", recorded) > 150
    assert all(parameter.grad is None for parameter in network.parameters())
    without, _ = iris.tokenizer.loss(recorded["batch.observations"][0])
    torch.testing.assert_close(without, loss - metrics["loss_perceptual"])


def test_the_dynamics_predict_and_learn(
    iris: Iris, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = iris.dynamics
    outputs: list[Tensor] = []
    model.transformer.ln_f.register_forward_hook(
        lambda module, inputs, output: outputs.append(output.detach())
    )
    logits = model(recorded["world_model.tokens"])
    recorded.same("world_model.output_sequence", outputs[0])
    for name, found in zip(("observations", "rewards", "ends"), logits, strict=True):
        recorded.same(f"world_model.logits_{name}", found.detach())
    labels = iter(("observations", "rewards", "ends"))
    cross_entropy = dynamics._cross_entropy

    def compare(logits: Tensor, given: Tensor) -> Tensor:
        recorded.same(f"world_model.labels_{next(labels)}", given.flatten())
        return cross_entropy(logits, given)

    monkeypatch.setattr(dynamics, "_cross_entropy", compare)
    loss, metrics = model.loss(recorded["world_model.obs_tokens"], *recorded.episodes())
    for ours, theirs in LOSSES.items():
        recorded.same(f"world_model.loss.{theirs}", metrics[ours])
    recorded.same("world_model.loss.total", loss.detach())
    loss.backward()
    assert gradients_are_those(model, "world_model", recorded) == 49


def test_attention_under_another_mask(iris: Iris, recorded: Recorded) -> None:
    """The published code has a mask, unused, under which the positions of a step all see one another."""
    model = iris.dynamics.requires_grad_(False)
    positions = torch.arange(68)
    visible = (positions // 17)[:, None] >= positions // 17
    x = model.embedder(recorded["world_model.tokens"][:1], positions % 17 == 16) + model.pos_emb(positions)
    for layer in model.transformer.blocks:
        assert isinstance(layer, transformer.Layer)
        x = x + layer.attn.attend(*layer.attn.project(layer.ln1(x)), visible)
        x = x + layer.mlp(layer.ln2(x))
    recorded.same("world_model.block_causal.output_sequence", model.transformer.ln_f(x))


def test_tokens_of_a_batch(iris: Iris, recorded: Recorded) -> None:
    obs = recorded["batch.observations"]
    tokens = iris.tokenizer.encode(obs.flatten(0, 1)).reshape(4, 4, 16)
    recorded.same("world_model.obs_tokens", tokens)
    sequence = torch.cat((tokens, recorded["batch.actions"][..., None]), dim=2).flatten(1)
    recorded.same("world_model.tokens", sequence)


def test_dropout_is_where_it_was(iris: Iris, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["embed"]
    names += [f"blocks.{i}.{part}" for i in range(2) for part in ("attention", "projection", "mlp")]
    left = iter(recorded[f"world_model.dropout.kept.{name}"] for name in names)

    def drop(x: Tensor, probability: float, generator: Generator | None) -> Tensor:
        mask = next(left)
        assert mask.shape == x.shape and probability == 0.1
        return x * mask / 0.9

    monkeypatch.setattr(transformer, "dropout", drop)
    tokens = recorded["world_model.obs_tokens"]
    _, metrics = iris.dynamics.loss(tokens, *recorded.episodes(), generator=seeded())
    for ours, theirs in LOSSES.items():
        recorded.same(f"world_model.dropout.{theirs}", metrics[ours])
    assert next(left, None) is None


def test_the_cache_changes_nothing(iris: Iris, recorded: Recorded) -> None:
    model = iris.dynamics.requires_grad_(False)
    outputs: list[Tensor] = []
    model.transformer.ln_f.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    tokens, cache, logits, at = recorded["world_model.tokens"], model.empty_cache(4), [], 0
    for count in recorded["world_model.cached.chunks"].tolist():
        found, cache = model.extend(tokens[:, at : at + count], at % 17, cache)
        logits.append(found)
        at += count
    numbers = torch.tensor([[part.shape[1] for part in found] for found in logits])
    recorded.same("world_model.cached.num_logits", numbers)
    recorded.same("world_model.cached.output_sequence", torch.cat(outputs, dim=1))
    for name, parts in zip(("observations", "rewards", "ends"), zip(*logits, strict=True), strict=True):
        recorded.same(f"world_model.logits_{name}", torch.cat(parts, dim=1))
    for layer in range(2):
        recorded.same(f"world_model.cached.keys.{layer}", cache.keys[:1, layer])
        recorded.same(f"world_model.cached.values.{layer}", cache.values[:1, layer])
