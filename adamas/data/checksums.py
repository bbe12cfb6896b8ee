"""Checksums of a dataset's files, which detect damage that no other check finds.

A file is an array of entries: frames, rows, or offsets of packed blocks. Every block of :data:`ENTRIES_PER_CHECKSUM`
entries has one CRC-32. The checksum of the last block, which may still grow, covers its entries so far. So appending
hashes only the new entries, and a reader can say which rows are damaged.

CRC-32 detects every flipped bit and every burst of up to 32 bits. It can be continued from its last value, which the
index stores, and takes half the time of SHA-256 (1 GB per second on one core). It does not protect against deliberate
changes. A cryptographic hash beside the file would not either, since an attacker could replace both.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from adamas.core.errors import UserError
from adamas.data.locations import Place

ENTRIES_PER_CHECKSUM = 1024  # part of the file format

Checksums = Mapping[str, list[int]]  # file name -> the checksum of each of its blocks


def extend(sums: list[int], count: int, data: bytes, size: int) -> None:
    """Update the checksums of ``count`` entries with ``data``, which holds further entries of ``size`` bytes each."""
    rest = memoryview(data)
    while rest:
        inside = count % ENTRIES_PER_CHECKSUM
        part = rest[: (ENTRIES_PER_CHECKSUM - inside) * size]
        if inside:
            sums[-1] = zlib.crc32(part, sums[-1])
        else:
            sums.append(zlib.crc32(part))
        count += len(part) // size
        rest = rest[len(part) :]


def num_blocks(count: int) -> int:
    """Number of checksums for ``count`` entries."""
    return -(-count // ENTRIES_PER_CHECKSUM)


def verify(path: Place, sums: Sequence[int], entries: np.ndarray, first: int = 0) -> Iterator[int]:
    """Compare the entries of a file with its checksums, block by block.

    Args:
        path: the file, for error messages.
        sums: the checksums of all blocks in ``entries``.
        entries: the entries to check.
        first: number of the first of these entries within the file.

    Yields:
        The number of entries checked so far, after each block.

    Raises:
        UserError: an entry has changed since it was written.
    """
    if len(sums) != num_blocks(len(entries)):
        raise UserError(
            f"{path} has {num_blocks(len(entries))} blocks, but its index {len(sums)} checksums; restore the folder "
            "from a copy"
        )
    for start, expected in zip(range(0, len(entries), ENTRIES_PER_CHECKSUM), sums, strict=True):
        block = np.ascontiguousarray(entries[start : start + ENTRIES_PER_CHECKSUM])
        if zlib.crc32(block.data) != expected:
            last = first + start + len(block) - 1
            raise UserError(
                f"{path}, rows {first + start} to {last}: damaged, their checksum does not match; "
                "restore the folder from a copy"
            )
        yield start + len(block)
