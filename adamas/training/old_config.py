"""Configurations of runs from before version 0.2, whose parts had other names and places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adamas.envs.config import AtariConfig, read_env

_MOVED = {name: name for name in ("denoiser", "reward_end", "upsampler")} | {"policy": "actor_critic"}
"""Where the training of each part is now, within ``training``, by its old name."""


def upgraded(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a run's configuration under today's names.

    Before version 0.2, the training of each part was a top-level key, the training of the policy was called ``policy``
    and held ``horizon``, and every run had all parts. A run on recordings had a policy that was never trained, and the
    default game if the recordings named none.

    Args:
        data: plain values of a configuration, old or new. Values of the wrong type stay, and are refused later.
    """
    if "training" in data or not _MOVED.keys() & data.keys():
        return data
    new = {key: value for key, value in data.items() if key not in _MOVED}
    training = {name: data[old] for old, name in _MOVED.items() if old in data}
    policy = training.get("actor_critic")
    if isinstance(policy, Mapping) and "horizon" in policy:
        new["horizon"] = policy["horizon"]
        training["actor_critic"] = {key: value for key, value in policy.items() if key != "horizon"}
    model = data.get("world_model", {})
    if isinstance(model, Mapping):
        absent = {
            "reward_end": model.get("reward_end", {}) is None,
            "upsampler": model.get("upsampler") is None,
        }
        training |= {name: None for name, missing in absent.items() if missing}
    if data.get("data") is not None:
        training["actor_critic"] = new["actor_critic"] = new["collection"] = None
        if isinstance(data.get("env", {}), Mapping) and read_env(data.get("env", {}), "env") == AtariConfig():
            new["env"] = None
    return {**new, "training": training}
