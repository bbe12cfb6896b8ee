"""The tokenizer of patches: a token depends on its own pixels alone, and stands for them alone."""

from __future__ import annotations

import pytest
import torch

from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.world_models.iris.patches import PatchAutoencoderConfig
from adamas.world_models.iris.tokenizer import Tokenizer, TokenizerConfig
from tests.helpers.tensors import seeded

CONFIG = TokenizerConfig(
    vocab_size=16,
    embed_dim=4,
    code_range=1.0,
    autoencoder=PatchAutoencoderConfig(patch_size=2, hidden_channels=8, latent_channels=4),
)


def patches() -> tuple[Tokenizer, torch.Tensor]:
    torch.manual_seed(0)
    obs = torch.randint(256, (3, 3, 6, 4), generator=seeded()).to(torch.uint8)
    return Tokenizer(CONFIG, (3, 6, 4)), obs


def test_a_token_sees_its_own_pixels_alone() -> None:
    tokenizer, obs = patches()
    assert tokenizer.grid == (3, 2)
    z = tokenizer.quantise(obs.float() / 127.5 - 1).z
    obs[:, :, 2:4, 2:] = 255 - obs[:, :, 2:4, 2:]  # the patch in row 1 and column 1
    changed = (tokenizer.quantise(obs.float() / 127.5 - 1).z != z).any(dim=1)
    assert changed.nonzero().tolist() == [[frame, 1, 1] for frame in range(3)]


def test_a_token_stands_for_its_own_pixels_alone() -> None:
    tokenizer, obs = patches()
    tokens = tokenizer.encode(obs)
    frames = tokenizer.decode(tokens)
    assert frames.shape == (3, 3, 6, 4)
    tokens[:, 3] = (tokens[:, 3] + 1) % CONFIG.vocab_size  # row 1, column 1
    changed = (tokenizer.decode(tokens) != frames).any(dim=1)
    assert changed[:, 2:4, 2:].all() and changed.sum() == 3 * 4


def test_the_kind_of_autoencoder_is_kept_in_files() -> None:
    assert from_dict(TokenizerConfig, to_dict(CONFIG)) == CONFIG
    assert from_dict(TokenizerConfig, {}) == TokenizerConfig()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CONFIG.grid((3, 7, 4)), r"frames of 7x4 pixels cannot be divided into tokens of 2x2"),
        (lambda: PatchAutoencoderConfig(patch_size=0), r"`autoencoder.patch_size`"),
        (lambda: TokenizerConfig(code_range=0.0), r"`tokenizer.code_range`"),
    ],
)
def test_what_does_not_fit_is_refused(make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()  # type: ignore[operator]
