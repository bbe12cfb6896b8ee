"""Construction of a run: builds all of its parts and passes them to the trainer."""

from __future__ import annotations

import copy
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock

from adamas.agent import Agent, AgentConfig, check_fits
from adamas.core import runtime
from adamas.core.checkpoint import Checkpoint, find_checkpoint
from adamas.core.config import load_config, save_config
from adamas.core.distributed import ALONE, Group
from adamas.core.errors import UserError
from adamas.core.logging import Metrics
from adamas.core.seeding import Streams, derive_seed
from adamas.core.workers import Workers
from adamas.data.sampling import SegmentSampler
from adamas.data.store import EpisodeStore
from adamas.diffusion.denoiser import FrameDiffusion
from adamas.interop.hub import is_address
from adamas.rl.rollout import OnHost
from adamas.training.collect import Collector
from adamas.training.config import Config
from adamas.training.distributed import Follower, LeaderPhase, LeaderStreams, check_shared, order_to_start
from adamas.training.evaluate import EvaluationPhase
from adamas.training.folder import begin, check_free, claim, claim_free, never_began, relink
from adamas.training.initial import take_weights
from adamas.training.model_free import collect_phase
from adamas.training.phases import CollectPhase, Phase
from adamas.training.resuming import Changes, ShardedState, absolute, changed, restore_learning, saved_config
from adamas.training.source import make_envs, playing, recorded, samplers
from adamas.training.trainer import Trainer
from adamas.training.update_phases import ComponentPhase, Dreams, PolicyPhase

if TYPE_CHECKING:
    from adamas.training.sharded import ShardedPhase

AS_BEFORE = Changes()


def new_run(config: Config, run_dir: Path, quiet: bool = False, group: Group = ALONE) -> Trainer:
    """Build the trainer of a new run, for rank 0 of its group.

    The saved configuration has absolute paths, so that it does not depend on the working directory.

    Raises:
        UserError: the folder is in use, the environment cannot be created, or the recordings cannot be used.
    """
    check_free(run_dir)
    if config.data is not None:
        config = replace(config, data=absolute(config.data))
    if config.init is not None and not is_address(config.init):
        config = replace(config, init=absolute(config.init))
    return _build(config, run_dir, None, quiet, group)


def resume_run(
    run_dir: Path, quiet: bool = False, group: Group = ALONE, changes: Changes = AS_BEFORE
) -> Trainer:
    """Build a trainer that continues from the newest intact checkpoint of ``run_dir``, for rank 0 of its group.

    Raises:
        UserError: there is nothing to resume, or the run cannot be resumed with these changes.
    """
    if not any((run_dir / name).exists() for name in ("config.yaml", "checkpoints")):
        raise UserError(f"there is no run in {run_dir}; start one with: adamas train PRESET")
    lock = claim(run_dir)  # Lock first: another process could be writing a newer checkpoint.
    with ExitStack() as failure:
        failure.callback(lock.release)
        if never_began(run_dir):
            config, checkpoint = load_config(run_dir / "config.yaml", Config), None
        else:
            checkpoint = find_checkpoint(run_dir / "checkpoints")
            config = saved_config(checkpoint)
        trainer = _build(changed(config, changes, run_dir), run_dir, checkpoint, quiet, group, lock)
        failure.pop_all()
    return trainer


def follow(run_dir: Path, group: Group) -> Follower:
    """Build the run's parts in a process other than rank 0, after waiting for rank 0 to build the run."""
    check_shared(run_dir, group)
    config, agent_config, checkpoint = order_to_start(group)
    device = runtime.choose_device(config.runtime.device, "runtime.device")
    streams = Streams(config.seed)
    agent = _new_agent(agent_config, config, device, checkpoint)
    train = EpisodeStore.open(run_dir / "dataset" / "train")
    phases = _learning_phases(config, agent, train, streams, device=device, group=group, run_dir=run_dir)
    if checkpoint is not None:
        restore_learning(checkpoint, agent, phases, streams)
    for phase in phases.values():
        if isinstance(phase, ShardedState) and isinstance(phase, _sharded_phase()):
            phase.free_agent()
    group.long_barrier()
    return Follower(group, phases, streams, train if config.data is None else None)


def _build(
    config: Config,
    run_dir: Path,
    checkpoint: Checkpoint | None,
    quiet: bool,
    group: Group,
    lock: FileLock | None = None,
) -> Trainer:
    if config.imagination == "off" and group.size > 1:
        raise UserError("`imagination` is off, which works in one process only; start it without torchrun")
    device = runtime.choose_device(config.runtime.device, "runtime.device")
    if not quiet:  # the next steps may take seconds
        print(f"{run_dir}: {_about(config, device, checkpoint)}", flush=True)
    streams = Streams(config.seed) if group.size == 1 else LeaderStreams(config.seed, group)
    game = config.game_parts
    with ExitStack() as failure:
        envs = [failure.enter_context(closing(env)) for env in make_envs(game, config.seed)]
        config, agent_config = (config, playing(config, envs[0])) if envs else recorded(config)
        if not quiet and agent_config.world_model != config.world_model:
            print("no rewards or ends in the recordings: none will be predicted", flush=True)
        agent = _new_agent(agent_config, config, device, checkpoint, quiet)
        lock = lock or claim_free(run_dir)
        failure.callback(lock.release)
        check_shared(run_dir, group)
        _prepare(config, agent_config, run_dir, checkpoint)
        train, test = (EpisodeStore.open(run_dir / "dataset" / name) for name in ("train", "test"))
        collect: CollectPhase | None = None
        heldout: Collector | None = None
        if game is not None:
            policy = OnHost(agent.player, device)
            collector = Collector(policy, envs[0], train, streams.torch("collect"))
            collect = collect_phase(config.imagination, collector, game, agent.policy, streams)
            heldout = Collector(policy, envs[1], test, streams.torch("heldout"))
        phases = _learning_phases(
            config, agent, train, streams, device=device, group=group, run_dir=run_dir, quiet=quiet
        )
        if group.size > 1:
            phases = {n: _leader(n, phase, group, train if envs else None) for n, phase in phases.items()}
        metrics = Metrics(run_dir / "metrics", config.tensorboard, config.wandb_project)
        failure.callback(metrics.close)
        trainer = Trainer(
            config,
            run_dir=run_dir,
            agent=agent,
            store=train,
            collect=collect,
            learn=phases,
            evaluate=EvaluationPhase(agent, test, heldout, config, run_dir, device),
            streams=streams,
            metrics=metrics,
            lock=lock,
            quiet=quiet,
            group=group,
        )
        if checkpoint is not None:
            _restore(trainer, checkpoint)
        group.broadcast((config, agent_config, checkpoint))
        group.long_barrier()
        failure.pop_all()
    return trainer


def _restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Restore a checkpoint, and save the configuration if it differs from the checkpoint's."""
    trainer.restore(checkpoint)
    if trainer.config != saved_config(checkpoint):
        save_config(trainer.run_dir / "config.yaml", trainer.config)


def _about(config: Config, device: torch.device, checkpoint: Checkpoint | None) -> str:
    """Describe a run in one line."""
    since = f", continuing from step {checkpoint.step}" if checkpoint else ""
    game = config.game_parts
    source = config.data if game is None else f"{game.env.suite} {game.env.game}"
    return f"training on {source}, seed {config.seed}, {device}{since}"


def _prepare(config: Config, agent_config: AgentConfig, run_dir: Path, checkpoint: Checkpoint | None) -> None:
    """Create the files of a new run, or check that the checkpoint fits and link the recordings."""
    obs_shape, action_spec = agent_config.obs_shape, agent_config.actions
    if checkpoint is None:
        begin(config, run_dir, obs_shape, action_spec)
        return
    saved = AgentConfig.from_checkpoint(checkpoint.config())
    check_fits(saved, obs_shape, action_spec, str(run_dir))
    if config.data is not None:
        relink(run_dir, config.data)


def _new_agent(
    agent_config: AgentConfig,
    config: Config,
    device: torch.device,
    checkpoint: Checkpoint | None,
    quiet: bool = True,
) -> Agent:
    """Set up this process for its frames, and build the agent.

    Its initial weights depend only on the run's seed, unless ``config.init`` names others.
    """
    runtime.setup(config.runtime, agent_config.obs_shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "weights"))
        agent = Agent(agent_config)
    if config.init is not None and checkpoint is None:
        names = take_weights(agent, config)
        if not quiet:
            print(f"weights of {', '.join(names)} from {config.init}", flush=True)
    runtime.place(agent, config.runtime, device)
    return agent


def _learning_phases(
    config: Config,
    agent: Agent,
    train: EpisodeStore,
    streams: Streams,
    *,
    device: torch.device,
    group: Group,
    run_dir: Path,
    quiet: bool = True,
) -> dict[str, Phase]:
    """Build the training phases: the components of the world model in order, then the actor-critic for a game."""
    if config.imagination == "off":
        return {}
    sharded = config.runtime.shard_parameters and group.size > 1
    workers = Workers(config.num_shards, group, threads=device.type == "cpu" and not sharded)
    if sharded and config.num_shards % group.size:
        raise UserError(
            f"`num_shards` is {config.num_shards}; with `runtime.shard_parameters` it must be a multiple of "
            f"{group.size}, the number of processes"
        )
    shards = range(config.num_shards)[workers.here]
    learn: dict[str, Phase] = {}
    agent.world_model.prepare_training()
    components = agent.world_model.components(config.horizon)
    in_parts = {
        name for name, part in components.items() if sharded and isinstance(part.module, FrameDiffusion)
    }
    if sharded and not in_parts:
        raise UserError("`runtime.shard_parameters` shards no part of this world model; set it to false")
    sampler_of = samplers(config, components.values(), train, run_dir, quiet, make=group.rank == 0)
    # A copy of the agent's module is trained if the agent holds its EMA, or if its parameters are sharded.
    copied = in_parts | {name for name in components if config.training.component(name).average_decay}
    copies = copy.deepcopy(agent.world_model).components(config.horizon) if copied else {}
    for name, component in components.items():
        training = config.training.component(name)
        ema = component.module
        sampler = sampler_of(component)
        component = copies[name] if name in copied else component
        generators = [streams.torch(f"{name} {i}", device) for i in shards]
        make = _sharded_phase() if name in in_parts else ComponentPhase
        learn[name] = make(component, ema, training, sampler, streams.numpy(name), generators, workers)
    if (game := config.game_parts) is None:
        return learn
    weighting = game.collection.age_weights, game.collection.episode_weighting
    # Each shard has its own sampler, because samplers cache results and are not thread-safe.
    _, sizes = workers.split(game.training.num_dreams)
    dreams = [
        Dreams.of_shard(config, agent, SegmentSampler(train, *weighting), streams, i, size)
        for i, size in zip(shards, sizes, strict=True)
    ]
    learner = game.training.learner.make(agent.policy, game.training.optimizer, workers, streams)
    learn["actor_critic"] = PolicyPhase(learner, game.training, dreams, workers)
    return learn


def _leader(name: str, phase: Phase, group: Group, store: EpisodeStore | None) -> LeaderPhase:
    if not isinstance(phase, ShardedState):
        return LeaderPhase(name, phase, group, store)
    from adamas.training.sharded import ShardedLeaderPhase

    return ShardedLeaderPhase(name, phase, group, store)


def _sharded_phase() -> type[ShardedPhase]:
    from adamas.training.sharded import ShardedPhase  # imported here because it needs a newer PyTorch

    return ShardedPhase
