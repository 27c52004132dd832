"""How small a file becomes when it is compressed: what single weights that are zero are for.

The codec is DEFLATE at the level that gzip and ZIP take unless they are told otherwise: the standard library has it,
and what a download or a package of a model goes through is that or better.
"""

from __future__ import annotations

import zlib
from pathlib import Path

CODEC = "DEFLATE (zlib), level 6"
_LEVEL, _CHUNK = 6, 1 << 20


def compressed_bytes(path: Path) -> int:
    """Return the bytes of a file after compression; it is read in pieces, and nothing is written."""
    packer, size = zlib.compressobj(_LEVEL), 0
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            size += len(packer.compress(piece))
    return size + len(packer.flush())
