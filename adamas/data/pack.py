"""Pack a dataset: compress its frames into a read-only copy, in a folder or in object storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.core.files import sync, write_file
from adamas.data.checksums import extend
from adamas.data.index import INDEX, Index, index_text
from adamas.data.locations import Place, filesystem, reaching
from adamas.data.packed import BLOCKS, FRAMES_PER_BLOCK, PACKED_FRAMES, zstandard
from adamas.data.store import EpisodeStore
from adamas.data.view import FRAMES, ROWS

LEVEL = 7  # compression level of zstd; higher levels take much longer and save little
CHUNK = 64 * FRAMES_PER_BLOCK  # frames read at a time


def pack(store: EpisodeStore, out: Place) -> Iterator[int]:
    """Write ``store`` as a packed dataset to ``out``.

    All frames are verified first. The index is written last, and atomically, so an interrupted copy is never taken for
    a dataset. Its files are removed or, after a kill, overwritten by the next attempt.

    Yields:
        The number of rows written so far, from time to time.

    Raises:
        UserError: ``store`` is damaged, ``out`` holds a dataset already, or files of one, or ``out`` cannot be written.
    """
    files, root = filesystem(out)
    index, frames, blocks, rows = (f"{root}/{name}" for name in (INDEX, PACKED_FRAMES, BLOCKS, ROWS))
    with reaching(out, "write to"):
        if files.exists(index):
            raise UserError(f"{out} is already a dataset; choose another `out`")
        # An interrupted copy has rows only beside packed frames.
        if files.exists(f"{root}/{FRAMES}") or (files.exists(rows) and not files.exists(frames)):
            raise UserError(
                f"{out} holds files of another dataset, whose {INDEX} is missing; choose another `out`"
            )
        for _ in store.verify():
            yield 0
        files.makedirs(root, exist_ok=True)
        try:
            yield from _write(store, files, index, frames, blocks, rows)
        except BaseException:
            # The index first: without it, the other files are no dataset. The packed frames last: see above.
            for name in (index, rows, blocks, frames):
                if files.exists(name):
                    files.rm_file(name)
            raise


def is_packed_copy(store: EpisodeStore, out: Place) -> bool:
    """Whether ``out`` is a packed copy of ``store``; every row and every frame is compared.

    Raises:
        UserError: a frame cannot be read.
    """
    try:
        copy = EpisodeStore.open(out)
    except UserError:  # not a dataset
        return False
    about, other = ((s.obs_shape, s.action_spec, s.game, s.num_rows) for s in (store, copy))
    if about != other or not copy.packed:
        return False
    one, two, order = store.view, copy.view, store.view.order
    if two.rows.tobytes() != one.rows[order].tobytes():
        return False
    chunks = (slice(i, i + CHUNK) for i in range(0, len(order), CHUNK))
    return all((two.frames[two.order[chunk]] == one.frames[order[chunk]]).all() for chunk in chunks)


def _write(store: EpisodeStore, files: Any, index: str, frames: str, blocks: str, rows: str) -> Iterator[int]:
    compressor = zstandard().ZstdCompressor(level=LEVEL, write_checksum=True)
    view = store.view
    starts = [0]
    with files.open(frames, "wb") as file:
        for chunk in range(0, store.num_rows, CHUNK):
            obs = view.frames[view.order[chunk : chunk + CHUNK]]
            for i in range(0, len(obs), FRAMES_PER_BLOCK):
                block = compressor.compress(obs[i : i + FRAMES_PER_BLOCK].tobytes())
                file.write(block)
                starts.append(starts[-1] + len(block))
            yield chunk + len(obs)
    if _is_local(files):
        sync(Path(frames))
    sums: dict[str, list[int]] = {}
    for path, name, entries in (
        (blocks, BLOCKS, np.array(starts, "<i8")),
        (rows, ROWS, view.rows[view.order]),
    ):
        extend(sums.setdefault(name, []), 0, entries.tobytes(), entries.dtype.itemsize)
        _put(files, path, entries.tobytes())
    packed = Index(
        obs_shape=store.obs_shape,
        num_rows=store.num_rows,
        action_spec=store.action_spec,
        packed=True,
        game=store.game,
        checksums=sums,
    )
    _put(files, index, index_text(packed).encode())


def _put(files: Any, path: str, content: bytes) -> None:
    """Write a file atomically. Object storage writes every file atomically."""
    if _is_local(files):
        write_file(Path(path), content)
    else:
        files.pipe_file(path, content)


def _is_local(files: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(files, LocalFileSystem)
