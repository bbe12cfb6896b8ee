"""What players see, with an engine that is stepped by hand."""

from __future__ import annotations

import contextlib
import copy
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from adamas.core.types import to_pixels
from adamas.play import session as session_module
from adamas.play.messages import Action, ChangeSettings, ChangeView, Control, Fork, Pause, Step
from adamas.play.scene import PlayContext
from tests.helpers.diamond import world_model
from tests.helpers.play_server import L, Table, breakout


def test_a_dream_begins_and_goes_on(table: Table) -> None:
    player = table.join()
    first = table.last(player)
    assert (first["view"], first["images"], first["action"]) == ("dream", ["dream"], None)
    assert first["dream"]["age"] == 0 and first["dream"]["reward_probabilities"] is None
    table.step(5)
    last = table.last(player)
    assert (last["dream"]["age"], last["frame"]) == (5, 6)
    assert last["action"] in (0, 1, 2)
    assert sum(last["dream"]["reward_probabilities"]) == pytest.approx(1)
    assert sum(last["policy"]["probabilities"]) == pytest.approx(1)
    rewards = [update.header.worlds["dream"].reward or 0.0 for update in table.updates[player]]
    assert last["dream"]["return"] == sum(rewards)
    assert table.updates[player][-1].images[0].shape == (10, 10, 3)


def test_the_agent_sees_every_frame_once(table: Table) -> None:
    """Its opinion of the last frame is what the policy says after all frames in order."""
    player = table.join()
    table.ask(player, ChangeView("real"))
    for _ in range(4):
        table.step()
        table.ask(player, Control("agent"))  # shows the frame once more
        table.ask(player, Pause(False))
    frames = [m.images[0] for m in table.updates[player] if m.header.view == "real"][::3]
    policy = table.engine._shared.agent.policy
    state = policy.initial_state(1)
    with torch.no_grad():
        for frame in frames:
            output = policy(torch.from_numpy(frame.transpose(2, 0, 1).copy())[None], state)
            state = output.state
    assert len(frames) == 5
    assert table.last(player)["policy"]["value"] == pytest.approx(float(output.value), abs=1e-6)
    probabilities = output.logits.softmax(-1)[0].tolist()
    assert table.last(player)["policy"]["probabilities"] == pytest.approx(probabilities, abs=1e-6)


def test_people_act_with_what_they_press(table: Table) -> None:
    player = table.join()
    table.ask(player, Control("human"), Action(2, seq=1))
    table.step()
    assert (table.last(player)["action"], table.last(player)["ack"]) == (2, 1)
    table.ask(player, Action(1, seq=2), Action(None, seq=3))
    table.step()
    assert (table.last(player)["action"], table.last(player)["ack"]) == (0, 3)  # nothing pressed: noop


def test_reality_and_dream_begin_alike_and_get_the_same_actions(table: Table) -> None:
    player = table.join()
    update = table.ask(player, ChangeView("both"), Control("human"), Action(1))
    assert update.header.images == ["dream", "real"]
    assert np.array_equal(update.images[0], update.images[1]) and update.header.difference == 0
    with contextlib.closing(breakout(False)) as env:
        assert np.array_equal(update.images[1], env.reset().obs[0].permute(1, 2, 0))
        for _ in range(5):
            table.step()
            expected = env.step(torch.tensor([1]))
            dream, real = table.updates[player][-1].images
            shown = expected.final_obs if expected.ended[0] else expected.obs
            assert np.array_equal(real, shown[0].permute(1, 2, 0))
            assert bool(table.last(player)["real"]["over"]) == bool(expected.ended[0])
            difference = np.abs(dream.astype(float) - real).mean()
            assert table.last(player)["difference"] == pytest.approx(difference, abs=0.006)
    assert difference > 0  # an untrained dream


def test_a_fork_starts_from_the_last_real_frames_and_actions(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeView("real"), Control("human"))
    for action in (1, 2, 1, 0, 2, 1):
        table.ask(player, Action(action))
        table.step()
    update = table.ask(player, Fork())
    assert (update.header.view, update.header.worlds["dream"].age, update.header.worlds["real"].age) == (
        "both",
        0,
        6,
    )
    assert np.array_equal(update.images[0], update.images[1])
    dream = table.session(player).scene.dream
    assert dream is not None
    state = dream.state
    assert state["action"].tolist() == [[0, 2, 1]]
    frames = to_pixels(state["obs"][0]).permute(0, 2, 3, 1)
    shown = [m.images[0] for m in table.updates[player][:-1] if m.header.view == "real"]
    assert np.array_equal(frames, shown[-L:])


def test_views_change_back_and_forth(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeView("both"))
    table.step(3)
    assert table.ask(player, ChangeView("dream")).header.worlds["dream"].age == 3  # the dream goes on alone
    table.step()
    update = table.ask(player, ChangeView("real"))
    assert (update.header.images, update.header.worlds["real"].age) == (["real"], 0)
    assert update.header.dream is None


def test_pause_and_single_steps(table: Table) -> None:
    player = table.join()
    table.ask(player, Pause(True))
    session = table.session(player)
    assert session.due == float("inf") and table.last(player)["paused"]
    table.engine.request(player, Step())
    table.engine.stop()
    table.engine._take_requests()
    assert session.due <= time.perf_counter()
    table.engine._advance()
    assert table.last(player)["dream"]["age"] == 1
    assert session.due == float("inf")
    table.engine.request(player, Pause(False))
    table.engine.stop()
    table.engine._take_requests()
    assert session.due <= time.perf_counter() + 1 / 15


def test_a_dream_stops_at_its_horizon_and_begins_anew(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeSettings({"horizon": 2}))
    table.step(2)
    assert table.last(player)["dream"]["over"] == "horizon"
    table.step()
    assert (table.last(player)["dream"]["over"], table.last(player)["dream"]["age"]) == ("", 0)


def test_a_dream_that_is_over_waits_for_its_game(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeSettings({"horizon": 2}), ChangeView("both"))
    table.step(2)
    frozen = table.updates[player][-1].images[0]
    table.step()
    header = table.last(player)
    assert (header["dream"]["over"], header["dream"]["age"], header["real"]["age"]) == ("horizon", 2, 3)
    assert np.array_equal(table.updates[player][-1].images[0], frozen)
    assert table.ask(player, Fork()).header.worlds["dream"].over == ""


def test_a_game_that_is_over_stays_a_moment_and_begins_anew(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeView("both"), Control("human"))
    for _ in range(100):
        table.step()
        if table.last(player)["real"]["over"]:
            break
    assert table.last(player)["real"]["over"] == "ended"
    session = table.session(player)
    wait = session.due - time.perf_counter()
    assert 0 < wait <= session_module.HOLD
    table.ask(player, Fork())
    assert "over" in table.notice(player)
    table.step()
    assert (table.last(player)["real"]["over"], table.last(player)["real"]["age"]) == ("", 0)


def test_the_strip_shows_the_way_from_noise_to_frame(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeSettings({"strip": True, "denoising_steps": 3}))
    table.step()
    update = table.updates[player][-1]
    assert update.header.images == ["dream", *(f"noise {i}" for i in range(4))]
    assert np.array_equal(update.images[-1], update.images[0])
    assert not np.array_equal(update.images[1], update.images[0])


def test_a_model_of_recordings_has_no_policy(shared: PlayContext) -> None:
    agent = copy.deepcopy(shared.agent)
    agent.actor_critic = None
    table = Table(replace(shared, agent=agent))
    player = table.join()
    assert table.last(player)["control"] == "human" and table.last(player)["policy"] is None
    table.ask(player, Action(2))
    table.step(3)
    assert table.last(player)["action"] == 2 and table.last(player)["dream"]["age"] == 3
    table.ask(player, Control("agent"))
    assert table.last(player)["control"] == "human"
    assert "has no agent" in table.notice(player)


def test_a_dream_without_rewards_shows_none(shared: PlayContext) -> None:
    agent = copy.deepcopy(shared.agent)
    world_model(agent).reward_end = None
    table = Table(replace(shared, agent=agent))
    player = table.join()
    table.step()
    described = table.last(player)["dream"]
    assert (described["reward"], described["return"], described["age"]) == (None, None, 1)
    assert described["reward_probabilities"] is None and described["end_probability"] is None
