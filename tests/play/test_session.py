"""What players see, with an engine that is stepped by hand."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adamas.core.errors import UserError
from adamas.core.types import to_pixels
from adamas.data import EpisodeStore
from adamas.play import engine as engine_module
from adamas.play import session as session_module
from adamas.play.engine import Engine, Player
from adamas.play.messages import (
    Action,
    ChangeSettings,
    ChangeView,
    Control,
    Fork,
    Moment,
    Pause,
    Record,
    Request,
    Reset,
    Step,
)
from adamas.play.scene import PlayContext
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
    rewards = [moment.header["dream"]["reward"] for moment in table.moments[player]]
    assert last["dream"]["return"] == sum(rewards)
    assert table.moments[player][-1].images[0].shape == (10, 10, 3)


def test_the_agent_sees_every_frame_once(table: Table) -> None:
    """Its opinion of the last frame is what the policy says after all frames in order."""
    player = table.join()
    table.ask(player, ChangeView("real"))
    for _ in range(4):
        table.step()
        table.ask(player, Control("agent"))  # shows the frame once more
        table.ask(player, Pause(False))
    frames = [m.images[0] for m in table.moments[player] if m.header["view"] == "real"][::3]
    policy = table.engine._shared.agent.actor_critic
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
    moment = table.ask(player, ChangeView("both"), Control("human"), Action(1))
    assert moment.header["images"] == ["dream", "real"]
    assert np.array_equal(moment.images[0], moment.images[1]) and moment.header["difference"] == 0
    with contextlib.closing(breakout(False)) as env:
        assert np.array_equal(moment.images[1], env.reset().obs[0].permute(1, 2, 0))
        for _ in range(5):
            table.step()
            expected = env.step(torch.tensor([1]))
            dream, real = table.moments[player][-1].images
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
    moment = table.ask(player, Fork())
    assert (moment.header["view"], moment.header["dream"]["age"], moment.header["real"]["age"]) == (
        "both",
        0,
        6,
    )
    assert np.array_equal(moment.images[0], moment.images[1])
    dream = table.session(player).scene.dream
    assert dream is not None
    state = dream.state
    assert state["action"].tolist() == [[0, 2, 1]]
    frames = to_pixels(state["obs"][0]).permute(0, 2, 3, 1)
    shown = [m.images[0] for m in table.moments[player][:-1] if m.header["view"] == "real"]
    assert np.array_equal(frames, shown[-L:])


def test_views_change_back_and_forth(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeView("both"))
    table.step(3)
    assert table.ask(player, ChangeView("dream")).header["dream"]["age"] == 3  # the dream goes on alone
    table.step()
    moment = table.ask(player, ChangeView("real"))
    assert (moment.header["images"], moment.header["real"]["age"]) == (["real"], 0)
    assert "dream" not in moment.header


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
    frozen = table.moments[player][-1].images[0]
    table.step()
    header = table.last(player)
    assert (header["dream"]["over"], header["dream"]["age"], header["real"]["age"]) == ("horizon", 2, 3)
    assert np.array_equal(table.moments[player][-1].images[0], frozen)
    assert table.ask(player, Fork()).header["dream"]["over"] == ""


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
    assert "over" in table.notes[player][-1]["text"]
    table.step()
    assert (table.last(player)["real"]["over"], table.last(player)["real"]["age"]) == ("", 0)


def test_the_strip_shows_the_way_from_noise_to_frame(table: Table) -> None:
    player = table.join()
    table.ask(player, ChangeSettings({"strip": True, "steps": 3}))
    table.step()
    moment = table.moments[player][-1]
    assert moment.header["images"] == ["dream", *(f"noise {i}" for i in range(4))]
    assert np.array_equal(moment.images[-1], moment.images[0])
    assert not np.array_equal(moment.images[1], moment.images[0])


def test_players_who_draw_alike_share_a_step(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    players = [table.join() for _ in range(3)]
    table.ask(players[2], ChangeSettings({"steps": 5}))
    batches = []
    original = type(table.engine._shared.agent.world_model).imagine

    def imagine(self, state, action, generator):  # type: ignore[no-untyped-def]
        batches.append((self.config.sampler.num_steps, len(action)))
        return original(self, state, action, generator)

    monkeypatch.setattr(type(table.engine._shared.agent.world_model), "imagine", imagine)
    table.step()
    assert sorted(batches) == [(2, 2), (5, 1)]
    assert table.last(players[0])["speed"]["players"] == 3


def test_a_model_of_recordings_has_no_policy(shared: PlayContext) -> None:
    table = Table(replace(shared, has_policy=False))
    player = table.join()
    assert table.last(player)["control"] == "human" and table.last(player)["policy"] is None
    table.ask(player, Action(2))
    table.step(3)
    assert table.last(player)["action"] == 2 and table.last(player)["dream"]["age"] == 3
    table.ask(player, Control("agent"))
    assert table.last(player)["control"] == "human"
    assert "has no agent" in table.notes[player][-1]["text"]


def test_a_dream_without_rewards_shows_none(shared: PlayContext) -> None:
    agent = copy.deepcopy(shared.agent)
    agent.world_model.reward_end = None
    table = Table(replace(shared, agent=agent))
    player = table.join()
    table.step()
    described = table.last(player)["dream"]
    assert (described["reward"], described["return"], described["age"]) == (None, None, 1)
    assert described["reward_probabilities"] is None and described["end_probability"] is None


def test_sharing_a_step_changes_nobodys_dream(shared: PlayContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the noise fixed, a player's frames are the same alone and among others."""

    def play(num_others: int) -> list[np.ndarray]:
        table = Table(replace(shared, rng=np.random.default_rng(3), starts=FirstFrames(shared)))
        player = table.join()
        for _ in range(num_others):
            table.ask(table.join(), Control("human"), Action(2))
        table.ask(player, Control("human"), Action(1))
        first = len(table.moments[player])
        table.step(4)
        return [moment.images[0] for moment in table.moments[player][first:]]

    monkeypatch.setattr(torch, "randn", lambda shape, **options: torch.full(shape, 0.5))
    alone, among_others = play(0), play(3)
    assert len(alone) == 4
    for a, b in zip(alone, among_others, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1  # sums in another order


class FirstFrames:
    """Every dream starts alike."""

    def __init__(self, shared: PlayContext) -> None:
        self._context = shared.starts.draw(1, np.random.default_rng(0))

    def draw(self, k: int, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        assert k == 1
        return self._context


def test_what_is_recorded_is_what_was_shown(table: Table, tmp_path: Path) -> None:
    player = table.join()
    table.ask(player, ChangeView("both"), Record(True))
    assert table.last(player)["recording"]
    first = len(table.moments[player]) - 1
    table.step(5)
    moments = table.moments[player][first:]
    table.ask(player, Record(False))
    saved = [note for note in table.notes[player] if note["type"] == "saved"]
    assert [(n["dataset"], n["episode"], n["steps"]) for n in saved] == [
        ("played-dream", 0, 5),
        ("played-real", 0, 5),
    ]
    for index, name in enumerate(("dream", "real")):
        store = EpisodeStore.open(tmp_path / "recordings" / name)
        episode = store.episode(0)
        assert store.ended.tolist() == [True]
        assert np.array_equal(episode.obs.transpose(0, 2, 3, 1), [m.images[index] for m in moments])
        assert episode.action.tolist() == [m.header["action"] for m in moments[1:]]
        assert episode.reward.tolist() == [m.header[name]["reward"] for m in moments[1:]]
        assert episode.terminated.tolist() == [False] * 5
        assert episode.truncated.tolist() == [False] * 4 + [True]


def test_recording_goes_on_from_episode_to_episode(table: Table, tmp_path: Path) -> None:
    player = table.join()
    table.ask(player, ChangeSettings({"horizon": 3}), Record(True))
    table.step(8)  # three steps, a beginning, three steps, a beginning
    table.ask(player, Reset())
    table.step()
    table.engine.leave(player)
    table.look()
    store = EpisodeStore.open(tmp_path / "recordings" / "dream")
    assert store.lengths.tolist() == [4, 4, 2]
    assert store.ended.all()


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (Fork(), "no game beside the dream"),
        (ChangeView("real"), "no real game here"),
        (Record(True), "nothing can be recorded"),
        (ChangeSettings({"steps": 99}), "steps is 99"),
    ],
)
def test_what_cannot_be_done_is_said_and_harms_nothing(
    shared: PlayContext, request_: Request, complaint: str
) -> None:
    table = Table(replace(shared, make_env=None, recordings=None))
    player = table.join()
    table.ask(player, request_)
    assert complaint in table.notes[player][-1]["text"]
    table.step(2)
    assert table.last(player)["dream"]["age"] == 2


def test_a_full_disk_ends_the_recording_and_not_the_game(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = table.join()
    table.ask(player, Record(True))
    table.step(2)

    def full(*_: object, **__: object) -> None:
        raise UserError("cannot write: no space left on device")

    monkeypatch.setattr(EpisodeStore, "append", full)
    table.step(2)
    assert "no longer recording: cannot write" in table.notes[player][-1]["text"]
    assert (table.last(player)["dream"]["age"], table.last(player)["recording"]) == (4, False)


def test_steps_of_equal_pace_fall_on_the_same_moments(table: Table) -> None:
    players = [table.join() for _ in range(3)]
    for player in players:
        table.engine.request(player, ChangeSettings({"fps": 2}))
    table.engine.stop()
    table.engine._take_requests()
    dues = {table.session(player).due for player in players}
    # Unless half a second just went by between two of them.
    assert max(dues) - min(dues) in (0.0, 0.5) and all(due * 2 == int(due * 2) for due in dues)


def test_the_thread_keeps_the_pace_and_stops(shared: PlayContext) -> None:
    engine = Engine(shared)
    moments: list[Moment] = []
    enough = threading.Event()

    def show(moment: Moment) -> None:
        moments.append(moment)
        if len(moments) == 10:
            enough.set()

    thread = threading.Thread(target=engine.run)
    thread.start()
    player = Player(show, lambda note: None)
    began = time.perf_counter()
    engine.join(player)
    engine.request(player, ChangeSettings({"fps": 30}))
    assert enough.wait(20)
    assert time.perf_counter() - began >= 8 / 30
    engine.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(("small", "cores"), [(10 * 10, 3), (10 * 10 + 1, 1)])
def test_the_thread_computes_on_the_cores_it_is_given(
    shared: PlayContext, monkeypatch: pytest.MonkeyPatch, small: int, cores: int
) -> None:
    monkeypatch.setattr(engine_module, "SMALL_FRAME", small)
    before = torch.get_num_threads()
    engine = Engine(shared, 3)
    seen: list[int] = []
    shown = threading.Event()

    def show(moment: Moment) -> None:  # called by the engine's thread
        seen.append(torch.get_num_threads())
        shown.set()

    with engine.running(shown.set):
        engine.join(Player(show, lambda note: None))
        assert shown.wait(20)
    assert seen[0] == cores
    assert torch.get_num_threads() == before  # of this thread
