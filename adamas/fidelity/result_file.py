"""The file ``fidelity.json``, which keeps the results of the fidelity measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adamas.core.errors import UserError
from adamas.core.files import read_file
from adamas.core.json_data import from_json
from adamas.evaluation.provenance import Provenance
from adamas.fidelity.results import DreamResults, FidelityProtocol, FidelityResult

FILE = "fidelity.json"


def write_result(folder: Path, result: FidelityResult) -> None:
    """Write ``fidelity.json`` into ``folder``."""
    data = {
        "protocol": asdict(result.protocol),
        "dreams": {name: _to_json(found) for name, found in result.dreams.items()},
        "provenance": asdict(result.provenance),
    }
    (folder / FILE).write_text(json.dumps(data, indent=1), encoding="utf-8")


def read_result(folder: Path) -> FidelityResult:
    """Read ``fidelity.json`` from ``folder``.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    try:
        data = json.loads(read_file(folder / FILE))
        protocol = from_json(FidelityProtocol, data["protocol"], "protocol")
        dreams = {name: _from_json(found) for name, found in data["dreams"].items()}
        return FidelityResult(
            protocol, dreams, from_json(Provenance, data["provenance"], "provenance"), folder
        )
    except OSError as error:
        raise UserError(
            f"cannot read {folder / FILE}: {error.strerror}; measure the fidelity first"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
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
    return from_json(DreamResults, data)
