"""Plans multiply the right numbers, and the operations they count are those that are done."""

import json
from contextlib import closing

import pytest

from adamas.bench.flops import count_flops, update_flops
from adamas.bench.plan import PHASES, memory_bytes, plan, seconds_by_profile
from adamas.bench.rows import small_run
from adamas.cli import run
from adamas.core.errors import UserError
from adamas.presets import preset
from adamas.training.config import Config

DAY = 24 * 60 * 60


def test_a_plan_is_seconds_times_updates():
    result = plan(preset("debug"), {"denoiser": 1.0, "reward_end": 10.0, "actor_critic": 100.0})
    assert result.updates == {"denoiser": [3, 3], "reward_end": [3, 3], "actor_critic": [3, 3]}
    assert result.total(slice(1)) == 3 * 111
    assert result.total() == 6 * 111


def test_the_papers_run_on_the_papers_gpu():
    """543 ms an update, as published for one RTX 4090, and 2.9 days a run (which real games are part of)."""
    result = plan(Config(), {"denoiser": 0.088, "reward_end": 0.115, "actor_critic": 0.340})
    assert len(result.updates["denoiser"]) == 1_000
    assert result.total() / DAY == pytest.approx(2.9, rel=0.25)


def test_operations_are_those_of_real_updates(tmp_path):
    config = preset("debug")
    with closing(small_run(config, tmp_path / "run")) as trainer:
        expected = update_flops(config, trainer.agent)
        for name in PHASES:
            trainer.phases[name].begin(1)
            # Not counted there: recurrent layers on a CPU. Not needed there: the derivative by the first input.
            # Not foreseen: dreams that end early, as most of an untrained model's do.
            counted = count_flops(trainer.phases[name].update)
            assert counted == pytest.approx(expected[name], rel=0.2 if name == "actor_critic" else 0.1), name


def test_a_profile_says_how_fast_another_machine_is(tmp_path, capsys):
    rows = [{"row": row, "fast": {"gflops": 2.0}} for row in PHASES.values()]
    file = tmp_path / "profile.json"
    file.write_text(json.dumps({"rows": rows}))
    config = preset("debug")
    seconds = seconds_by_profile(config, file)
    rows[0]["fast"]["gflops"] = 1.0
    file.write_text(json.dumps({"rows": rows}))
    assert seconds_by_profile(config, file) == seconds | {"denoiser": 2 * seconds["denoiser"]}
    run(["plan", "debug", "--profile", str(file)])
    out = capsys.readouterr().out
    assert "2 epochs" in out
    assert "reward_end" in out
    file.write_text("{}")
    with pytest.raises(UserError, match="is no profile"):
        seconds_by_profile(config, file)


def test_without_a_profile_this_machine_is_timed(capsys):
    run(["plan", "debug"])
    assert "actor_critic" in capsys.readouterr().out
    with pytest.raises(UserError, match="plan needs a preset"):
        run(["plan"])


def test_memory_of_the_papers_run():
    memory = memory_bytes(Config())
    assert memory["replay"] == 100_000 * 3 * 64 * 64
    assert memory["weights"] == pytest.approx(5 * 4 * 13e6, rel=0.1)  # the paper: 13 M parameters
