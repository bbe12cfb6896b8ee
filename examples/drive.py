"""Record a car on a race track, steered by a few lines that know where the road is, and now and then lose it.

    pip install -e '.[box2d]'
    python examples/drive.py cars --steps 6000

The recordings are 96x96 pixels at 12.5 frames a second, with three axes: steering, gas and brake. Any program
that plays something can be recorded in the same way.
"""

from __future__ import annotations

import argparse
import math

import gymnasium
import numpy as np

from adamas.core.actions import ActionSpec, Axis
from adamas.data import NEW, EpisodeStore

SPEC = ActionSpec(axes=(Axis("steering", -1.0, 1.0), Axis("gas", 0.0, 1.0), Axis("brake", 0.0, 1.0)))
HELD = 4  # frames of the game, of 1/50 s, that an action lasts
LENGTH = 250  # actions of an episode


class Driver:
    """Steers for a point of the road ahead, off by an error that drifts, at a speed that changes its mind."""

    def __init__(self, rng: np.random.Generator) -> None:  # noqa: D107
        self.rng = rng
        self.error = 0.0  # of the direction, in radians
        self.speed = 30.0

    def act(self, game) -> np.ndarray:
        """The action, (3,) float32, for a CarRacing game."""
        hull = game.car.hull
        x, y = hull.position
        road = np.array([tile[2:4] for tile in game.track])
        ahead = road[(np.hypot(*(road - (x, y)).T).argmin() + 5) % len(road)]
        wanted = math.atan2(x - ahead[0], ahead[1] - y)
        self.error = 0.9 * self.error + self.rng.normal(0, 0.12)
        turn = math.remainder(wanted - hull.angle + self.error, math.tau)
        if self.rng.random() < 0.03:
            self.speed = self.rng.uniform(10, 60)
        faster = self.speed - hull.linearVelocity.length
        return np.array(
            [np.clip(-1.5 * turn, -1, 1), np.clip(faster / 20, 0, 1), np.clip(-faster / 40, 0, 0.5)]
        )


def main() -> None:
    """Drive and record."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("out", help="folder of the recordings; must not exist yet")
    options.add_argument("--steps", type=int, default=6_000)
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    env = gymnasium.make("CarRacing-v3", max_episode_steps=HELD * LENGTH)
    store = EpisodeStore.create(args.out, (3, 96, 96), SPEC)
    for number in range(-(-args.steps // LENGTH)):
        obs, _ = env.reset(seed=args.seed + number)
        driver, episode = Driver(np.random.default_rng((args.seed, number))), np.array([NEW])
        ended = False
        while not ended:
            action = driver.act(env.unwrapped).astype(np.float32)
            reward, frame = 0.0, obs
            for _ in range(HELD):
                obs, gained, terminated, truncated, _ = env.step(action)
                reward += gained
                ended = terminated or truncated
                if ended:
                    break
            episode = store.append(
                episode,
                frame.transpose(2, 0, 1)[None],
                action[None],
                np.array([reward]),
                np.array([terminated]),
                np.array([truncated]),
            )
        store.append_final(episode, obs.transpose(2, 0, 1)[None])
        store.commit()
        print(f"{store.num_steps:,} steps", flush=True)


if __name__ == "__main__":
    main()
