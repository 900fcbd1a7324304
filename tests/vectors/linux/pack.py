"""Packs recorded runs of a Linux guest into the archives beside this file, one per family.

    python tests/vectors/linux/pack.py FOLDER

FOLDER has one sub-folder per run. What desim reads is kept: the three JSON documents and
the kernel traces; of the runs whose packets are compared one by one (``tcp_``) the packets,
too; of those to which costs are fitted (``det_``, ``sizes_``, ``vt_``) when each packet passed, its
direction, length and kind. Lists are packed only once, by the archive. The same recordings
give the same archives: members are sorted and bear no times, owners or modes of their own.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from pathlib import Path

FAMILIES = {
    "det": ("det_",),
    "sizes": ("sizes_",),
    "vt": ("vt_",),
    "ftrace": ("ftrace_",),
    "rt": ("rt_default", "rt_itr0_rx32_rxabs64"),
    "tcp": ("tcp_",),
}
"""Which runs go where, by how their names begin; the rest stays out."""
PACKET_COLUMNS = 4
"""``t_us``, ``dir``, ``len`` and ``kind``."""


def kept(run: Path) -> dict[str, bytes]:
    """The files of a run by their names in the archive."""
    found = {}
    for file in sorted(run.iterdir()):
        name = file.name.removesuffix(".gz")
        wanted = name in ("meta.json", "metrics.json", "samples.json") or ".trace." in name
        if run.name.startswith("tcp_"):
            # The decoded list is complete where there is no table of all.
            table = (run / "packets.csv.gz").exists()
            wanted = wanted or name == ("packets.csv" if table else "packets.json")
        timed = name == "packets.csv" and run.name.startswith(("det_", "sizes_", "vt_"))
        if not (wanted or timed):
            continue
        data = file.read_bytes()
        if name != file.name:
            data = gzip.decompress(data)
        if name.endswith(".json"):
            data = json.dumps(json.loads(data), separators=(",", ":")).encode() + b"\n"
        if timed:
            rows = (line.split(b",")[:PACKET_COLUMNS] for line in data.splitlines())
            data = b"".join(b",".join(row) + b"\n" for row in rows)
        found[name] = data
    return found


def pack(runs: list[Path], archive: Path) -> None:
    """Write the runs to ``archive``."""
    with tarfile.open(archive, "w:xz", format=tarfile.USTAR_FORMAT, preset=9) as out:
        for run in runs:
            for name, data in sorted(kept(run).items()):
                member = tarfile.TarInfo(f"{run.name}/{name}")
                member.size = len(data)
                out.addfile(member, io.BytesIO(data))


def main() -> None:
    """Pack every family."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folders = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir())
    for family, prefixes in FAMILIES.items():
        runs = [folder for folder in folders if folder.name.startswith(prefixes)]
        if runs:
            pack(runs, Path(__file__).parent / f"{family}.tar.xz")


if __name__ == "__main__":
    main()
