"""``adamas dream``: mistakes get one line and leave no files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adamas import cli
from adamas.core.errors import UserError
from adamas.data.store import EpisodeStore


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "--out PATH is missing"),
        ("--out film.avi", "film.avi is no film: its name must end in .mp4 or .gif"),
        ("--out film.gif --fps 51", "--fps is 51.0; it must be at least 0.1 and at most 50"),
        ("--out film.gif --steps 0", "--steps is 0; it must be at least 1"),
        ("--out film.gif --worlds 0", "--worlds is 0; it must be at least 1 and at most 64"),
        ("--out film.gif --worlds 65", "--worlds is 65; it must be at least 1 and at most 64"),
        ("--out film.gif --scale 0", "--scale is 0; it must be at least 1"),
        ("--out film.gif --scale 410", "no side longer than 4096 pixels"),
        ("--out film.gif --denoising-steps 0", "--denoising-steps is 0; it must be at least 1"),
        ("--out film.gif --order 2", "--order is now --method (adamas dream --help lists the options)"),
        ("--out film.gif --temperature -1", "--temperature is -1.0; it must be at least 0"),
        ("--out film.gif --seed -1", "--seed is -1; it must be at least 0"),
        ("--out film.gif --device tpu", "--device is tpu; choose from auto, cpu, cuda, mps"),
        ("--out film.gif --wolds 2", "did you mean --worlds?"),
        ("--out actions.txt/film.gif", "cannot write actions.txt/film.gif: "),
        ("--out film.gif --dataset nowhere", "no dataset in nowhere"),
        (
            "--out film.gif --dataset large",
            "large holds frames of shape (3, 16, 16), but the agent sees (3, 10, 10)",
        ),
        ("--out film.gif --dataset empty", "empty has no episode of more than "),
        ("--out film.gif --dataset other --beside-real", "other holds actions that the agent does not have"),
        ("--out film.gif --dataset other", "other holds actions that the agent does not have"),
        (
            "--out film.gif --policy agnet",
            "cannot read the file of actions agnet (No such file",
        ),
        (
            "--out film.gif --policy RUN",
            "cannot read the file of actions RUN (Is a directory)",
        ),
        (
            "--out film.gif --policy bytes",
            "cannot read the file of actions bytes (it is not text)",
        ),
        ("--out film.gif --policy empty.txt", "empty.txt is empty; give an action on every line"),
        (
            "--out film.gif --policy actions.txt",
            "actions.txt, line 3: no action 'jump'; give one of noop, left, right, or",
        ),
        (
            "--out film.gif --policy numbers.txt",
            "numbers.txt, line 1: no action '3'; give one of noop, left, right, or a",
        ),
        (
            "--out film.gif --policy good.txt --steps 3",
            "--steps is 3, but there are 2 actions; give more actions, or fewer steps",
        ),
        (
            "--out film.gif --policy agent --beside-real --dataset RUN/dataset/test",
            "--policy decides what is done in the game; leave out --dataset, or --policy",
        ),
        (
            "--out film.gif --policy agent --beside-real --env.size 16",
            "was trained on frames of shape (3, 10, 10)",
        ),
        ("--out film.gif --policy agent --beside-real --env.game pacman", "unknown MinAtar game 'pacman'"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(options: str, message: str, dreamer: Path) -> None:
    Path("actions.txt").write_text("left\n\njump\n")
    Path("numbers.txt").write_text("3\n")
    Path("good.txt").write_text("0\n1\n")
    Path("empty.txt").write_text("\n")
    Path("bytes").write_bytes(b"\xff\xfe\x00")
    EpisodeStore.create("empty", (3, 10, 10))
    for name, size, action in (("large", 16, 0), ("other", 10, 5)):
        store, episode = EpisodeStore.create(name, (3, size, size)), np.array([-1])
        for _ in range(20):
            none = np.zeros(1, dtype=bool)
            obs = np.zeros((1, 3, size, size), dtype=np.uint8)
            episode = store.append(episode, obs, np.array([action]), none.astype(np.float32), none, none)
        store.commit()
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as refusal:
        cli.run(["dream", "RUN", *options.split()])
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert sorted(Path().rglob("*")) == before
