"""Packing a dataset: compressing its frames, for good, into a folder or object storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from adamas.core.errors import UserError
from adamas.data.collate import ROWS
from adamas.data.index import INDEX, Index, index_text
from adamas.data.packed import BLOCK, BLOCKS, PACKED_FRAMES, zstandard
from adamas.data.places import Place, filesystem, reaching
from adamas.data.store import EpisodeStore

LEVEL = 7  # of zstd: higher ones take much longer for a little more
CHUNK = 64 * BLOCK  # frames that are read at a time


def pack(store: EpisodeStore, out: Place) -> Iterator[int]:
    """Write ``store`` as a packed dataset to ``out``, and tell how many rows are done, now and then.

    The index comes last: what was interrupted is no dataset, and what it wrote is removed, or overwritten next time.

    Raises:
        UserError: ``out`` is in use or cannot be written.
    """
    files, root = filesystem(out)
    names = [f"{root}/{name}" for name in (PACKED_FRAMES, BLOCKS, ROWS, INDEX)]
    with reaching(out, "write to"):
        if files.exists(names[-1]):
            raise UserError(f"{out} is a dataset already; choose another --out")
        files.makedirs(root, exist_ok=True)
        try:
            yield from _write(store, files, *names)
        except BaseException:
            for name in names:
                if files.exists(name):
                    files.rm_file(name)
            raise


def _write(store: EpisodeStore, files: Any, frames: str, blocks: str, rows: str, index: str) -> Iterator[int]:
    compressor = zstandard().ZstdCompressor(level=LEVEL, write_checksum=True)
    view = store.view
    starts = [0]
    with files.open(frames, "wb") as file:
        for chunk in range(0, store.num_rows, CHUNK):
            obs = view.frames[view.order[chunk : chunk + CHUNK]]
            for i in range(0, len(obs), BLOCK):
                block = compressor.compress(obs[i : i + BLOCK].tobytes())
                file.write(block)
                starts.append(starts[-1] + len(block))
            yield chunk + len(obs)
    files.pipe_file(blocks, np.array(starts, "<i8").tobytes())
    files.pipe_file(rows, view.rows[view.order].tobytes())
    text = index_text(Index(store.obs_shape, store.num_rows, store.action_spec, packed=True, game=store.game))
    files.pipe_file(index, text.encode())
