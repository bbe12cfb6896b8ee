"""``adamas dream``: what is in its films, and where its dreams start."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from adamas.commands.dream import dream
from adamas.core.types import Batch, EnvStep
from adamas.data.store import EpisodeStore
from adamas.dreaming import film_dreams
from adamas.envs.vector import RealVectorEnv
from adamas.media.pictures import ENDED_GREY, GAP, LABEL_HEIGHT
from adamas.presets import preset
from tests.helpers.diamond import model_config

pytest.importorskip("minatar")

LENGTH = model_config(preset("debug")).denoiser.network.context_length


def film(*options: str, target: str = "RUN", out: str = "film.gif") -> Tensor:
    """What a film shows, (T, 3, H, W), every pixel of the agent's once."""
    dream([target, "--out", out, "--scale", "1", "--device", "cpu", *options])
    frames: list[Tensor] = []
    with Image.open(out) as image:
        for frame in ImageSequence.Iterator(image):
            pixels = torch.from_numpy(np.array(frame.convert("RGB"))).permute(2, 0, 1)
            # Equal frames in a row are stored once, with a longer time.
            frames += [pixels] * round(frame.info["duration"] / 70)
    Path(out).unlink()
    return torch.stack(frames)


def worlds(whole: Tensor, places: list[tuple[int, int]], top: int = 0) -> list[Tensor]:
    """The (T, 3, 10, 10) films at some places, (row, column), of a grid."""
    height, width = 10 + top + GAP, 10 + GAP
    return [
        whole[:, :, y * height + top : y * height + top + 10, x * width : x * width + 10] for y, x in places
    ]


def recorded(folder: str) -> Tensor:
    """(N, 3, 10, 10): every frame of a dataset."""
    return torch.from_numpy(np.concatenate([episode.obs for episode in EpisodeStore.open(folder)]))


def among(frame: Tensor, frames: Tensor) -> bool:
    return bool((frames == frame).flatten(1).all(dim=1).any())


def grey(frames: Tensor) -> Tensor:
    """(T,) bool: where nothing goes on."""
    return (frames == ENDED_GREY).flatten(1).all(dim=1)


def spied(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    """The arguments of every call of a function that draws the films."""
    real, calls = getattr(film_dreams, name), []

    def spy(*arguments: Any, **options: Any) -> Any:
        calls.append((arguments, options))
        return real(*arguments, **options)

    monkeypatch.setattr(film_dreams, name, spy)
    return calls


def dreamt_windows(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Batch]:
    """What the last dreams went on from, and under which actions."""
    calls = spied(monkeypatch, "continue_dreams")
    return lambda: calls[-1][0][1]


def test_mp4(dreamer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    av = pytest.importorskip("av")
    dream(["RUN", "--out", "new/film.mp4", "--steps", "5", "--fps", "30"])
    assert capsys.readouterr().out == "filming dreams from RUN/dataset/test\n  new/film.mp4\n"
    with av.open("new/film.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 30
    assert len(frames) == 6 and frames[0].shape == (160, 160, 3)
    first = torch.from_numpy(frames[0][8::16, 8::16].astype(int)).permute(2, 0, 1)
    difference = (recorded("RUN/dataset/test").int() - first).abs().flatten(1).amax(dim=1)
    assert difference.min() <= 4  # it starts from a real frame


def test_the_same_seed_makes_the_same_film(dreamer: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        dream(["RUN", "--out", f"{name}.gif", "--steps", "8", "--worlds", "2", "--seed", seed])
    a, b, c = (Path(f"{name}.gif").read_bytes() for name in "abc")
    assert a == b != c
    dream(["RUN", "--out", "a.gif", "--steps", "8"])
    assert Path("a.gif").read_bytes() == a and Path("a-2.gif").exists()


def test_the_seed_chooses_starts_and_chance(dreamer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("actions.txt").write_text("left")
    calls = spied(monkeypatch, "continue_dreams")
    for seed in ("1", "2"):
        film("--policy", "actions.txt", "--worlds", "4", "--seed", seed)
    (_, first, one), (_, second, other) = (arguments for arguments, _ in calls)
    assert not torch.equal(first.obs, second.obs)
    assert one.initial_seed() != other.initial_seed()


def test_dreams_of_the_agent_start_again_after_one_grey_frame(dreamer: Path) -> None:
    one = film("--steps", "60")
    assert one.shape == (61, 3, 10, 10)
    over = grey(one)
    assert 3 < over.sum() < 60 and not over[0]
    again = over[:-1] & ~over[1:]
    assert again.any(), "no dream started again"
    real = recorded("RUN/dataset/test")
    assert all(among(one[1:][t], real) for t in again.nonzero()[:, 0]), "its real start is shown"


@pytest.mark.parametrize(
    ("policy", "epsilon"), [([], 0.0), (["--policy", "agent"], 0.0), (["--policy", "random"], 1.0)]
)
def test_who_acts_in_dreams(
    policy: list[str], epsilon: float, dreamer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spied(monkeypatch, "rollout")
    film("--steps", "2", "--temperature", "0.5", *policy)
    assert [arguments[-2:] for arguments, _ in calls] == [(0.5, epsilon)] * 2


def test_many_dreams_from_one_start_or_several(dreamer: Path) -> None:
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    real = recorded("RUN/dataset/test")
    apart = worlds(film("--worlds", "4", "--steps", "4"), places)
    together = worlds(film("--worlds", "4", "--steps", "4", "--same-start"), places)
    assert all(among(dreamt[0], real) and not among(dreamt[1], real) for dreamt in apart + together)
    assert len({bytes(dreamt[0].numpy().tobytes()) for dreamt in apart}) > 1
    assert all(torch.equal(dreamt[0], together[0][0]) for dreamt in together)
    assert not torch.equal(together[0][1], together[1][1])


def test_beside_held_out_episodes(dreamer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = dreamt_windows(monkeypatch)
    whole = film("--beside-real", "--steps", "12", "--worlds", "2")
    assert windows().obs.shape[:2] == (2, LENGTH + 12)
    panels = worlds(whole, [(y, x) for y in range(1) for x in range(4)], LABEL_HEIGHT)
    for i in range(2):
        known = windows().mask[i, LENGTH - 1 :]
        real, dreamt = panels[2 * i], panels[2 * i + 1]
        true = windows().obs[i, LENGTH - 1 :][known]
        assert torch.equal(real[: len(true)], true) and len(true) > 1
        assert (real[len(true) :] == true[-1]).all(), "the last frame stays"
        assert torch.equal(dreamt[0], true[0]) and not torch.equal(dreamt[1], true[1])
        over = grey(dreamt[: len(true)])
        assert torch.equal(over, over.cummax(dim=0).values), "what is over stays over"
    test = recorded("RUN/dataset/test")
    assert all(among(frame, test) for frame in panels[0])


@pytest.mark.parametrize("policy", ["agent", "random", "actions.txt"])
def test_beside_the_game(policy: str, dreamer: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    Path("actions.txt").write_text("left\nright\n" * 10)
    windows = dreamt_windows(monkeypatch)
    options = ["--beside-real", "--policy", policy, "--temperature", "0", "--worlds", "3", "--same-start"]
    whole = film(*options, "--steps", "9")
    assert "from the game, breakout" in capsys.readouterr().out
    actions, known = windows().action[:, LENGTH - 1 :], windows().transition_mask[:, LENGTH - 1 :]
    assert actions.shape == (3, 9) and torch.equal(actions[0], actions[2])
    taken = actions[0, known[0]].tolist()
    assert len(taken) > 2
    expected = {
        "agent": [0] * len(taken),
        "actions.txt": [1, 2] * 10,
    }  # the agent has no preference: 0 is first
    if policy == "random":
        assert len(set(taken)) > 1
    else:
        assert taken == expected[policy][: len(taken)]
    real, first, second = worlds(whole, [(0, 0), (0, 1), (0, 3)], LABEL_HEIGHT)
    assert torch.equal(real, windows().obs[0, LENGTH - 1 :][: len(real)])
    assert torch.equal(first[0], real[0]) and not torch.equal(first[1:], second[1:])


def test_the_game_may_end(dreamer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows, steps, step = dreamt_windows(monkeypatch), [], RealVectorEnv.step

    def recording(env: RealVectorEnv, action: Tensor) -> EnvStep:
        steps.append(step(env, action))
        return steps[-1]

    monkeypatch.setattr(RealVectorEnv, "step", recording)
    whole = film("--beside-real", "--policy", "random", "--env.max-episode-steps", "8", "--steps", "9")
    lasted = len(whole) - 1
    assert 1 <= lasted < 9
    assert windows().mask[0, LENGTH:].tolist() == [True] * lasted + [False] * (9 - lasted)
    assert steps[-1].ended.all() and not torch.equal(steps[-1].final_obs, steps[-1].obs)
    assert torch.equal(worlds(whole, [(0, 0)], LABEL_HEIGHT)[0][-1], steps[-1].final_obs[0])


def test_a_file_of_actions(dreamer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("actions.txt").write_text("\n".join(["LEFT", "", " 2 "] + ["noop"] * 40))
    windows = dreamt_windows(monkeypatch)
    whole = film("--policy", "actions.txt", "--worlds", "2")
    assert windows().action[:, LENGTH - 1 :].tolist() == [[1, 2, *[0] * 40]] * 2
    over = torch.stack([grey(dreamt) for dreamt in worlds(whole, [(0, 0), (0, 1)])])  # (2, T)
    assert torch.equal(over, over.cummax(dim=1).values), "what is over stays over"
    assert len(whole) < 43 and not over[:, -1].all(), "the film ends with the last dream"
    film("--policy", "actions.txt", "--steps", "2")
    assert windows().action[:, LENGTH - 1 :].tolist() == [[1, 2]]


def test_where_dreams_start(dreamer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def where(*options: str, target: str = "RUN") -> str:
        film("--steps", "2", *options, target=target)
        return capsys.readouterr().out.splitlines()[0].removeprefix("filming dreams from ")

    assert where("--dataset", "RUN/dataset/train") == "RUN/dataset/train"
    checkpoint = next(dreamer.glob("checkpoints/step-*"))
    assert where(target=str(checkpoint)) == "the game, breakout"
    assert where("--beside-real", target=str(checkpoint)) == "the game, breakout"
    shutil.rmtree("RUN/dataset/test")
    assert where() == "RUN/dataset/train"
    assert where("--beside-real") == "the game, breakout"  # nothing is held out
    shutil.rmtree("RUN/dataset/train")
    EpisodeStore.create("RUN/dataset/test", (3, 10, 10))
    assert where() == "the game, breakout"


def test_how_frames_are_drawn(dreamer: Path) -> None:
    assert model_config(preset("debug")).sampler.num_steps == 2
    own = film("--steps", "1")
    assert torch.equal(own, film("--steps", "1", "--denoising-steps", "2", "--method", "euler"))
    for other in (["--denoising-steps", "1"], ["--method", "heun"]):
        changed = film("--steps", "1", *other)
        assert torch.equal(changed[0], own[0]) and not torch.equal(changed[1], own[1])
