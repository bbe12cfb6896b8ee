"""docs/metrics.md names every metric that runs log, and no other."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adamas.core.actions import ActionSpec
from adamas.core.config import with_value
from adamas.data import NEW, EpisodeStore
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.presets import preset
from adamas.rl.ppo import PpoConfig
from adamas.training import source
from adamas.training.build import new_run
from adamas.training.config import Config
from adamas.world_models.iris import world
from tests.conftest import load_reference
from tests.helpers.diamond import model_config, training
from tests.helpers.iris_reference import Recorded
from tests.helpers.tiny_config import tiny_config, tiny_iris

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
COUNTERS = {"step", "epoch", "phase"}

Names = dict[str, set[str]]  # metrics by phase


def on_the_page() -> Names:
    """The first cells of the tables, by the heading above each."""
    names: Names = defaultdict(set)
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif match := re.match(r"\| `([^`]+)` \|", line):
            assert match[1] not in names[heading], f"{heading}/{match[1]} stands there twice"
            names[heading].add(match[1])
    return names


def logged(config: Config, run_dir: Path, file: str = "metrics") -> Names:
    """Names in one of the files of a new run; the last step of dreams is called T."""
    with closing(new_run(config, run_dir, quiet=True)) as trainer:
        trainer.run()
    names: Names = defaultdict(set)
    for line in (run_dir / "metrics" / f"{file}.jsonl").read_text().splitlines():
        record = json.loads(line)
        names[record["phase"]] |= record.keys() - COUNTERS
    last = f"_{config.horizon}"
    return {phase: {re.sub(f"{last}$", "_T", name) for name in found} for phase, found in names.items()}


def record(folder: Path, num_episodes: int) -> None:
    """Episodes of 16 frames of 16x16 pixels with rewards of all signs and an end."""
    rng = np.random.default_rng(0)
    store = EpisodeStore.create(folder, (3, 16, 16), ActionSpec.discrete(("noop", "left", "right")))
    for _ in range(num_episodes):
        number = np.array([NEW])
        for t in range(15):
            frame = rng.integers(256, size=(1, 3, 16, 16), dtype=np.uint8)
            reward, end = np.array([t % 3 - 1.0]), np.array([t == 14])
            number = store.append(number, frame, rng.integers(3, size=1), reward, end, np.array([False]))
        store.append_final(number, frame)
    store.commit()


def on_recordings(folder: Path) -> Config:
    """Two stages on recordings of 16x16 pixels, dreamt at 8x8."""
    record(folder / "train", 4)
    record(folder / "test", 2)
    config = source.on_recordings(preset("debug"), str(folder))
    upsampler = UpsamplerConfig(
        network=replace(model_config(config).denoiser.network, context_length=1), factor=2
    )
    world_model = replace(model_config(config), upsampler=upsampler)
    return replace(
        config,
        world_model=world_model,
        training=replace(training(config), upsampler=training(config).denoiser),
        final_epochs=1,
        tensorboard=False,
    )


def with_tokens() -> Config:
    """A small run of IRIS with every term of its losses."""
    return with_value(tiny_iris(), "world_model.perceptual", "lpips")


@pytest.fixture
def perceptual(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small network in place of LPIPS's, whose weights may not be installed."""
    reference = load_reference("iris")
    monkeypatch.setattr(world, "Lpips", lambda network: Recorded(reference.weights, reference.io).lpips())
    world._lpips.cache_clear()
    yield
    world._lpips.cache_clear()


@pytest.mark.usefixtures("perceptual")
def test_the_page_names_every_metric_and_no_other(tmp_path: Path) -> None:
    pytest.importorskip("minatar")
    runs = [
        logged(tiny_config(), tmp_path / "game"),
        logged(on_recordings(tmp_path / "data"), tmp_path / "recordings"),
    ]
    ppo = with_value(tiny_config(), "training.actor_critic.learner", PpoConfig(num_minibatches=2))
    runs += [logged(ppo, tmp_path / "ppo"), logged(with_tokens(), tmp_path / "iris")]
    found: Names = defaultdict(set)
    for run in runs:
        for phase, names in run.items():
            found[phase] |= names
    page = on_the_page()
    assert page.pop("Timing") == {"seconds"}
    assert found == page


def test_the_control_logs_the_policy_s_loss_while_collecting(tmp_path: Path) -> None:
    pytest.importorskip("minatar")
    found, page = logged(replace(tiny_config(), imagination="off"), tmp_path / "run"), on_the_page()
    of_ppo = {"clipped", "kl"}
    assert found["collect"] - page["collect"] == page["actor_critic"] - page["collect"] - of_ppo
    assert found["evaluate"] == {"return", "length"}


def test_timing_holds_seconds(tmp_path: Path) -> None:
    pytest.importorskip("minatar")
    found = logged(replace(tiny_config(), imagination="off"), tmp_path / "run", "timing")
    assert found and all(names == {"seconds"} for names in found.values())
