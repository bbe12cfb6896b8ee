"""Builds what a run consists of, and hands it to the trainer."""

from __future__ import annotations

import copy
from contextlib import ExitStack
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
from adamas.dreaming.imagination import Imagination
from adamas.interop.hub import is_address
from adamas.rl.rollout import OnHost
from adamas.training.collect import Collector
from adamas.training.config import Config
from adamas.training.distributed import Follower, Led, LedStreams, check_shared, order_to_start
from adamas.training.evaluate import EvaluationPhase
from adamas.training.folder import begin, check_free, claim, claim_free, never_began, relink
from adamas.training.initial import take_weights
from adamas.training.learning import ComponentPhase, Dreams, PolicyPhase, context_sampler
from adamas.training.model_free import ModelFreePhase
from adamas.training.phases import CollectPhase, Phase
from adamas.training.resuming import Changes, InParts, absolute, changed, restore_learning, saved_config
from adamas.training.source import make_envs, playing, recorded, samplers
from adamas.training.trainer import Trainer

if TYPE_CHECKING:
    from adamas.training.sharded import ShardedPhase

AS_BEFORE = Changes()


def new_run(config: Config, run_dir: Path, quiet: bool = False, group: Group = ALONE) -> Trainer:
    """A trainer at the start of a new run, for rank 0 of its group.

    Places in the configuration are written down such that they mean the same in every working directory.

    Raises:
        UserError: the folder is in use, or the environment cannot be made.
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
    """A trainer where the newest intact checkpoint of ``run_dir`` left off, for rank 0 of its group.

    Raises:
        UserError: there is nothing to resume, or not with these changes.
    """
    if not run_dir.is_dir():
        raise UserError(
            f"there is no run in {run_dir}; start one with: adamas train PRESET --run-dir {run_dir}"
        )
    lock = claim(run_dir)  # before it is decided where to go on, which another process might change
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
    """What another process of the group than rank 0 needs of the run that rank 0 builds; waits for it."""
    check_shared(run_dir, group)
    config, agent_config, checkpoint = order_to_start(group)
    device = runtime.setup(config.runtime)
    streams = Streams(config.seed)
    agent = _new_agent(agent_config, config, device, checkpoint)
    train = EpisodeStore.open(run_dir / "dataset" / "train")
    phases = _learning_phases(config, agent, train, streams, device, group, run_dir)
    if checkpoint is not None:
        restore_learning(checkpoint, agent, phases, streams)
    for phase in phases.values():
        if isinstance(phase, InParts) and isinstance(phase, _sharded_phase()):
            phase.keep_parts_alone()
    group.wait()
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
        raise UserError("imagination off is for one process; start it without torchrun")
    device = runtime.setup(config.runtime)
    if not quiet:  # what follows may take seconds
        print(f"{run_dir}: {_about(config, device, checkpoint)}", flush=True)
    streams = Streams(config.seed) if group.size == 1 else LedStreams(config.seed, group)
    envs = [] if config.data is not None else make_envs(config)
    config, agent_config = (config, playing(config, envs[0])) if envs else recorded(config)
    if not quiet and config.world_model.reward_end and not agent_config.world_model.reward_end:
        print("no rewards or ends in the recordings: none will be predicted", flush=True)
    agent = _new_agent(agent_config, config, device, checkpoint, quiet)
    lock = lock or claim_free(run_dir)
    with ExitStack() as failure:
        failure.callback(lock.release)
        check_shared(run_dir, group)
        _prepare(config, agent_config, run_dir, checkpoint)
        train, test = (EpisodeStore.open(run_dir / "dataset" / name) for name in ("train", "test"))

        collect: CollectPhase | None = None
        heldout: Collector | None = None
        if envs:
            policy = OnHost(agent.actor_critic, device)
            collector = Collector(policy, envs[0], train, streams.torch("collect"))
            heldout = Collector(policy, envs[1], test, streams.torch("heldout"))
            collect = CollectPhase(collector, config.collection)
            if config.imagination == "off":
                collect = ModelFreePhase(collector, config.collection, agent.actor_critic, config.policy)
        phases = _learning_phases(config, agent, train, streams, device, group, run_dir, quiet)
        if group.size > 1:
            phases = {n: _led(n, phase, group, train if envs else None) for n, phase in phases.items()}
        metrics = Metrics(run_dir / "metrics", config.tensorboard, config.wandb_project)
        failure.callback(metrics.close)
        trainer = Trainer(
            config,
            run_dir,
            agent,
            train,
            collect,
            phases,
            EvaluationPhase(agent, test, heldout, config, run_dir, device),
            streams,
            metrics,
            lock,
            quiet,
            group,
        )
        if checkpoint is not None:
            _go_on(trainer, checkpoint)
        group.share((config, agent_config, checkpoint))
        group.wait()
        failure.pop_all()
    return trainer


def _go_on(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Continue from a checkpoint; what changes about the run from now on is written down."""
    trainer.restore(checkpoint)
    if trainer.config != saved_config(checkpoint):
        save_config(trainer.run_dir / "config.yaml", trainer.config)


def _about(config: Config, device: torch.device, checkpoint: Checkpoint | None) -> str:
    """A run in one line."""
    since = f", going on from step {checkpoint.step}" if checkpoint else ""
    source = f"{config.env.suite} {config.env.game}" if config.data is None else config.data
    return f"training on {source}, seed {config.seed}, {device}{since}"


def _prepare(config: Config, agent_config: AgentConfig, run_dir: Path, checkpoint: Checkpoint | None) -> None:
    """Begin a run in its folder, or see that the checkpoint fits and the recordings are found."""
    obs_shape, action_spec = agent_config.obs_shape, agent_config.actions
    if checkpoint is None:
        begin(config, run_dir, obs_shape, action_spec)
        return
    saved = AgentConfig.from_saved(checkpoint.config().get("agent"))
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
    """An agent whose first weights depend on the run's seed alone, unless the run names others to start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "weights"))
        agent = Agent(agent_config)
    if config.init is not None and checkpoint is None:
        names = take_weights(agent, config)
        if not quiet:
            print(f"weights of {', '.join(names) or 'nothing'} from {config.init}", flush=True)
    runtime.place(agent, config.runtime, device)
    return agent


def _learning_phases(
    config: Config,
    agent: Agent,
    train: EpisodeStore,
    streams: Streams,
    device: torch.device,
    group: Group,
    run_dir: Path,
    quiet: bool = True,
) -> dict[str, Phase]:
    """The components of the world model in their order, then the actor-critic if there is a game for it."""
    if config.imagination == "off":
        return {}
    sharded = config.runtime.shard_parameters and group.size > 1
    workers = Workers(config.num_shards, group, threads=device.type == "cpu" and not sharded)
    if sharded and config.num_shards % group.size:
        raise UserError(
            f"runtime.shard_parameters: {group.size} processes work in step, so num_shards must be a multiple of "
            f"{group.size}, got {config.num_shards}"
        )
    shards = range(config.num_shards)[workers.here]
    law = config.collection.age_weights, config.collection.episode_weighting
    learn: dict[str, Phase] = {}
    components = agent.world_model.components(config.policy.horizon)
    sampler_of = samplers(config, components.values(), train, run_dir, quiet, make=group.rank == 0)
    in_parts = {name for name in components if sharded and name != "reward_end"}  # that is small
    # What is trained apart from the agent's own weights, which are its average or come in parts.
    apart = in_parts | {name for name in components if getattr(config, name).average_decay}
    trained = copy.deepcopy(agent.world_model).components(config.policy.horizon) if apart else {}
    for name, component in components.items():
        training = getattr(config, name)
        average = component.module
        sampler = sampler_of(component)
        component = trained[name] if name in apart else component
        generators = [streams.torch(f"{name} {i}", device) for i in shards]
        make = _sharded_phase() if name in in_parts else ComponentPhase
        learn[name] = make(component, average, training, sampler, streams.numpy(name), generators, workers)
    if config.data is not None:
        return learn
    # A sampler for every shard: it remembers what it has computed, and so is not for two threads at once.
    _, sizes = workers.split(config.policy.num_dreams)
    dreams = [
        _dreams(config, agent, SegmentSampler(train, *law), streams, i, size, device)
        for i, size in zip(shards, sizes, strict=True)
    ]
    learn["actor_critic"] = PolicyPhase(agent.actor_critic, config.policy, dreams, workers)
    return learn


def _led(name: str, phase: Phase, group: Group, store: EpisodeStore | None) -> Led:
    if not isinstance(phase, InParts):
        return Led(name, phase, group, store)
    from adamas.training.sharded import LedInParts

    return LedInParts(name, phase, group, store)


def _sharded_phase() -> type[ShardedPhase]:
    from adamas.training.sharded import ShardedPhase  # needs a newer PyTorch than the rest

    return ShardedPhase


def _dreams(
    config: Config,
    agent: Agent,
    sampler: SegmentSampler,
    streams: Streams,
    shard: int,
    num_dreams: int,
    device: torch.device,
) -> Dreams:
    """One shard of the dreams that the policy learns from."""
    rng = streams.numpy(f"contexts {shard}")
    imagination = Imagination(
        agent.world_model,
        context_sampler(sampler, agent.world_model.context_length, rng, device),
        num_dreams,
        config.policy.horizon,
        agent.config.obs_shape,
        agent.action_spec,
        streams.torch(f"actor_critic {shard}", device),
    )
    return Dreams(agent.actor_critic, imagination)
