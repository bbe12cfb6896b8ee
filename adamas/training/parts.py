"""Tensors of a checkpoint of which several processes hold parts, in the files of ``torch.distributed.checkpoint``.

Every process writes the parts that it has, and reads those that it needs, however many processes wrote them. No process
needs memory for more than its own parts, and one tensor.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_saver import save

from adamas.core.errors import UserError

METADATA = ".metadata"  # which part of which tensor lies in which file; a pickle
_METADATA_MODULES = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")
_METADATA_CLASSES = {
    "Metadata",
    "MetadataIndex",
    "TensorStorageMetadata",
    "TensorProperties",
    "ChunkStorageMetadata",
    "StorageMeta",
    "_MEM_FORMAT_ENCODING",
    "_StorageInfo",
}
_PATHS = {"Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"}


def write_parts(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write this process's parts of ``tensors``; all processes must do so at once, with the same names.

    Args:
        folder: an empty folder that all of them see.
        tensors: sharded tensors by name.

    Raises:
        UserError: in every process, if one of them cannot write.
    """
    try:
        save(dict(tensors), storage_writer=FileSystemWriter(folder))
    except CheckpointException as error:
        rank, (cause, _) = next(iter(error.failures.items()))
        cause = cause.__context__ or cause  # PyTorch raises one of its own over that of a full disk
        raise UserError(
            f"process {rank} cannot write its part of the checkpoint to {folder}: {cause}; earlier checkpoints are "
            "intact: check the folder and its free space"
        ) from error


def read_parts(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``tensors``, of which sharded ones get this process's part; asks no other process.

    Raises:
        OSError: a file cannot be read.
        RuntimeError: a tensor is not there.
        ValueError: or it has another size, or what is there is no checkpoint.
    """
    reader, planner = _Reader(folder), DefaultLoadPlanner()
    metadata = reader.read_metadata()
    planner.set_up_planner(dict(tensors), metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    plan = reader.prepare_local_plan(planner.create_local_plan())
    plan = reader.prepare_global_plan(planner.create_global_plan([plan]))[0]
    reader.read_data(planner.finish_plan(plan), planner).wait()


def read_whole(folder: Path, prefix: str) -> dict[str, Tensor]:
    """All tensors whose names start with ``prefix``, whole, under the rest of their names.

    Raises:
        OSError, ValueError: as :func:`read_parts`.
    """
    described = _Reader(folder).read_metadata().state_dict_metadata
    tensors = {
        name: torch.empty(tuple(what.size), dtype=what.properties.dtype)
        for name, what in described.items()
        if name.startswith(prefix) and isinstance(what, TensorStorageMetadata)
    }
    read_parts(folder, tensors)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def whole_state(state: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The state of a phase whose parts are in ``folder``, as one process would have saved it.

    Raises:
        OSError, ValueError: as :func:`read_parts`.
    """
    adamw = state["optimizer"]["adamw"]
    moments = {number: dict(values) for number, values in adamw["state"].items()}
    for name, tensor in read_whole(folder, "optimizer.").items():
        number, what = name.split(".")
        moments[int(number)][what] = tensor
    # As one process computes: then PyTorch brings the counts of steps to the device of the weights.
    groups = [{**group, "fused": True} for group in adamw["param_groups"]]
    optimizer = {**state["optimizer"], "adamw": {"state": moments, "param_groups": groups}}
    return {**state, "optimizer": optimizer, "module": {**state["module"], **read_whole(folder, "module.")}}


class _Reader(FileSystemReader):
    """Reads files of strangers: executes no code from them, and reads nothing outside of their folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        """What there is and where, if it is that and nothing else."""
        with (self.folder / METADATA).open("rb") as file:
            metadata = _Unpickler(file).load()
        if not isinstance(metadata, Metadata) or not isinstance(metadata.storage_data, dict):
            raise ValueError(f"{METADATA} describes no tensors")
        for what in metadata.state_dict_metadata.values():
            if not isinstance(what, TensorStorageMetadata):
                raise ValueError(f"{METADATA} describes something that is no tensor")
        for where in metadata.storage_data.values():
            name = where.relative_path
            if Path(name).name != name or not (self.folder / name).is_file():
                raise ValueError(f"{METADATA} names {name!r}, which is no file beside it")
        return metadata


class _Unpickler(pickle.Unpickler):
    """Knows what describes tensors, and nothing that does anything."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the few classes."""
        known = (
            (module in _METADATA_MODULES and name in _METADATA_CLASSES)
            or (module in ("pathlib", "pathlib._local") and name in _PATHS)
            or (module, name) in (("torch", "Size"), ("torch.serialization", "_get_layout"))
            or (module == "torch" and isinstance(getattr(torch, name, None), torch.dtype))
        )
        if not known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")
        return super().find_class(module, name)
