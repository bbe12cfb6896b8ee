"""The engine steps players together, at the pace of each, on the cores it is given."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from adamas.play import engine as engine_module
from adamas.play.engine import Engine, Player
from adamas.play.messages import Action, ChangeSettings, Control
from adamas.play.scene import PlayContext
from adamas.play.server_messages import ViewUpdate
from tests.helpers.play_server import Table


def test_players_who_draw_alike_share_a_step(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    players = [table.join() for _ in range(3)]
    table.ask(players[2], ChangeSettings({"denoising_steps": 5}))
    batches = []
    original = type(table.engine._shared.agent.world_model).imagine_in_detail

    def imagine(self, state, action, generator):  # type: ignore[no-untyped-def]
        batches.append((self.config.sampler.num_steps, len(action)))
        return original(self, state, action, generator)

    monkeypatch.setattr(type(table.engine._shared.agent.world_model), "imagine_in_detail", imagine)
    table.step()
    assert sorted(batches) == [(2, 2), (5, 1)]
    assert table.last(players[0])["speed"]["players"] == 3


def test_sharing_a_step_changes_nobodys_dream(shared: PlayContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the noise fixed, a player's frames are the same alone and among others."""

    def play(num_others: int) -> list[np.ndarray]:
        table = Table(replace(shared, rng=np.random.default_rng(3), starts=FirstFrames(shared)))
        player = table.join()
        for _ in range(num_others):
            table.ask(table.join(), Control("human"), Action(2))
        table.ask(player, Control("human"), Action(1))
        first = len(table.updates[player])
        table.step(4)
        return [update.images[0] for update in table.updates[player][first:]]

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
    updates: list[ViewUpdate] = []
    enough = threading.Event()

    def show(update: ViewUpdate) -> None:
        updates.append(update)
        if len(updates) == 10:
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

    def show(update: ViewUpdate) -> None:  # called by the engine's thread
        seen.append(torch.get_num_threads())
        shown.set()

    with engine.running(shown.set):
        engine.join(Player(show, lambda note: None))
        assert shown.wait(20)
    assert seen[0] == cores
    assert torch.get_num_threads() == before  # of this thread


def test_who_has_waited_longest_comes_first(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MAX_BATCH", 1)
    first, second = table.join(), table.join()
    now = time.perf_counter()
    table.session(first).due, table.session(second).due = now - 1, now - 2
    table.engine._advance()
    assert [table.last(player)["dream"]["age"] for player in (first, second)] == [0, 1]
