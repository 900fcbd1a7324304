"""Packs folders of recordings into the archives beside this file, one per family.

    python tests/vectors/e1000/pack.py FOLDER

FOLDER has one sub-folder per family. The same recordings give the same archives: members
are sorted and bear no times, owners or modes of their own.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path


def pack(family: Path, archive: Path) -> None:
    """Write the recordings in ``family`` to ``archive``, each as compact JSON."""
    with tarfile.open(archive, "w:xz", format=tarfile.USTAR_FORMAT, preset=9) as out:
        for file in sorted(family.glob("*.json")):
            vector = json.loads(file.read_text())
            data = json.dumps(vector, separators=(",", ":"), sort_keys=True).encode() + b"\n"
            member = tarfile.TarInfo(f"{family.name}/{file.name}")
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))


def main() -> None:
    """Pack every sub-folder that holds recordings."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for family in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        if any(family.glob("*.json")):
            pack(family, Path(__file__).parent / f"{family.name}.tar.xz")


if __name__ == "__main__":
    main()
