"""Old names of the options of a run are refused with their new names."""

from __future__ import annotations

import pytest

from adamas import cli
from adamas.core.errors import UserError


@pytest.mark.parametrize(
    ("words", "new"),
    [
        ("train debug --policy.horizon 3", "--horizon"),
        ("train debug --policy.loss.gamma 1", "--training.actor-critic.learner.gamma"),
        ("plan debug --reward-end.batch-size=3", "--training.reward-end.batch-size"),
        ("bench debug --denoiser.average-decay 0", "--training.denoiser.average-decay"),
        ("train vizdoom --upsampler.optimizer.lr 1", "--training.upsampler.optimizer.lr"),
    ],
)
def test_old_options_of_a_run_are_refused_with_their_new_names(words: str, new: str) -> None:
    command, _, option, *_ = words.replace("=", " ").split()
    with pytest.raises(UserError) as error:
        cli.run(words.split())
    assert str(error.value) == f"{option} is now {new} (adamas {command} --help lists the options)"


def test_networks_keep_their_names() -> None:
    with pytest.raises(UserError, match=r"--actor-critic\.lstm-dim is 'x'; it must be a whole number"):
        cli.run(["train", "debug", "--actor-critic.lstm-dim", "x"])
