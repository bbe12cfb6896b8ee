"""The paper's numbers, written down a second time."""

from __future__ import annotations

import runpy
from dataclasses import replace

import pytest
import torch
import yaml

from adamas.core.actions import ActionSpec
from adamas.core.config import ABSENT, diff, to_dict, with_value
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.envs.atari import rom_name
from adamas.envs.config import AtariConfig, GymnasiumConfig, MinAtarConfig
from adamas.nn.optim import OptimizerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.presets import PRESETS, paper, preset
from adamas.presets.atari import GAME_OVERRIDES
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.rl.reinforce import ReinforceConfig
from adamas.training.config import CollectionConfig, Config, EvaluationConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.world import Diamond
from tests.helpers.diamond import model_config
from tests.helpers.game_parts import game_of

ATARI100K = """
env: {suite: atari, game: Breakout, size: 64, frame_skip: 4, noop_max: 30, sticky_actions: 0.0,
      max_episode_steps: null, life_loss_ends: true}
data: null
world_model:
  denoiser:
    network: {context_length: 4, cond_channels: 256, depths: [2, 2, 2, 2], channels: [64, 64, 64, 64],
              attn_depths: [false, false, false, false], noise_cond: false, context: frames}
    diffusion: edm
    sigma_offset: 0.3
    sigma_data: 0.5
    sigma_change: null
    log_sigma_mean: -0.4
    log_sigma_std: 1.2
    sigma_min: 0.002
    sigma_max: 20.0
    num_autoregressive_steps: 1
    quantise: true
    final_frames: true  # published: false
    noise_previous_obs: false
  reward_end: {lstm_dim: 512, cond_channels: 128, depths: [2, 2, 2, 2], channels: [32, 32, 32, 32],
               attn_depths: [false, false, false, false], segment_length: null}
  sampler: {num_steps: 3, method: euler, sigma_min: 0.002, sigma_max: 5.0, rho: 7.0, s_churn: 0.0,
            scale_initial_noise: false, s_cond: 0.0}
  upsampler: null
actor_critic: {lstm_dim: 512, channels: [32, 32, 64, 64], down: [true, true, true, true]}
collection: {num_envs: 1, first_steps: 5000, first_steps_max: 10000, min_rare_rewards: 10, steps_per_epoch: 100,
             total_steps: 100000, epsilon: 0.01, temperature: 1.0, age_weights: [0.1, 0.1, 0.1, 0.7],
             episode_weighting: equal}
horizon: 15
training:
  denoiser:
    optimizer: {lr: 0.0001, weight_decay: 0.01, eps: 1.0e-8, warmup_updates: 100, max_grad_norm: 1.0}
    batch_size: 32
    first_epoch_updates: 10000
    updates_per_epoch: 400
    average_decay: 0.0
  reward_end:
    optimizer: {lr: 0.0001, weight_decay: 0.01, eps: 1.0e-8, warmup_updates: 100, max_grad_norm: 100.0}
    batch_size: 32
    first_epoch_updates: 10000
    updates_per_epoch: 400
    average_decay: 0.0
  upsampler: null
  actor_critic:
    optimizer: {lr: 0.0001, weight_decay: 0.0, eps: 1.0e-8, warmup_updates: 100, max_grad_norm: 100.0}
    learner: {gamma: 0.985, lambda_: 0.95, entropy_weight: 0.001, value_weight: 1.0}
    num_dreams: 32
    steps_per_update: 15
    first_epoch_updates: 5000
    updates_per_epoch: 400
imagination: "on"
num_shards: 1
final_epochs: 50
evaluation: {every_epochs: 10, episodes: 4, final_episodes: 100, num_envs: 4, temperature: 1.0}
"""
"""The numbers of the published configuration files, written down a second time."""
NOT_PUBLISHED = {
    "seed",
    "env.width",
    "env.frames",  # these three are of Gymnasium's suite
    "env.frames_key",
    "env.kwargs",
    "init",  # published: path_to_ckpt null
    "init_parts",
    "training.actor_critic.learner.rule",
    "world_model.kind",  # the published code has one kind of world model and of policy
    "training.kind",
    "actor_critic.kind",
    "training.denoiser.start_epoch",  # published: all parts learn from the first epoch on
    "training.reward_end.start_epoch",
    "training.actor_critic.start_epoch",
    "world_model.sampler.s_tmin",  # these three act with churn alone
    "world_model.sampler.s_tmax",
    "world_model.sampler.s_noise",
    "evaluation.heldout_steps",  # measures, but changes nothing that is trained
    "evaluation.heldout_windows",
    "runtime",
    "checkpoint_minutes",
    "tensorboard",
    "wandb_project",
}
"""What the published configuration does not say, or what makes no difference."""


def test_atari100k_is_the_published_configuration() -> None:
    ours, published = to_dict(preset("atari100k")), yaml.safe_load(ATARI100K)
    differences = diff(published, ours)
    assert {key: pair for key, pair in differences.items() if pair[0] != ABSENT} == {}
    assert set(differences) <= NOT_PUBLISHED


def moved(default: object) -> object:
    """Another number in place of a default."""
    if type(default) is int:
        return default + 1
    return 0.99 * default + 0.001 if type(default) is float else default


def test_no_default_moves_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every default of a number changed, presets and the parts that they start from are what they were."""
    expected = {name: to_dict(preset(name)) for name in PRESETS}
    parts = runpy.run_path(paper.__file__)
    classes = (
        EdmConfig,
        RewardEndConfig,
        FrameNetworkConfig,
        SamplerConfig,
        ActorCriticConfig,
        UpsamplerConfig,
        AtariConfig,
        MinAtarConfig,
        GymnasiumConfig,
    )
    training = (CollectionConfig, ComponentTraining, PolicyTraining, OptimizerConfig, ReinforceConfig)
    for cls in (*classes, *training, EvaluationConfig):
        init = cls.__init__
        by_name = {name: moved(value) for name, value in (init.__kwdefaults__ or {}).items()}
        monkeypatch.setattr(init, "__kwdefaults__", by_name)
    assert OptimizerConfig().warmup_updates == 101  # the defaults did change
    again = runpy.run_path(paper.__file__)
    assert {name: again[name] for name in parts if name.isupper()} == {
        name: part for name, part in parts.items() if name.isupper()
    }
    assert {name: to_dict(preset(name)) for name in PRESETS} == expected


def test_reward_end_sequences_are_as_long_as_a_dream_and_its_context() -> None:
    def num_frames(config: Config) -> int:
        with torch.device("meta"):
            model = Diamond(model_config(config), game_of(config).env.obs_shape, ActionSpec.numbered(3))
        return model.components(config.horizon)["reward_end"].segments.num_frames

    config = preset("atari100k")
    assert num_frames(config) == 15 + 4
    longer = replace(config, horizon=50)
    assert num_frames(longer) == 50 + 4
    base = model_config(config)
    assert base.reward_end is not None
    model = replace(base, reward_end=replace(base.reward_end, segment_length=30))
    assert num_frames(replace(longer, world_model=model)) == 30  # somebody said otherwise
    assert [num_frames(preset(name)) for name in ("atari-small", "debug", "quickstart")] == [19, 8, 34]


@pytest.mark.parametrize("game", ["Freeway", "freeway", "ALE/Freeway-v5"])
def test_freeway_is_collected_nearly_greedily(game: str) -> None:
    env = AtariConfig(game=game)

    def temperature(name: str) -> float:
        return game_of(preset(name, env)).collection.temperature

    if game.startswith("ALE"):
        assert temperature("atari100k") == 1.0  # no name of an Atari game here
        return
    assert temperature("atari100k") == 0.01
    assert temperature("atari-small") == 0.01
    assert temperature("quickstart") == 1.0
    assert diff(preset("atari100k"), preset("atari100k", env)) == {"collection.temperature": (1.0, 0.01)}


def test_other_games_are_collected_as_ever() -> None:
    assert preset("atari100k", AtariConfig(game="Pong")) == preset("atari100k")
    assert preset("atari100k", MinAtarConfig(game="freeway", size=10)) == preset("atari100k")


def test_every_override_is_of_a_game_and_a_setting_that_exist() -> None:
    for game, settings in GAME_OVERRIDES.items():
        assert rom_name(game) == game
        for key, value in settings.items():
            assert with_value(preset("atari100k"), key, value) != preset("atari100k")


def test_csgo_is_the_published_model() -> None:
    config = preset("csgo")
    with torch.device("meta"):
        model = Diamond(model_config(config), (3, 150, 280), ActionSpec(buttons=tuple(map(str, range(51)))))
    sizes = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children()}
    assert sizes == {"denoiser": 330_489_219, "upsampler": 51_149_187}  # published: 381 M together
    denoiser, upsampler = model_config(config).denoiser, model_config(config).upsampler
    assert isinstance(denoiser, EdmConfig) and upsampler is not None
    assert model_config(config).small_shape((3, 150, 280)) == (3, 30, 56)
    for stage in (denoiser, upsampler):
        noise = (
            stage.sigma_offset,
            stage.log_sigma_mean,
            stage.log_sigma_std,
            stage.sigma_min,
            stage.sigma_max,
        )
        assert noise == (0.1, -1.2, 1.2, 2e-3, 20.0)
    assert denoiser.noise_previous_obs and not upsampler.noise_previous_obs
    assert (denoiser.num_autoregressive_steps, upsampler.num_autoregressive_steps) == (4, 1)
    training, of_upsampler = (config.training.component(name) for name in ("denoiser", "upsampler"))
    assert training.batch_size == 16 * config.num_shards == 128
    assert of_upsampler.batch_size == 4 * config.num_shards == 32
    assert config.final_epochs == 600 and training.updates_per_epoch == 400
    # Published: the norm of a sum of eight gradients is clipped at 10. Ours is their mean.
    assert training.optimizer == OptimizerConfig(
        lr=1e-4, weight_decay=1e-2, eps=1.25e-9, warmup_updates=100, max_grad_norm=1.25
    )
    assert of_upsampler.optimizer == training.optimizer
    assert model_config(config).sampler == SamplerConfig(num_steps=3, s_cond=0.005)
    assert upsampler.sampler == SamplerConfig(
        num_steps=10, sigma_min=1.0, s_churn=10.0, s_tmin=1.0, s_tmax=5.0, s_noise=0.9
    )
