"""The experiment from Python: the example of the documentation, and what it refuses."""

from __future__ import annotations

import errno
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import adamas
import adamas.fidelity.run
from adamas.core.errors import UserError
from adamas.data.store import EpisodeStore
from adamas.envs.config import MinAtarConfig
from adamas.envs.rewind import MinAtarGame
from adamas.fidelity.networks import load_networks
from adamas.fidelity.result_file import read_result
from adamas.fidelity.run import FidelityOptions, measure_fidelity

SHORT = FidelityOptions(windows=4, horizon=3)
PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"


def test_the_example_of_the_documentation(
    dreamer: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert "windows=64, horizon=50" in example
    exec(example.replace("windows=64, horizon=50", "windows=4, horizon=5"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["N = 1", "N = 3", "other actions", "still frame"]
    assert all(re.fullmatch(r".*: -?\d+\.\d dB", line) for line in lines)


def test_nothing_is_written_unless_asked_for_and_moments_need_a_game(dreamer: Path) -> None:
    agent, before = adamas.load("RUN", "cpu"), sorted(Path().rglob("*"))
    options, lines = FidelityOptions(windows=3, horizon=2, moments=1, draws=1), list[str]()
    result = measure_fidelity(agent, "RUN/dataset/test", options, progress=lines.append)
    assert lines == ["N = 2: measured"] and result.folder is None and sorted(Path().rglob("*")) == before
    assert result.protocol.moments == 0 and result.dreams["N = 2"].moments is None
    game = MinAtarConfig(game="breakout", size=10)
    with_game = measure_fidelity(
        agent, EpisodeStore.open("RUN/dataset/test"), options, env=game, out=Path("out")
    )
    assert with_game.folder == Path("out") and Path("out/action_sensitivity.png").is_file()
    assert with_game.dreams["N = 2"].moments is not None
    assert with_game.dreams["N = 2"].distances == result.dreams["N = 2"].distances


def test_without_matplotlib_there_are_results_and_a_film(
    dreamer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = adamas.load("RUN", "cpu")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match=r"no plots were drawn.*pip install 'adamas\[report\]'"):
        result = measure_fidelity(agent, "RUN/dataset/test", SHORT, out=Path("out"))
    assert read_result(Path("out")).dreams == result.dreams
    assert {path.name for path in Path("out").iterdir()} == {"fidelity.json", "dream.gif", "dream.png"}


def test_each_sampler_has_a_margin_to_its_own_dreams_under_other_actions(dreamer: Path) -> None:
    agent = adamas.load("RUN", "cpu")
    both = measure_fidelity(agent, "RUN/dataset/test", SHORT, denoising_steps=(1, 3)).dreams
    for number in (1, 3):
        alone = measure_fidelity(agent, "RUN/dataset/test", SHORT, denoising_steps=(number,)).dreams
        margin = alone[f"N = {number}"].margin
        assert margin is not None and margin == both[f"N = {number}"].margin
        own, other = (alone[name].distances["mse"].mean for name in (f"N = {number}", "other actions"))
        apart = [(y or 0) - (x or 0) for x, y in zip(own, other, strict=True)]
        assert margin["other actions"].mean == pytest.approx(apart)


def test_games_are_closed_and_only_the_files_are_blamed_for_errors_of_files(
    dreamer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, game, closed = adamas.load("RUN", "cpu"), MinAtarConfig(game="breakout", size=10), list[object]()
    options = replace(SHORT, moments=1, draws=1)
    monkeypatch.setattr(MinAtarGame, "close", lambda game: closed.append(game))
    measure_fidelity(agent, "RUN/dataset/test", options, env=game)
    assert len(set(map(id, closed))) == 2, "one with sticky actions and one without"
    with pytest.raises(UserError, match="3 actions"):
        measure_fidelity(agent, "RUN/dataset/test", options, env=replace(game, game="asterix"))
    assert len(closed) == 3

    def fail(*_: object) -> None:
        assert any(path.is_dir() for path in Path().glob(".tmp-*-out")), "the folder is made before"
        raise OSError(errno.EIO, "the game is gone")

    monkeypatch.setattr(adamas.fidelity.run, "MomentMeasure", fail)
    with pytest.raises(OSError, match="the game is gone"):
        measure_fidelity(agent, "RUN/dataset/test", options, env=game, out=Path("out"))
    monkeypatch.setattr(adamas.fidelity.run, "write_result", fail)
    with pytest.raises(UserError, match="cannot write out: the game is gone"):
        measure_fidelity(agent, "RUN/dataset/test", SHORT, out=Path("out"))
    assert not list(Path().glob("*out*"))


def test_what_does_not_fit_is_refused(dreamer: Path) -> None:
    agent = adamas.load("RUN", "cpu")
    with pytest.raises(UserError, match="`windows` is 1; it must be at least 2"):
        FidelityOptions(windows=1)
    with pytest.raises(UserError, match=r"the agent was trained on frames of shape \(3, 10, 10\)"):
        measure_fidelity(agent, "RUN/dataset/test", env=MinAtarConfig(game="breakout", size=20))
    EpisodeStore.create("large", (3, 16, 16))
    with pytest.raises(UserError, match=r"large holds frames of shape \(3, 16, 16\), but the agent sees"):
        measure_fidelity(agent, "large")


def test_missing_weights_are_an_error_only_if_they_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adamas.nn.lpips.find_spec", lambda _: None)
    with pytest.warns(UserWarning, match="no LPIPS and no Frechet distances"):
        assert load_networks().lpips is None
    assert not load_networks("none").features
    for weights in ("weights_lpips", "weights_inception", "weights_i3d"):
        with pytest.raises(UserError, match=f"`{weights}` .* needs `lpips`"):
            load_networks("none", **{weights: tmp_path})
    with pytest.raises(UserError, match="LPIPS weights are not installed"):
        load_networks("alex")
    with pytest.raises(UserError, match="does not exist"):
        load_networks(weights_lpips=tmp_path)
