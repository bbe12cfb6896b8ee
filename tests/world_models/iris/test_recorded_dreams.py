"""Dreams of IRIS, the policy in them and in the game, and its updates are those of the published code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from adamas.core.types import Batch
from adamas.data.store import NEW, EpisodeStore
from adamas.dreaming.imagination import Imagination
from adamas.nn.optim import Gradient, Optimizer, OptimizerConfig
from adamas.rl import action_distribution
from adamas.rl.action_distribution import log_prob_and_entropy, sample_action
from adamas.rl.plain_actor_critic import PlainActorCritic
from adamas.rl.reinforce import ReinforceConfig, reinforce_loss
from adamas.rl.returns import lambda_returns
from adamas.rl.rollout import Rollout, rollout, start
from adamas.world_models.iris import world
from adamas.world_models.iris.transformer import Cache
from adamas.world_models.iris.world import Iris
from adamas.world_models.player import Player
from tests.helpers.batches import frames_alone
from tests.helpers.iris_reference import SHAPE, SPEC, Recorded
from tests.helpers.tensors import seeded
from tests.world_models.iris.test_recorded import gradients_are_those


def contexts(recorded: Recorded) -> Batch:
    return frames_alone(recorded["imagine.context.observations"], recorded["imagine.context.mask_padding"])


def dream(
    iris: Iris, policy: PlainActorCritic, recorded: Recorded, patch: pytest.MonkeyPatch, kind: str, steps: int
) -> Rollout:
    """A rollout of the policy in dreams, with the recorded noise."""
    draw = recorded.draws(kind)
    patch.setattr(world, "sample_categorical", draw)
    patch.setattr(action_distribution, "sample_categorical", draw)
    env = Imagination(iris, lambda k: contexts(recorded)[:k], 3, steps, SHAPE, SPEC, seeded())
    position, _ = start(policy, env)
    if kind == "imagine":
        recorded.same("imagine.burn_in.hidden", position.policy_state[0])
        recorded.same("imagine.burn_in.cell", position.policy_state[1])
    return rollout(policy, env, position, steps, seeded())[0]


def frames_seen(found: Rollout) -> Tensor:
    """What the policy saw, in [0, 1], without what it saw after the last step."""
    return (found.obs + 1) / 2


def test_a_dream_and_what_the_policy_learns(
    iris: Iris, policy: PlainActorCritic, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dream(iris, policy, recorded, monkeypatch, "imagine", steps=3)
    recorded.same("imagine.frames", frames_seen(found), recorded["imagine.frames"][:, :3])
    for name, value in {
        "actions": found.action,
        "rewards": found.reward,
        "ends": found.terminated,
        "values": found.value.detach(),
        "logits_actions": found.logits.detach(),
    }.items():
        recorded.same(f"imagine.{name}", value, recorded[f"imagine.{name}"][:, :3])
    recorded.same("imagine.values", found.value_bootstrap, recorded["imagine.values"][:, 1:])
    config = ReinforceConfig(gamma=0.9, lambda_=0.7, entropy_weight=0.05)
    returns = config.returns(found)
    recorded.same("actor_critic.lambda_returns", returns, recorded["actor_critic.lambda_returns"][:, :3])
    log_prob, entropy = log_prob_and_entropy(SPEC, found.logits.detach(), found.action)
    recorded.same("actor_critic.log_prob", log_prob)
    recorded.same("actor_critic.entropy", entropy)
    loss, metrics = reinforce_loss(found, config)
    recorded.same("actor_critic.loss.loss_actions", metrics["loss_policy"])
    recorded.same("actor_critic.loss.loss_values", metrics["loss_value"])
    recorded.same("actor_critic.loss.loss_entropy", -0.05 * metrics["entropy"])
    recorded.same("actor_critic.loss.total", loss.detach())
    loss.backward()
    assert gradients_are_those(policy, "actor_critic", recorded) == 16


def test_a_dream_that_forgets(
    iris: Iris, policy: PlainActorCritic, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is longer than the transformer can look back."""
    found = dream(iris, policy, recorded, monkeypatch, "flush", steps=6)
    for name, value in {
        "observations": (frames_seen(found).clamp(0, 1) * 255).floor(),
        "actions": found.action,
        "rewards": found.reward,
        "ends": found.terminated,
        "values": found.value.detach(),
        "logits_actions": found.logits.detach(),
    }.items():
        if name == "observations":
            assert (value - recorded["flush.observations"]).abs().max() <= 1  # levels
        else:
            recorded.same(f"flush.{name}", value)


@pytest.mark.parametrize(("kind", "steps"), [("imagine", 3), ("flush", 5)])
def test_tokens_of_dreams(
    iris: Iris, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, kind: str, steps: int
) -> None:
    monkeypatch.setattr(world, "sample_categorical", recorded.draws(kind))
    state, seen = iris.start(contexts(recorded))
    recorded.same(f"{kind}.first_tokens", state["tokens"])
    if kind == "imagine":
        reconstruction = torch.stack((seen[0, 0], seen[1, 1], seen[2, 2]))
        recorded.same("imagine.burn_in.reconstruction", (reconstruction + 1) / 2)
    sizes = [state["length"]]
    for step in range(steps):
        state, imagined = iris.imagine(state, recorded[f"{kind}.actions"][:, step], seeded())
        recorded.same(f"{kind}.obs_tokens", state["tokens"], recorded[f"{kind}.obs_tokens"][:, step])
        shown = (imagined.features + 1) / 2
        levels = recorded[f"{kind}.observations"][:, step + 1]
        assert ((shown * 255).floor() - levels).abs().max() <= 1
        sizes.append(state["length"])
    found = torch.stack(sizes, dim=1)
    recorded.same(f"{kind}.cache_size", found[0], recorded[f"{kind}.cache_size"][: steps + 1])
    assert (found == found[0]).all()
    if kind == "imagine":  # the published last step takes the action alone, for which there is room
        cache = Cache(state["keys"], state["values"], state["length"], longest=67)
        logits, _ = iris.dynamics.extend(recorded["imagine.actions"][:, 3:], 16, cache)
        for name, part in (("reward", logits.reward), ("end", logits.end)):
            expected = recorded[f"imagine.log_prob.{name}"][:, 3]
            recorded.same(f"imagine.log_prob.{name}", part[:, 0].log_softmax(-1).detach(), expected)


def test_the_policy_in_the_game(
    iris: Iris, policy: PlainActorCritic, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = Player(iris, policy.requires_grad_(False))
    state = player.initial_state(2)
    for t in range(3):
        output = player(recorded["batch.observations"][[0, 2], t], state)
        state = output.state
        recorded.same("act.hidden", state[0], recorded["act.hidden"][:, t])

        def draw(logits: Tensor, generator: torch.Generator, t: int = t) -> Tensor:
            log_prob = logits.log_softmax(-1)
            recorded.same("act.log_prob", log_prob, recorded["act.log_prob"][:, t])
            return (log_prob + recorded["act.gumbel"][:, t]).argmax(-1)

        monkeypatch.setattr(action_distribution, "sample_categorical", draw)
        for name, temperature in (("actions", 0.5), ("greedy", 0.0)):
            action = sample_action(SPEC, output.logits, seeded(), temperature)
            recorded.same(f"act.{name}", action, recorded[f"act.{name}"][:, t])


def test_updates_of_the_dynamics(iris: Iris, recorded: Recorded) -> None:
    """Clipping, which weights decay, and two steps of AdamW."""
    model = iris.dynamics
    config = OptimizerConfig(lr=0.05, weight_decay=0.5, warmup_updates=0, max_grad_norm=10.0)
    optimizer = Optimizer(model, config)
    for step, scale in enumerate(recorded["optimizer.grad_scale"]):
        names = [name for name, _ in model.named_parameters()]
        gradients = tuple(recorded[f"grad.world_model.{name}"] * scale for name in names)
        norm = optimizer.update(Gradient(torch.zeros(()), gradients))
        expected = recorded["optimizer.norm_before_clipping"][step]
        recorded.same("optimizer.norm_before_clipping", norm, expected)
        prefix = f"optimizer.step.{step}."
        weights = [name for name in recorded.io if name.startswith(prefix)]
        assert len(weights) == 8
        for name in weights:
            recorded.same(name, model.get_parameter(name.removeprefix(prefix)).detach())


@pytest.mark.parametrize("number", range(4))
def test_returns(recorded: Recorded, number: int) -> None:
    """The last value is the bootstrap. Here rewards count by their signs, and one of the recorded ones is -2."""
    gamma, lambda_ = recorded[f"returns.{number}.gamma_lambda"].tolist()
    reward, end, value = (recorded[f"returns.{name}"] for name in ("rewards", "ends", "values"))
    nothing = torch.zeros(3, 6, dtype=torch.bool)
    found = lambda_returns(reward[:, :-1], end[:, :-1], nothing, value[:, 1:], gamma, lambda_)
    expected = recorded[f"returns.{number}.returns"][:, :-1].clone()
    expected[1, 5] += 1  # before it, there is an end
    recorded.same(f"returns.{number}.returns", found, expected)


def test_segments_of_episodes(recorded: Recorded, tmp_path: Path) -> None:
    """Here episodes hold the frame after the last action as well, of which nothing is learnt."""
    obs, action, reward, end = (
        recorded[f"replay.episode.{name}"].numpy() for name in ("observations", "actions", "rewards", "ends")
    )
    store, episode = EpisodeStore.create(tmp_path / "episodes", (1, 2, 2)), np.array([NEW])
    for t in range(5):
        step = action[t : t + 1], reward[t : t + 1], end[t : t + 1].astype(bool), np.array([False])
        episode = store.append(episode, obs[t : t + 1], *step)
    store.append_final(episode, obs[:1])
    for number in range(4):
        name = f"replay.segment.{number}"
        begin, stop = recorded[f"{name}.range"].tolist()
        batch = store.read(np.array([0]), np.array([begin]), stop - begin + 1)
        mask = batch.transition_mask[0]
        recorded.same(f"{name}.mask_padding", mask)
        recorded.same(f"{name}.actions", batch.action[0])
        recorded.same(f"{name}.rewards", batch.reward[0])
        recorded.same(f"{name}.ends", (batch.terminated | batch.truncated)[0])
        expected = recorded[f"{name}.observations"]
        recorded.same(f"{name}.observations", batch.obs[0, :-1] * mask[:, None, None, None], expected)
    chunks = store.read(np.zeros(3, np.int64), np.array([0, 2, 4]), 3)
    recorded.same("replay.traverse.actions", chunks.action)
    recorded.same("replay.traverse.mask_padding", chunks.transition_mask)
