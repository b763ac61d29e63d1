#!/usr/bin/env python3
"""Cuts the subset of Fashion-MNIST that lies beside this script out of the whole data set.

The whole set is read from the folder given as the only argument; Debian and Ubuntu install it with the package
`dataset-fashion-mnist` in /usr/share/datasets/fashion-mnist. The first images of each part are taken, in order.
"""

import gzip
import struct
import sys
from pathlib import Path

PARTS = [("train", "train", 2000), ("t10k", "val", 1000)]


def cut(source: Path, target: Path, count: int, axes: int) -> None:
    data = gzip.decompress(source.read_bytes())
    header = 4 + 4 * axes
    sizes = struct.unpack(f">{axes}I", data[4:header])
    item = (len(data) - header) // sizes[0]
    head = data[:4] + struct.pack(f">{axes}I", count, *sizes[1:])
    target.write_bytes(gzip.compress(head + data[header : header + count * item], 9, mtime=0))


def main() -> None:
    whole, here = Path(sys.argv[1]), Path(__file__).parent
    for prefix, folder, count in PARTS:
        (here / folder).mkdir(exist_ok=True)
        for what, axes in [("images-idx3", 3), ("labels-idx1", 1)]:
            name = f"{prefix}-{what}-ubyte.gz"
            cut(whole / name, here / folder / name, count, axes)


if __name__ == "__main__":
    main()
