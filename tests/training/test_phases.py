"""How much each phase does, and that its state is all it needs to go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adamas.core.config import with_value
from adamas.core.seeding import Streams, derive_seed
from adamas.data.sampling import SegmentSampler
from adamas.presets import preset
from adamas.rl.learner import rates
from adamas.training.build import new_run
from adamas.training.collect import Collector
from adamas.training.config import CollectionConfig
from adamas.training.phases import CollectPhase
from adamas.training.trainer import Trainer
from adamas.training.update_phases import ComponentPhase, PolicyPhase, context_sampler, planned_updates
from adamas.world_models.diamond.world import Diamond
from tests.helpers.game_parts import game_of
from tests.helpers.tiny_config import differing, flat, tiny_config


def collect_of(trainer: Trainer) -> CollectPhase:
    """The phase that plays the game, which runs on recordings lack."""
    assert trainer.collect is not None
    return trainer.collect


def collected(run_dir: Path, num_shards: int) -> Trainer:
    """A run in which some real steps are collected."""
    trainer = new_run(replace(tiny_config(), num_shards=num_shards), run_dir, quiet=True)
    collect_of(trainer).begin(0)
    for _ in range(4):
        collect_of(trainer).update()
    return trainer


@pytest.fixture(params=[1, 2], ids=["one shard", "two shards"])
def trainer(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Trainer]:
    trainer = collected(tmp_path / "run", request.param)
    yield trainer
    trainer.close()


def test_planned_updates_of_the_paper() -> None:
    training = preset("atari100k").training
    for part, first in (
        (training.component("denoiser"), 10_000),
        (training.component("reward_end"), 10_000),
        (game_of(preset("atari100k")).training, 5_000),
    ):
        assert [planned_updates(part, epoch) for epoch in (0, 1, 2, 1_000)] == [0, first, 400, 400]


def phase(collector: Collector, **values: int) -> CollectPhase:
    return CollectPhase(collector, CollectionConfig(**values))  # type: ignore[arg-type]


@given(st.integers(1, 2_000), st.integers(1, 64))
def test_chunks_cover_the_steps_with_little_to_spare(num_steps: int, num_envs: int) -> None:
    config = CollectionConfig(num_envs=num_envs)
    collect = CollectPhase(None, config)  # type: ignore[arg-type]
    units, steps = collect._chunks(num_steps)
    assert 1 <= steps <= CollectPhase.chunk
    assert num_steps <= units * steps * num_envs < num_steps + units * num_envs + num_envs


def test_collection_plan_of_the_paper(trainer: Trainer) -> None:
    collect = phase(collect_of(trainer).collector)
    assert collect.planned(0) == 5_000 // 20
    assert collect.planned(1) == 100 // 20


def test_the_first_epoch_waits_for_rare_rewards(trainer: Trainer) -> None:
    collector = collect_of(trainer).collector
    assert collector.store.num_steps == 160
    collect = phase(collector, first_steps=100, first_steps_max=161, min_rare_rewards=10)
    for signs, enough in (([0, 160, 0], False), ([0, 151, 9], False), ([0, 150, 10], True)):
        collector.reward_signs = torch.tensor(signs)
        assert collect.finished(0, 5, 5) is enough
    collector.reward_signs = torch.tensor([4, 6, 150])  # here it is positive rewards that abound
    assert collect.finished(0, 5, 5)
    assert not collect.finished(0, 4, 5)  # rewards do not make up for steps
    collector.reward_signs = torch.tensor([0, 160, 0])
    assert phase(collector, first_steps=100, first_steps_max=160).finished(0, 5, 5)  # looked long enough
    assert collect.finished(1, 5, 5)  # later epochs do not wait


def test_collecting_stops_at_the_total(trainer: Trainer) -> None:
    collector = collect_of(trainer).collector
    config = {"num_envs": 2, "first_steps": 1, "first_steps_max": 1, "steps_per_epoch": 84}
    collect = phase(collector, **config, total_steps=160 + 83)
    collect.begin(1)
    planned, done = collect.planned(1), 0
    while not collect.finished(1, done, planned):
        collect.update()
        done += 1
    assert collector.store.num_steps == 160 + 84  # a multiple of the environments
    assert collect.planned(2) == 0


def test_rates_by_hand() -> None:
    reward = torch.tensor([[0.0, 5.0], [-2.0, 3.0]])
    ends = torch.tensor([[False, True], [False, False]])
    assert {name: float(x) for name, x in rates(reward, ends, ~ends).items()} == {
        "reward_rate": 0.25,
        "nonzero_reward_rate": 0.75,
        "end_rate": 0.25,
        "truncation_rate": 0.75,
    }


def test_a_component_learns_and_its_average_follows(trainer: Trainer) -> None:
    denoiser = trainer.phases["denoiser"]
    assert isinstance(denoiser, ComponentPhase)
    assert denoiser.ema is trainer.agent.denoiser
    trained = denoiser.component.module
    start = [p.clone() for p in trained.parameters()]
    denoiser.update()  # the warm-up begins with a learning rate of 0
    assert all(p.equal(s) for p, s in zip(trained.parameters(), start, strict=True))
    denoiser.update()
    assert not all(p.equal(s) for p, s in zip(trained.parameters(), start, strict=True))
    decay = 3 / 12  # (1 + n) / (10 + n) after n = 2 updates
    for average, now, old in zip(denoiser.ema.parameters(), trained.parameters(), start, strict=True):
        assert torch.allclose(average, decay * old + (1 - decay) * now, atol=1e-7)


def test_the_policy_learns_and_nothing_else_does(trainer: Trainer) -> None:
    policy = trainer.phases["actor_critic"]
    before = flat("", trainer.agent.state_dict())
    num_steps = trainer.real_steps
    policy.begin(1)
    for _ in range(2):
        policy.update()
    changed = differing(before, flat("", trainer.agent.state_dict()))
    assert changed and all(name.startswith(".actor_critic.") for name in changed)
    assert trainer.real_steps == num_steps


@pytest.mark.parametrize("name", ["denoiser", "reward_end", "actor_critic"])
def test_a_phase_goes_on_from_its_state(trainer: Trainer, tmp_path: Path, name: str) -> None:
    """In a trainer of another seed, so that whatever is not in the state differs."""
    first = trainer.phases[name]
    first.begin(1)
    for _ in range(2):
        first.update()
    trainer.save()
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000000" / "trainer.pt"
    state = torch.load(checkpoint, weights_only=True)
    other = new_run(replace(trainer.config, seed=1), tmp_path / "other", quiet=True)
    other.agent.load_state_dict(trainer.agent.state_dict())
    other.streams.load_state_dict(state["streams"])
    second = other.phases[name]
    _share_replay(other, trainer)
    second.load_state_dict(state["phases"][name])
    for _ in range(3):
        a, b = first.update(), second.update()
        assert {k: v.tolist() for k, v in a.items()} == {k: v.tolist() for k, v in b.items()}
    assert differing(flat("", first.state_dict()), flat("", second.state_dict())) == []
    assert differing(flat("", trainer.agent.state_dict()), flat("", other.agent.state_dict())) == []
    other.close()


def _share_replay(to: Trainer, source: Trainer) -> None:
    sampler = SegmentSampler(
        collect_of(source).collector.store, game_of(source.config).collection.age_weights
    )
    for phase in to.phases.values():
        if isinstance(phase, ComponentPhase):
            phase.sampler = sampler
        if isinstance(phase, PolicyPhase):
            for i, dreams in enumerate(phase.dreams):
                spec, rng = to.agent.world_model.contexts, to.streams.numpy(f"contexts {i}")
                dreams.imagination.contexts = context_sampler(sampler, spec, rng, to.device)


def test_new_dreams_begin_with_every_epoch(trainer: Trainer) -> None:
    policy = trainer.phases["actor_critic"]
    policy.begin(1)
    policy.update()
    dreams = policy.state_dict()["dreams"]
    assert all(dreams)
    policy.end()  # later checkpoints do not hold them
    assert not any(policy.state_dict()["dreams"])
    policy.load_state_dict({**policy.state_dict(), "dreams": dreams})
    policy.begin(2)
    assert not any(policy.state_dict()["dreams"])


def test_a_world_model_is_copied_only_where_its_average_is_kept(tmp_path: Path) -> None:
    config = tiny_config()
    decays = [config.training.component(name).average_decay for name in ("denoiser", "reward_end")]
    assert decays[0] > 0 == decays[1]
    plain = with_value(config, "training.denoiser.average_decay", 0.0)
    for run, averaged in ((config, True), (plain, False)):
        trainer = new_run(run, tmp_path / str(averaged), quiet=True)
        world_model, phases = trainer.agent.world_model, trainer.phases
        assert (phases["denoiser"].component.module is not world_model.denoiser) == averaged  # type: ignore[attr-defined]
        assert phases["reward_end"].component.module is world_model.reward_end  # type: ignore[attr-defined]
        trainer.close()


def test_nothing_is_copied_where_no_average_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_value(tiny_config(), "training.denoiser.average_decay", 0.0)

    def refuse(self: Diamond, memo: object) -> None:
        raise AssertionError("the world model was copied")

    monkeypatch.setattr(Diamond, "__deepcopy__", refuse, raising=False)
    new_run(config, tmp_path / "run", quiet=True).close()


@pytest.mark.parametrize("at_edge", (False, True))
def test_contexts_are_full_of_frames_before_the_end(trainer: Trainer, at_edge: bool) -> None:
    store = collect_of(trainer).collector.store
    rng = Streams(0).numpy("contexts")
    spec = replace(trainer.agent.world_model.contexts, at_edge=at_edge)
    contexts = context_sampler(SegmentSampler(store), spec, rng, torch.device("cpu"))(500)
    assert contexts.obs.shape == (500, 4, 3, 10, 10)
    assert contexts.mask[:, -1].all()
    assert not (contexts.terminated | contexts.truncated).any()  # no context holds an episode's end


def test_streams_are_independent_and_reproducible() -> None:
    streams, again = Streams(3), Streams(3)
    streams.numpy("b").random(10)  # what one stream does, no other notices
    streams.torch("a")
    assert streams.numpy("a").random() == again.numpy("a").random()
    first = torch.rand(3, generator=streams.torch("a"))
    assert first.equal(torch.rand(3, generator=again.torch("a")))
    assert not first.equal(torch.rand(3, generator=again.torch("b")))
    state = streams.state_dict()
    more = streams.numpy("a").random(), torch.rand(2, generator=streams.torch("a"))
    fresh = Streams(4)
    fresh.numpy("a"), fresh.numpy("b"), fresh.torch("a")
    fresh.load_state_dict(state)
    assert fresh.numpy("a").random() == more[0]
    assert torch.rand(2, generator=fresh.torch("a")).equal(more[1])


@given(st.integers(0, 2**64), st.lists(st.text(max_size=5), max_size=3))
def test_derived_seeds_are_in_range_and_differ(seed: int, names: list[str]) -> None:
    derived = derive_seed(seed, *names)
    assert 0 <= derived < 2**63
    assert derived == derive_seed(seed, *names)
    assert derived != derive_seed(seed + 1, *names)
    assert derived != derive_seed(seed, *names, "more")


def test_evaluation_leaves_training_alone(trainer: Trainer) -> None:
    before = flat("", trainer.agent.state_dict())
    steps = trainer.real_steps
    streams = {name: state for name, state in flat("", trainer.streams.state_dict()).items()}
    trainer.evaluate.begin(1)
    numbers = trainer.evaluate.update()
    assert differing(before, flat("", trainer.agent.state_dict())) == []
    assert trainer.real_steps == steps
    used = differing(streams, flat("", trainer.streams.state_dict()))
    assert used == [".torch.heldout"]
    assert {"return", "length", "psnr_1", "dream_end_rate", "real_end_rate"} <= numbers.keys()
    assert trainer.evaluate.heldout is not None
    assert trainer.evaluate.heldout.store.num_steps == trainer.config.evaluation.heldout_steps


def test_evaluations_come_every_so_many_epochs(trainer: Trainer) -> None:
    evaluate = trainer.evaluate
    evaluation = replace(trainer.config.evaluation, every_epochs=3)
    evaluate.config = replace(trainer.config, evaluation=evaluation)
    assert [evaluate.planned(epoch) for epoch in range(8)] == [0, 0, 0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_single_heldout_transition_is_enough(tmp_path: Path, steps: int) -> None:
    config = tiny_config()
    evaluation = replace(config.evaluation, heldout_steps=1, heldout_windows=2)
    config = with_value(replace(config, evaluation=evaluation), "env.max_episode_steps", steps)
    trainer = new_run(config, tmp_path / "run", quiet=True)
    trainer.evaluate.begin(1)
    trainer.evaluate.update()
    assert trainer.heldout_dreams() is not None
    trainer.close()
