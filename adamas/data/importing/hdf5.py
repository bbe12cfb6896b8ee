"""Read HDF5 files with one episode, or with one episode in each of several groups at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from adamas.core.errors import UserError, not_installed
from adamas.data.importing.arrays import Arrays, episode
from adamas.data.importing.csgo import csgo, is_csgo
from adamas.data.importing.names import ALIASES, meaning, natural
from adamas.data.importing.source import Selection, Source

MAX_DEPTH = 16
"""Deepest nesting of groups. The limit ends the search in a group that contains itself."""


def hdf5(file: Path, selection: Selection) -> list[Source]:
    """Return the episodes in a file, in natural order of their groups' names.

    An episode is a group that contains actions or frames: the file itself, ``episode_0``, or ``data/demo_0`` with the
    array ``obs/camera`` in it, as robomimic and ManiSkill write it.

    Args:
        file: an HDF5 file.
        selection: what to import.

    Raises:
        UserError: the file cannot be read, or a group is not an episode.
    """
    try:
        with opened_file(file) as content:
            if is_csgo(content):
                own_arrays(file, content)
                return [csgo(file, content, partial(opened_file, file))]
            groups = list(_episodes(file, content, ""))
            if not groups:
                raise UserError(
                    f"{file} has no group with arrays called {' or '.join(ALIASES['action'])}; it has "
                    f"{', '.join(list(content)[:20]) or 'nothing'}"
                )
            episodes = [
                episode(
                    Path(f"{file}:{group}") if group else file,
                    partial(_opened, file, group),
                    own_arrays(file, content[group] if group else content),
                    selection,
                )
                for group in groups
            ]
            return [replace(source, origin=file) for source in episodes]
    except ModuleNotFoundError as error:
        raise not_installed("h5py", "data") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read as an HDF5 file ({error}); restore it") from error


@contextmanager
def opened_file(file: Path) -> Iterator[Any]:
    """Open a file. Raises OSError if it, or a part of it, cannot be read."""
    import h5py

    try:
        with h5py.File(file) as content:
            yield content
    except (RuntimeError, KeyError, ValueError, MemoryError) as error:  # h5py raises these for damaged files
        raise OSError(str(error) or type(error).__name__) from error


@contextmanager
def _opened(file: Path, group: str) -> Iterator[Arrays]:
    with opened_file(file) as content:
        yield own_arrays(file, content[group] if group else content)


def _episodes(file: Path, group: Any, name: str) -> Iterator[str]:
    """Yield the names of the groups that are episodes."""
    parts = {meaning(child, ALIASES) for child in group}
    if "action" in parts or "obs" in parts:
        yield name
        return
    for child, content in _children(file, group, name):
        if hasattr(content, "keys"):
            yield from _episodes(file, content, f"{name}/{child}" if name else child)


def _children(file: Path, group: Any, name: str) -> Iterator[tuple[str, Any]]:
    import h5py

    if name.count("/") > MAX_DEPTH:
        raise UserError(f"{file} has groups nested more than {MAX_DEPTH} deep; export it again")
    for child in sorted(group, key=natural):
        if not isinstance(group.get(child, getlink=True), h5py.HardLink):
            raise UserError(
                f"{file}: {name}/{child} is a link; replace it by a copy of its target (h5repack -m)"
            )
        yield child, group[child]


def own_arrays(file: Path, group: Any, prefix: str = "") -> Arrays:
    """Return all arrays in a group, at any depth, by ``prefix`` and their paths in the group.

    Raises:
        UserError: a part of the group is stored in another file or was never written.
    """
    found: dict[str, Any] = {}
    for child, content in _children(file, group, prefix.rstrip("/")):
        if hasattr(content, "keys"):
            found |= own_arrays(file, content, f"{prefix}{child}/")
        elif hasattr(content, "shape") and content.shape is not None:
            _check_stored(file, content)
            found[prefix + child] = content
    return found


def _check_stored(file: Path, dataset: Any) -> None:
    """Refuse a dataset some of whose values are not in the file.

    Values may be stored in other files, and a file from a stranger must not decide which other files are read. Values
    that were allocated but never written, for example by a recorder that was killed, would be read as zeros.
    """
    import h5py

    settings = dataset.id.get_create_plist()
    layout = settings.get_layout()
    if settings.get_external_count() or layout == h5py.h5d.VIRTUAL:
        raise UserError(
            f"{file}: the values of {dataset.name} are in other files; copy them into this one (h5repack)"
        )
    if not dataset.size:
        return
    if layout == h5py.h5d.CHUNKED:
        chunks = 1
        for length, step in zip(dataset.shape, dataset.chunks, strict=True):
            chunks *= -(-length // step)
        missing = chunks - dataset.id.get_num_chunks()
    else:
        missing = int(layout == h5py.h5d.CONTIGUOUS and dataset.id.get_storage_size() == 0)
    if missing:
        raise UserError(
            f"{file}: parts of {dataset.name} were never written; record it again, or remove the unwritten part"
        )
