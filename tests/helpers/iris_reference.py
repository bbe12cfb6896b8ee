"""The small recorded agent of IRIS: built here with its weights, and a count of what was compared with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.nn.lpips import Lpips
from adamas.rl.plain_actor_critic import PlainActorCritic, PlainActorCriticConfig
from adamas.world_models.iris.autoencoder import AutoencoderConfig
from adamas.world_models.iris.dynamics import DynamicsConfig
from adamas.world_models.iris.tokenizer import TokenizerConfig
from adamas.world_models.iris.transformer import TransformerConfig
from adamas.world_models.iris.world import Iris, IrisConfig

SPEC = ActionSpec.numbered(5)
SHAPE = (3, 32, 32)
AUTOENCODER = AutoencoderConfig(
    channels=(8, 8, 8, 8), attention_sizes=(8, 16), latent_channels=12, num_groups=4
)
CONFIG = IrisConfig(
    tokenizer=TokenizerConfig(vocab_size=24, embed_dim=10, autoencoder=AUTOENCODER),
    dynamics=DynamicsConfig(
        transformer=TransformerConfig(num_layers=2, num_heads=2, embed_dim=16), max_blocks=4
    ),
    burn_in=3,
    perceptual="none",
)
POLICY = PlainActorCriticConfig(lstm_dim=8, channels=(4, 4, 6, 6))
NOT_WEIGHTS = ("mask", "indices")
TOLERANCE = 2e-5  # a second implementation differed by 1.1e-5
Sampler = Callable[[Tensor, Generator], Tensor]


class Recorded:
    """The recorded tensors. Compared ones are counted, and the worst error is kept."""

    def __init__(self, weights: Mapping[str, Tensor], io: Mapping[str, Tensor]) -> None:
        self.weights = weights
        self.io = io
        self.compared: dict[str, float] = {}
        """Worst error by name: the difference divided by one more than the expected size."""

    def __getitem__(self, name: str) -> Tensor:
        return self.io[name]

    def same(self, name: str, found: Tensor, expected: Tensor | None = None) -> None:
        """Check that ``found`` is the recorded tensor, or ``expected``, a part of it or what follows from it."""
        expected = self.io[name] if expected is None else expected
        assert found.shape == expected.shape, name
        error = (found.double() - expected.double()).abs() / (1 + expected.double().abs())
        worst = float(error.max())
        assert worst <= TOLERANCE, f"{name}: {worst}"
        self.compared[name] = max(worst, self.compared.get(name, 0.0))

    def report(self) -> str:
        """What was compared so far, in a line."""
        worst = max(self.compared, key=lambda name: self.compared[name])
        count = f"{len(self.compared)} of {len(self.io)} recorded tensors"
        return f"IRIS: {count}; worst error {self.compared[worst]:.1e}, of {worst}"

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The recorded weights of a part, without its masks and without those of the perceptual distance."""
        own = {k.removeprefix(f"{prefix}."): w for k, w in self.weights.items() if k.startswith(f"{prefix}.")}
        return {
            k: w for k, w in own.items() if not k.startswith("lpips.") and k.split(".")[-1] not in NOT_WEIGHTS
        }

    def iris(self) -> Iris:
        """The world model."""
        model = Iris(CONFIG, SHAPE, SPEC)
        model.tokenizer.load_state_dict(self.part("tokenizer"))
        model.dynamics.load_state_dict(self.part("world_model"))
        return model

    def policy(self) -> PlainActorCritic:
        """The actor-critic."""
        network = PlainActorCritic(POLICY, SHAPE, SPEC)
        network.load_state_dict(self.part("actor_critic"))
        return network

    def lpips(self) -> Lpips:
        """The network of the perceptual distance."""
        prefix = "tokenizer.lpips."
        own = {k.removeprefix(prefix): w.clone() for k, w in self.weights.items() if k.startswith(prefix)}
        convolutions = sorted(
            (
                name.removesuffix(".weight")
                for name in own
                if name.startswith("net.") and name.endswith("weight")
            ),
            key=lambda name: int(name.split(".")[-1]),
        )
        trunk = {
            f"Conv_{i}": {
                "kernel": own[f"{name}.weight"].permute(2, 3, 1, 0).numpy(),
                "bias": own[f"{name}.bias"].numpy(),
            }
            for i, name in enumerate(convolutions)
        }
        heads = {
            f"NetLinLayer_{i}": {
                "Conv_0": {"kernel": own[f"lin{i}.model.1.weight"].permute(2, 3, 1, 0).numpy()}
            }
            for i in range(5)
        }
        return Lpips("vgg", {"VGG16_0": trunk, **heads})

    def draws(self, kind: str) -> Sampler:
        """A sampler that draws with the recorded noise, and checks probabilities and draws on the way.

        Sizes tell what is drawn: 3 signs of rewards, 2 ends, 24 tokens, 5 actions.
        """
        names = {3: "reward", 2: "end", 24: "obs", 5: "action"}
        steps = dict.fromkeys(names.values(), 0)

        def draw(logits: Tensor, generator: Generator) -> Tensor:
            name = names[logits.shape[-1]]
            step = steps[name]
            noise = self[f"{kind}.gumbel.{name}"]
            if step == noise.shape[1]:  # what the published code no longer drew
                return logits.argmax(-1)
            steps[name] += 1
            log_prob = logits.log_softmax(-1)
            if f"{kind}.log_prob.{name}" in self.io:
                self.same(f"{kind}.log_prob.{name}", log_prob, self[f"{kind}.log_prob.{name}"][:, step])
            drawn = (log_prob + noise[:, step]).argmax(-1)
            self.same(f"{kind}.drawn.{name}", drawn, self[f"{kind}.drawn.{name}"][:, step])
            return drawn

        return draw

    def episodes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Actions, rewards, ends, and which steps are real."""
        return tuple(self[f"batch.{name}"] for name in ("actions", "rewards", "ends", "mask_padding"))  # type: ignore[return-value]
