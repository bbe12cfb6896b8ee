"""Frechet distances: in closed form, by another implementation, and what the features are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from adamas.core.errors import UserError
from adamas.fidelity import frechet
from adamas.fidelity.frechet import ImageFeatures, frechet_distance, scripted_features
from adamas.nn.lpips import network_input


def cross(*sizes: float) -> Tensor:
    """Points at +-s on every axis: mean 0, covariance diagonal with 2 s^2 / (2 D - 1)."""
    return torch.cat((torch.diag(torch.tensor(sizes)), -torch.diag(torch.tensor(sizes))))


def test_diagonal_covariances_in_closed_form() -> None:
    """The sum of the squared differences of means and of standard deviations, axis by axis."""
    a, b = cross(1.0, 4.0), cross(3.0, 2.0) + torch.tensor([1.0, -2.0])
    expected = 1 + 4 + ((3 - 1) ** 2 + (2 - 4) ** 2) * 2 / 3
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_equal_sets_and_moved_sets() -> None:
    a = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    equal = [frechet_distance(a[: n + 2], a[: n + 2]) for n in range(18)]
    assert min(equal) >= 0 and max(equal) < 1e-12  # rounding alone takes some of them below 0
    assert frechet_distance(a, a + torch.tensor([3.0, 4.0, 0, 0, 0, 0])) == pytest.approx(25, rel=1e-6)


def test_covariances_that_do_not_commute() -> None:
    """The number is that of NumPy's mean and cov and SciPy 1.17's linalg.sqrtm."""
    a = torch.tensor([[0.0, 0, 0], [1, 2, 0], [3, 1, 1], [0, 4, 2], [2, 2, 5]])
    b = torch.tensor([[1.0, 0, 0], [0, 1, 3], [4, 0, 1], [2, 6, 1]])
    assert frechet_distance(a, b) == pytest.approx(4.301752022075457)


def test_fewer_samples_than_features() -> None:
    """Two points each, on different axes of fifty: no overlap, so the sum of both variances; or the same axis."""
    a, b = torch.zeros(2, 50), torch.zeros(2, 50)
    a[:, 0] = torch.tensor([-1.0, 1.0])  # variance 2
    b[:, 1] = torch.tensor([-3.0, 3.0])  # variance 18
    assert frechet_distance(a, b) == pytest.approx(2 + 18)
    assert frechet_distance(a, b.roll(-1, dims=1)) == pytest.approx((18**0.5 - 2**0.5) ** 2)


values = st.floats(-100, 100, width=32)


@settings(deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(2, 6), st.integers(2, 6))
def test_never_negative_and_symmetric(data: st.DataObject, d: int, n: int, m: int) -> None:
    a, b = (
        torch.tensor(data.draw(st.lists(values, min_size=size * d, max_size=size * d))).view(size, d)
        for size in (n, m)
    )
    distance = frechet_distance(a, b)
    scale = float(a.square().sum() + b.square().sum())  # above it rounding counts for nothing
    assert distance >= 0
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-6, abs=1e-12 * scale)


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (5, 4)), ((5,), (5,))])
def test_features_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="features must be"):
        frechet_distance(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def random_frames(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_image_features_are_the_mean_over_the_last_convolution(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, frames = ImageFeatures(weights), random_frames(5, 1, 10, 10)
    monkeypatch.setattr(frechet, "BATCH", 2)
    expected = features.trunk(network_input(frames))[-1].mean(dim=(2, 3))
    assert features(frames).shape == (5, 4)  # as many as the last convolution has channels: 256 in AlexNet
    assert torch.allclose(features(frames), expected) and bool((expected != 0).any())


def test_clip_features_by_hand(weights: Path) -> None:
    """A black, a white and again a white frame: differences of half the range, and of none (mid-grey)."""
    features = ImageFeatures(weights)
    clip = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    clip[1:] = 255
    pictures = torch.tensor([-1.0, 1.0, 1.0, 1.0, 0.0])[:, None, None, None].expand(5, 3, 64, 64)
    black, white, _, change, rest = features.trunk(pictures)[-1].mean(dim=(2, 3))
    assert not torch.allclose(change, rest)
    expected = torch.stack(
        (
            (black + 2 * white) / 3,
            (white - black).abs() * 2**0.5 / 3,  # of one value apart and two equal ones
            (change + rest) / 2,
            (change - rest).abs() / 2,
        )
    )
    assert torch.allclose(features.clips(clip[None]), expected.view(1, 16), atol=1e-5)


def test_clip_features_tell_a_clip_from_its_reverse(weights: Path) -> None:
    """How it looks stays the same, how it changes does not."""
    clips = random_frames(2, 6, 1, 12, 12)
    forth, back = (ImageFeatures(weights).clips(c).view(2, 4, 4) for c in (clips, clips.flip(1)))
    assert torch.allclose(forth[:, :2], back[:, :2], atol=1e-5)
    assert not torch.allclose(forth[:, 2], back[:, 2], atol=1e-3)


def test_a_single_frame_is_no_clip(weights: Path) -> None:
    with pytest.raises(ValueError, match="two frames"):
        ImageFeatures(weights).clips(random_frames(2, 1, 3, 64, 64))


class Inception(nn.Module):
    """The calling convention of the shared file; features are the means of the three channels."""

    def forward(
        self, img: Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        assert img.dtype == torch.uint8 and img.ndim == 4 and img.shape[1] == 3
        assert return_features and not use_fp16 and not no_output_bias
        return img.float().mean(dim=[2, 3])


class I3d(nn.Module):
    """The calling convention of the shared file; features are the first channel's means, frame by frame."""

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        assert x.dtype == torch.uint8 and x.ndim == 5 and x.shape[1] == 3 and x.is_contiguous()
        assert rescale and resize and return_features
        return x[:, 0].float().mean(dim=[2, 3])


def save(module: nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path


def test_scripted_inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(frechet.SCRIPTED_BATCH, "inception", 2)
    features = scripted_features(save(Inception(), tmp_path / "inception.pt"), "inception")
    frames = random_frames(5, 3, 8, 8)
    assert torch.allclose(features(frames), frames.float().mean(dim=(2, 3)))
    grey = features(frames[:, :1])  # repeated to three channels
    assert torch.allclose(grey, frames[:, :1].float().mean(dim=(2, 3)).expand(5, 3))


def test_scripted_i3d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(frechet.SCRIPTED_BATCH, "i3d", 2)
    features = scripted_features(save(I3d(), tmp_path / "i3d.pt"), "i3d")
    for channels in (1, 3):
        clips = random_frames(3, 9, channels, 8, 8)
        assert torch.allclose(features(clips), clips[:, :, 0].float().mean(dim=(2, 3)))
    with pytest.raises(UserError, match="9 frames"):
        features(random_frames(3, 8, 3, 8, 8))


def test_files_that_are_not_the_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        scripted_features(tmp_path / "none.pt", "inception")
    (tmp_path / "weights.pt").write_bytes(b"no archive")
    with pytest.raises(UserError, match="not a TorchScript file"):
        scripted_features(tmp_path / "weights.pt", "inception")
    path = save(I3d(), tmp_path / "i3d.pt")
    with pytest.raises(UserError, match="is not the inception network: it takes no argument no_output_bias"):
        scripted_features(path, "inception")
    path = save(Inception(), tmp_path / "inception.pt")
    with pytest.raises(UserError, match="is not the i3d network: it takes no argument rescale, resize"):
        scripted_features(path, "i3d")
