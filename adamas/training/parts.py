"""Checkpoints of sharded tensors, in the format of ``torch.distributed.checkpoint``.

Every process writes the parts (shards) that it holds, and reads the parts that it needs, however many processes wrote
them. No process needs memory for more than its own parts and a single whole tensor.
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

METADATA = ".metadata"  # a pickle that says which file holds which part of which tensor
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
    """Write this process's parts of ``tensors``. All processes must call this at once, with the same names.

    Args:
        folder: an empty folder that all processes see.
        tensors: sharded tensors by name.

    Raises:
        UserError: in every process, if any process cannot write.
    """
    try:
        save(dict(tensors), storage_writer=FileSystemWriter(folder))
    except CheckpointException as error:
        rank, (cause, _) = next(iter(error.failures.items()))
        cause = cause.__context__ or cause  # PyTorch hides the error of a full disk behind its own
        raise UserError(
            f"process {rank} cannot write its part of the checkpoint to {folder}: {cause}; earlier checkpoints are "
            "intact: check the folder and its free space"
        ) from error


def read_parts(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``tensors`` from a folder, without communication. Sharded tensors receive this process's part.

    Raises:
        OSError: a file cannot be read.
        RuntimeError: a tensor is missing.
        ValueError: a tensor has another size, or the folder holds no checkpoint.
    """
    reader, planner = _Reader(folder), DefaultLoadPlanner()
    metadata = reader.read_metadata()
    planner.set_up_planner(dict(tensors), metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    plan = reader.prepare_local_plan(planner.create_local_plan())
    plan = reader.prepare_global_plan(planner.create_global_plan([plan]))[0]
    reader.read_data(planner.finish_plan(plan), planner).wait()


def read_whole(folder: Path, prefix: str) -> dict[str, Tensor]:
    """Read all tensors whose names start with ``prefix``, as whole tensors. Their names lose the prefix.

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
    """Join the state of a phase and its parts in ``folder`` to the state that a single process would have saved.

    Raises:
        OSError, ValueError: as :func:`read_parts`.
    """
    adamw = state["optimizer"]["adamw"]
    moments = {number: dict(values) for number, values in adamw["state"].items()}
    for name, tensor in read_whole(folder, "optimizer.").items():
        number, what = name.split(".")
        moments[int(number)][what] = tensor
    # A single process uses the fused optimiser, for which PyTorch moves the step counts to the weights' device.
    groups = [{**group, "fused": True} for group in adamw["param_groups"]]
    optimizer = {**state["optimizer"], "adamw": {"state": moments, "param_groups": groups}}
    return {**state, "optimizer": optimizer, "module": {**state["module"], **read_whole(folder, "module.")}}


class _Reader(FileSystemReader):
    """Reads untrusted files: executes no code from them, and reads nothing outside of their folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        """Read the metadata, and check that it only describes tensors in files of this folder."""
        with (self.folder / METADATA).open("rb") as file:
            metadata = _Unpickler(file).load()
        if not isinstance(metadata, Metadata) or not isinstance(metadata.storage_data, dict):
            raise ValueError(f"{METADATA} describes no tensors")
        for what in metadata.state_dict_metadata.values():
            if not isinstance(what, TensorStorageMetadata):
                raise ValueError(f"{METADATA} describes something that is not a tensor")
        for where in metadata.storage_data.values():
            name = where.relative_path
            if Path(name).name != name or not (self.folder / name).is_file():
                raise ValueError(f"{METADATA} names {name!r}, which is not a file in the same folder")
        return metadata


class _Unpickler(pickle.Unpickler):
    """An unpickler that accepts only classes that describe tensors, so that it cannot execute code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an accepted class, or raise ``UnpicklingError``."""
        accepted = (
            (module in _METADATA_MODULES and name in _METADATA_CLASSES)
            or (module in ("pathlib", "pathlib._local") and name in _PATHS)
            or (module, name) in (("torch", "Size"), ("torch.serialization", "_get_layout"))
            or (module == "torch" and isinstance(getattr(torch, name, None), torch.dtype))
        )
        if not accepted:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")
        return super().find_class(module, name)
