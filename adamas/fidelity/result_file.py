"""The file ``fidelity.json``, which keeps the results of the fidelity measurements."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.envs.config import read_env
from adamas.fidelity.results import DreamResults, FidelityProtocol, FidelityResult

FILE = "fidelity.json"


def write_result(folder: Path, result: FidelityResult) -> None:
    """Write ``fidelity.json`` into ``folder``."""
    data = {
        "protocol": asdict(result.protocol),
        "dreams": {name: _to_json(found) for name, found in result.dreams.items()},
        "provenance": result.provenance,
    }
    (folder / FILE).write_text(json.dumps(data, indent=1), encoding="utf-8")


def read_result(folder: Path) -> FidelityResult:
    """Read ``fidelity.json`` from ``folder``.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    try:
        data = json.loads(read_file(folder / FILE))
        env = data["protocol"]["env"]
        protocol = data["protocol"] | {"env": None if env is None else read_env(env)}
        dreams = {name: _from_json(found) for name, found in data["dreams"].items()}
        return FidelityResult(FidelityProtocol(**protocol), dreams, data["provenance"], folder)
    except OSError as error:
        raise UserError(
            f"cannot read {folder / FILE}: {error.strerror}; measure the fidelity first"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / FILE} is damaged ({error}); measure the fidelity again") from error


# The file has older names than the classes, and leaves out what a baseline does not have.


def _to_json(found: DreamResults) -> dict[str, Any]:
    data = asdict(found)
    json_data = data["distances"] | {
        "agreement": data["rewards_and_ends"] or {},
        "populations": data["frechet"],
    }
    if found.margin is not None:
        json_data["margin"] = data["margin"]
    if found.moments is not None:
        moments = data["moments"]
        json_data["moments"] = {
            "outcomes": moments["outcomes"],
            "obedience": moments["action_sensitivity"],
        }
    return json_data


def _from_json(json_data: Mapping[str, Any]) -> DreamResults:
    others = {"agreement", "populations", "margin", "moments"}
    moments = json_data.get("moments")
    data = {
        "distances": {name: means for name, means in json_data.items() if name not in others},
        "rewards_and_ends": json_data["agreement"] or None,
        "frechet": json_data["populations"],
        "margin": json_data.get("margin"),
        "moments": moments and {"outcomes": moments["outcomes"], "action_sensitivity": moments["obedience"]},
    }
    found = _build(DreamResults, data)
    assert isinstance(found, DreamResults)
    return found


def _build(kind: Any, data: Any) -> Any:
    """Build a value of the annotated type ``kind`` from plain data; the inverse of ``asdict``."""
    if get_origin(kind) in (Union, types.UnionType):  # such as Estimate | None
        return None if data is None else _build(get_args(kind)[0], data)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _build(hints[name], value) for name, value in data.items()})  # type: ignore[operator]
    if get_origin(kind) is dict:
        key_kind, value_kind = get_args(kind)
        return {key_kind(key): _build(value_kind, value) for key, value in data.items()}
    return data
