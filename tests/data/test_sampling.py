"""Segments are drawn with the right probabilities and hold what the store holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adamas.core.errors import UserError
from adamas.core.types import Batch, SegmentSpec
from adamas.data import NEW, EpisodeStore, SegmentSampler
from adamas.data.sampling import EpisodeWeighting, episode_probabilities

SHAPE = (2, 1, 1)
SPECS = [
    *(SegmentSpec(3, past_end, final_frame) for past_end, final_frame in product((False, True), repeat=2)),
    SegmentSpec(3, past_end=True, at_edge=True),
    SegmentSpec(3, final_frame=False, at_edge=True),
    SegmentSpec(3, past_end=True, final_frame=False, at_edge=True),
]


def add(store: EpisodeStore, num_frames: int, running: bool = False) -> None:
    """Add an episode whose pixels are (episode + 1, t + 1), actions t + 1, rewards 10 * episode + t."""
    number, episode = NEW, store.num_episodes
    for t in range(num_frames):
        obs = np.array([episode + 1, t + 1], np.uint8).reshape(1, *SHAPE)
        if t == num_frames - 1 and not running:
            store.append_final(np.array([number]), obs)
        else:
            last = np.array([t == num_frames - 2 and not running])
            step = np.array([t + 1]), np.array([10 * episode + t]), last, np.array([False])
            number = int(store.append(np.array([number]), obs, *step)[0])


def make(folder: Path, lengths: Sequence[int], running: Sequence[int] = ()) -> EpisodeStore:
    store = EpisodeStore.create(folder, SHAPE)
    for i, length in enumerate(lengths):
        add(store, length, running=i in running)
    return store


def origin(batch: Batch) -> list[tuple[int, int]]:
    """The episode of each segment and the time of its first frame, read off the pixels."""
    found = []
    for obs, mask in zip(batch.obs[..., 0, 0].tolist(), batch.mask.tolist(), strict=True):
        i = mask.index(True)
        found.append((obs[i][0] - 1, obs[i][1] - 1 - i))
    return found


def test_age_groups_and_remainder() -> None:
    # 11 episodes, 4 groups of 2; the three of the remainder join the youngest.
    length = np.array([1, 3, 2, 2, 10, 0, 4, 4, 4, 4, 4])
    expected = [0.025, 0.075, 0.05, 0.05, 0.1, 0, 0.14, 0.14, 0.14, 0.14, 0.14]
    assert episode_probabilities(length, (0.1, 0.1, 0.1, 0.7)) == pytest.approx(expected)


def test_every_episode_of_a_group_is_equally_likely_in_the_published_law() -> None:
    # 11 episodes, 4 groups of 2; the three of the remainder join the youngest. One has nothing to be drawn.
    length = np.array([1, 300, 2, 2, 10, 0, 4, 40, 4, 4, 400])
    expected = [0.05, 0.05, 0.05, 0.05, 0.1, 0, 0.14, 0.14, 0.14, 0.14, 0.14]
    assert episode_probabilities(length, (0.1, 0.1, 0.1, 0.7), "equal") == pytest.approx(expected)


def test_a_long_newest_episode_gets_its_group_by_length_but_not_in_the_published_law() -> None:
    # Four short episodes in the youngest group, and one that is 100 times as long.
    length = np.array([10] * 9 + [1_000])
    published = episode_probabilities(length, (0.1, 0.1, 0.1, 0.7), "equal")
    by_length = episode_probabilities(length, (0.1, 0.1, 0.1, 0.7), "length")
    assert published[-1] == pytest.approx(0.7 / 4)
    assert by_length[-1] == pytest.approx(0.7 * 1_000 / 1_030)


def test_published_law_of_frames_with_a_running_episode(tmp_path: Path) -> None:
    """Exact probabilities: 5 episodes of 4, 2, 3, 6 and 3 frames in 4 groups, the newest still running.

    Groups have 1, 1, 1 and 2 episodes, so an episode is drawn with 0.1, 0.1, 0.1, 0.35 and 0.35. In segments of one
    frame, each of its n frames then is with 1 / n: the first three are 0.1 / 4, 0.1 / 2 and 0.1 / 3 a frame, the
    fourth 0.35 / 6, and the running one 0.35 / 3.
    """
    store, draws = make(tmp_path, (4, 2, 3, 6, 3), running=(4,)), 40_000
    sampler = SegmentSampler(store, (0.1, 0.1, 0.1, 0.7), "equal")
    counts = Counter(origin(sampler.sample(draws, SegmentSpec(1), np.random.default_rng(0))))
    expected = {0: 0.1 / 4, 1: 0.1 / 2, 2: 0.1 / 3, 3: 0.35 / 6, 4: 0.35 / 3}
    assert len(counts) == 4 + 2 + 3 + 6 + 3
    for (episode, _), count in counts.items():
        probability = expected[episode]
        assert count / draws == pytest.approx(probability, abs=5 * np.sqrt(probability / draws))


@pytest.mark.parametrize("weighting", ["equal", "length"])
def test_fewer_than_four_episodes_are_drawn_by_length(weighting: EpisodeWeighting) -> None:
    drawn = episode_probabilities(np.array([1, 0, 3]), (0.1, 0.1, 0.1, 0.7), weighting)
    assert drawn.tolist() == [0.25, 0, 0.75]


@pytest.mark.parametrize("age_weights", [None, (0.1, 0.1, 0.1, 0.7)])
def test_few_episodes_or_no_weights_mean_uniform_over_frames(age_weights: tuple[float, ...] | None) -> None:
    assert episode_probabilities(np.array([1, 0, 3]), age_weights).tolist() == [0.25, 0, 0.75]


def test_share_of_an_unusable_group_goes_to_the_others() -> None:
    assert episode_probabilities(np.array([5, 7, 0]), (0.2, 0.2, 0.6)).tolist() == [0.5, 0.5, 0]
    assert episode_probabilities(np.array([0, 0]), (0.5, 0.5)).tolist() == [0, 0]


@given(
    st.lists(st.integers(0, 50), max_size=40),
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.sampled_from(["equal", "length"]),
)
def test_group_totals(lengths: list[int], weights: list[int], weighting: EpisodeWeighting) -> None:
    size = len(lengths) // len(weights)
    if not size or not sum(weights):
        return
    edges = [size * g for g in range(len(weights))] + [len(lengths)]
    shares = tuple(w / sum(weights) for w in weights)
    probability = episode_probabilities(np.array(lengths), shares, weighting)
    groups = [slice(a, b) for a, b in pairwise(edges)]
    usable = [w * any(lengths[group]) for w, group in zip(weights, groups, strict=True)]
    for share, group in zip(usable, groups, strict=True):
        assert probability[group].sum() == pytest.approx(share / (sum(usable) or 1))


@pytest.mark.parametrize("spec", SPECS)
def test_segments_hold_what_the_store_holds(tmp_path: Path, spec: SegmentSpec) -> None:
    store = make(tmp_path, (2, 7, 1, 5, 3), running=(2, 4))
    batch = SegmentSampler(store).sample(400, spec, np.random.default_rng(0))
    origins = origin(batch)
    assert {episode for episode, _ in origins} == {0, 1, 3, 4}  # the one of a single frame never
    for i, (episode, start) in enumerate(origins):
        known = store.lengths[episode]
        length = known if spec.final_frame else known - 1
        for j, t in enumerate(range(start, start + 3)):
            real = 0 <= t < length
            assert batch.mask[i, j] == real
            assert batch.obs[i, j, :, 0, 0].tolist() == ([episode + 1, t + 1] if real else [0, 0])
            if j == 2:
                continue
            taken = real and 0 <= t + 1 < length
            assert batch.action[i, j] == (t + 1) * taken
            assert batch.reward[i, j] == (10 * episode + t) * taken
            assert batch.terminated[i, j] == (taken and t == known - 2 and bool(store.ended[episode]))
            assert not batch.truncated[i, j]


@pytest.mark.parametrize("spec", SPECS)
def test_distribution_of_segments(tmp_path: Path, spec: SegmentSpec) -> None:
    lengths, size, draws = (2, 5), spec.num_frames, 30_000
    store = make(tmp_path, lengths)
    usable = [n if spec.final_frame else n - 1 for n in lengths]
    expected: dict[tuple[int, int], float] = defaultdict(float)
    for episode, n in enumerate(usable):
        for t, u in product(range(n), range(size)):
            start = t - u if spec.past_end else min(n, t + 1 + u) - size
            expected[episode, start] += 1 / (sum(usable) * size)
    if spec.at_edge:  # every transition of an episode: it begins the segment, or follows it
        first = 0 if spec.past_end else 1 - size
        begins = [(e, t) for e, n in enumerate(lengths) for t in range(n - 1)]
        expected = {(e, t + first): 1 / len(begins) for e, t in begins}
    batch = SegmentSampler(store).sample(draws, spec, np.random.default_rng(0))
    counts = Counter(origin(batch))
    assert counts.keys() == expected.keys()
    for key, probability in expected.items():
        error = 5 * np.sqrt(probability / draws)  # five standard deviations
        assert counts[key] / draws == pytest.approx(probability, abs=error)


def test_frequencies_of_age_groups(tmp_path: Path) -> None:
    store = make(tmp_path, (3, 6, 4, 4, 2))
    batch = SegmentSampler(store, (0.1, 0.9)).sample(20_000, SegmentSpec(1), np.random.default_rng(0))
    counts = Counter(origin(batch))
    assert len(counts) == 19
    for (episode, _), count in counts.items():
        probability = 0.1 / 9 if episode < 2 else 0.9 / 10
        assert count / 20_000 == pytest.approx(probability, abs=5 * np.sqrt(probability / 20_000))


def test_same_generator_same_batch(tmp_path: Path) -> None:
    store = make(tmp_path, (4, 6, 5, 9))
    store.commit()
    spec = SegmentSpec(4, past_end=True)
    one, other = SegmentSampler(store), SegmentSampler(EpisodeStore.open(tmp_path))
    first = one.sample(50, spec, np.random.default_rng(3))
    again = other.sample(50, spec, np.random.default_rng(3))
    different = one.sample(50, spec, np.random.default_rng(4))
    assert torch.equal(first.obs, again.obs)
    assert torch.equal(first.reward, again.reward)
    assert not torch.equal(first.obs, different.obs)


def test_new_steps_are_drawn_and_truncated_ones_are_not(tmp_path: Path) -> None:
    store = make(tmp_path, (3,))
    sampler, spec, rng = SegmentSampler(store, None), SegmentSpec(1), np.random.default_rng(0)
    assert {episode for episode, _ in origin(sampler.sample(200, spec, rng))} == {0}
    add(store, 4)
    assert {episode for episode, _ in origin(sampler.sample(200, spec, rng))} == {0, 1}
    store.truncate(3)
    add(store, 2)
    add(store, 2)  # as many rows as before, in other episodes
    assert {episode for episode, _ in origin(sampler.sample(200, spec, rng))} == {0, 1, 2}


def test_nothing_to_draw(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE)
    sampler, rng = SegmentSampler(store), np.random.default_rng(0)
    with pytest.raises(UserError, match="no transition to train on; it needs an episode of two frames"):
        sampler.sample(4, SegmentSpec(2), rng)
    add(store, 1, running=True)
    with pytest.raises(UserError, match="no transition to train on; it needs an episode of two frames"):
        sampler.sample(4, SegmentSpec(2), rng)


def test_no_weight_for_what_can_be_drawn(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE)
    add(store, 1, running=True)
    add(store, 3)
    sampler = SegmentSampler(store, (1.0, 0.0))
    with pytest.raises(
        UserError, match=r"`age_weights` \(1\.0, 0\.0\) gives no weight to the episodes that have a"
    ):
        sampler.sample(4, SegmentSpec(2), np.random.default_rng(0))


@pytest.mark.parametrize("age_weights", [(), (0.5, 0.4), (1.5, -0.5)])
def test_impossible_weights(tmp_path: Path, age_weights: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="at least 0 and sum to 1"):
        SegmentSampler(EpisodeStore.create(tmp_path, SHAPE), age_weights)
