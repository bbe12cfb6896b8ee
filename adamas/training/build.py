"""Builds what a run consists of, and hands it to the trainer."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from adamas.agent import Agent, AgentConfig, check_fits
from adamas.core import runtime
from adamas.core.checkpoint import Checkpoint, find_checkpoint
from adamas.core.config import from_dict, save_config
from adamas.core.errors import UserError
from adamas.core.logging import Metrics
from adamas.core.seeding import Streams, derive_seed
from adamas.data.sampling import SegmentSampler
from adamas.data.store import EpisodeStore
from adamas.envs.make import make_env
from adamas.rl.rollout import OnHost
from adamas.training.collect import Collector
from adamas.training.config import Config
from adamas.training.evaluate import EvaluationPhase
from adamas.training.phases import CollectPhase, ComponentPhase, Phase, PolicyPhase, context_sampler
from adamas.training.trainer import Trainer


def new_run(config: Config, run_dir: Path, quiet: bool = False) -> Trainer:
    """A trainer at the start of a new run.

    Raises:
        UserError: the folder is in use, or the environment cannot be made.
    """
    if run_dir.exists() and any(run_dir.iterdir()):
        raise UserError(
            f"{run_dir} exists and is not empty; go on with it (adamas train --resume {run_dir}) or choose "
            "another --run-dir"
        )
    return _build(config, run_dir, None, quiet)


def resume_run(run_dir: Path, quiet: bool = False) -> Trainer:
    """A trainer where the newest intact checkpoint of ``run_dir`` left off.

    Raises:
        UserError: there is nothing to resume.
    """
    if not run_dir.is_dir():
        raise UserError(f"there is no run in {run_dir}; start one with: adamas train PRESET --run-dir {run_dir}")
    checkpoint = find_checkpoint(run_dir / "checkpoints")
    config = from_dict(Config, checkpoint.config()["run"])
    return _build(config, run_dir, checkpoint, quiet)


def _build(config: Config, run_dir: Path, checkpoint: Checkpoint | None, quiet: bool) -> Trainer:
    device = runtime.setup(config.runtime)
    streams = Streams(config.seed)
    env = make_env(config.env, config.collection.num_envs, derive_seed(config.seed, "env"), training=True)
    if checkpoint is None:
        run_dir.mkdir(parents=True, exist_ok=True)
        save_config(run_dir / "config.yaml", config)
        train, test = (EpisodeStore.create(run_dir / "dataset" / n, env.obs_shape) for n in ("train", "test"))
    else:
        train, test = (EpisodeStore.open(run_dir / "dataset" / n) for n in ("train", "test"))

    agent_config = AgentConfig(env.obs_shape, env.action_spec.names, config.world_model, config.actor_critic)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "weights"))
        agent = Agent(agent_config)
    runtime.place(agent, device)
    if checkpoint is not None:
        check_fits(from_dict(AgentConfig, checkpoint.config()["agent"]), env.obs_shape, env.action_spec, str(run_dir))

    policy = OnHost(agent.actor_critic, device)
    collector = Collector(policy, env, train, streams.torch("collect"))
    heldout_env = make_env(
        config.env, config.collection.num_envs, derive_seed(config.seed, "heldout"), training=True
    )
    heldout = Collector(policy, heldout_env, test, streams.torch("heldout"))
    sampler = SegmentSampler(train, config.collection.age_weights)

    learn: dict[str, Phase] = {}
    trained = copy.deepcopy(agent.world_model)
    for name, component in agent.world_model.components().items():
        training = getattr(config, name)
        average = component.module
        if training.average_decay:
            component = trained.components()[name]
        learn[name] = ComponentPhase(
            component, average, training, sampler, streams.numpy(name), streams.torch(name, device)
        )
    contexts = context_sampler(
        sampler, agent.world_model.context_length, streams.numpy("contexts"), device
    )
    learn["actor_critic"] = PolicyPhase(agent, config.policy, contexts, streams.torch("actor_critic", device))

    metrics = Metrics(run_dir / "metrics", config.tensorboard, config.wandb_project)
    trainer = Trainer(
        config,
        run_dir,
        agent,
        CollectPhase(collector, config.collection),
        learn,
        EvaluationPhase(agent, heldout, config, device),
        streams,
        metrics,
        quiet,
    )
    if checkpoint is not None:
        trainer.restore(checkpoint)
    return trainer
