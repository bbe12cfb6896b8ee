"""Checksums of a dataset's files, by which damage is noticed that every other check would pass.

A file is an array of entries: frames, rows, or places of packed blocks. Every :data:`BLOCK` entries have one CRC-32,
and the last block, which may still grow, has one of what is in it so far. So adding entries hashes these alone, and a
reader can tell which rows are damaged.

CRC-32, because it finds every flipped bit and every burst of up to 32 bits, goes on from its last value, which an index
can keep, and takes half the time of SHA-256 (1 GB a second on one core). It is no protection against people who change
a file on purpose; neither is a hash that lies beside the file, which they would change as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from adamas.core.errors import UserError
from adamas.data.locations import Place

BLOCK = 1024  # entries: part of the format

Checksums = Mapping[str, list[int]]  # by the name of the file, a number for each of its blocks


def extend(sums: list[int], count: int, data: bytes, size: int) -> None:
    """Bring the checksums of ``count`` entries up to date with ``data``, further entries of ``size`` bytes each."""
    rest = memoryview(data)
    while rest:
        inside = count % BLOCK
        part = rest[: (BLOCK - inside) * size]
        if inside:
            sums[-1] = zlib.crc32(part, sums[-1])
        else:
            sums.append(zlib.crc32(part))
        count += len(part) // size
        rest = rest[len(part) :]


def num_blocks(count: int) -> int:
    """How many checksums ``count`` entries have."""
    return -(-count // BLOCK)


def verify(path: Place, sums: Sequence[int], entries: np.ndarray, first: int = 0) -> Iterator[int]:
    """Compare the entries of a file with its checksums, and tell how many are done, block by block.

    Args:
        path: the file, to be named in errors.
        sums: the checksums.
        entries: what they belong to.
        first: number of the first of these entries within the file.

    Raises:
        UserError: some have changed since they were written.
    """
    if len(sums) != num_blocks(len(entries)):
        raise UserError(f"{path} and its checksums do not belong together; restore the folder from a copy")
    for start, expected in zip(range(0, len(entries), BLOCK), sums, strict=True):
        block = np.ascontiguousarray(entries[start : start + BLOCK])
        if zlib.crc32(block.data) != expected:
            last = first + start + len(block) - 1
            raise UserError(
                f"{path}, rows {first + start} to {last}: damaged, their checksum is another one; "
                "restore the folder from a copy"
            )
        yield start + len(block)
