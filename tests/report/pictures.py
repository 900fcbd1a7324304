"""Pictures of the page as a browser shows it: committed ones, and how alike two are.

A PNG here has a palette and half the size, which is enough to look at, and small. Two are compared
by the mean colours of small squares: fonts differ from machine to machine, and so do the edges of
letters, but not where a bar is.

Run as a program, with Chromium installed, this writes ``tests/report/pictures`` anew. Then look at
them.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import browser
import numpy as np
from numpy.typing import NDArray
from runs import shipped_run

from desim.report.page.run import page

Pixels = NDArray[np.uint8]
"""Rows of pixels of three bytes."""

FOLDER = Path(__file__).with_name("pictures")
README = Path(__file__).parents[2] / "docs" / "_static" / "report.png"
"""Two of the pictures, for the first page that people read."""
SCENARIO = "hello"
PARTS = ("waterfall", "timeline", "ladder")
LOOKS = [(width, dark) for width in (390, 1280) for dark in (False, True)]
HALF = 0.5
SQUARE = 8
"""Pixels of the side of a square whose mean colour is compared."""
FAR = 40
"""Mean colours that are so far apart (of 255) are different."""
MOST = 0.1
"""The part of all squares with something in them that may be different."""

COLOURS = 256
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def name_of(width: int, dark: bool) -> str:
    """The file of one look."""
    return f"{SCENARIO}-{width}-{'dark' if dark else 'light'}.png"


def taken(opened: browser.Browser, path: Path) -> Iterator[tuple[str, Pixels]]:
    """All looks: of each its pictures, one below the other, in half their size."""
    for width, dark in LOOKS:
        shown = opened.page(path, width, dark=dark)
        parts = [decode(shown.picture(f"#{part} .picture", HALF)) for part in PARTS]
        widest = max(part.shape[1] for part in parts)
        ground = parts[0][-1, -1]
        rows = []
        for part in parts:
            made = np.empty((part.shape[0], widest, 3), np.uint8)
            made[:] = ground
            made[:, : part.shape[1]] = part
            rows.append(made)
        yield name_of(width, dark), np.concatenate(rows)


def difference(one: Pixels, other: Pixels) -> float:
    """The part of all squares with something in them that are different; 1 if the sizes are."""
    if abs(one.shape[0] - other.shape[0]) > 2 or abs(one.shape[1] - other.shape[1]) > 2:
        return 1.0
    ours, theirs = _squares(one), _squares(other)
    far = np.abs(ours - theirs).max(axis=2) > FAR
    ground = np.median(theirs.reshape(-1, 3), axis=0)
    drawn = np.abs(theirs - ground).max(axis=2) > FAR / 2
    return float(far.sum() / (drawn | far).sum())


def _squares(pixels: Pixels) -> NDArray[np.float64]:
    height, width = pixels.shape[0] // SQUARE, pixels.shape[1] // SQUARE
    cut = pixels[: height * SQUARE, : width * SQUARE]
    return cut.reshape(height, SQUARE, width, SQUARE, 3).mean(axis=(1, 3))


# --- PNG


def decode(data: bytes) -> Pixels:
    """A PNG of 8 bits, with a palette or three or four bytes a pixel, not interlaced."""
    assert data.startswith(_SIGNATURE)
    chunks = dict[bytes, bytes]()
    at = len(_SIGNATURE)
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        chunks[kind] = chunks.get(kind, b"") + data[at + 8 : at + 8 + size]
        at += 12 + size
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (bits, interlaced) == (8, 0)
    channels = {2: 3, 3: 1, 6: 4}[colour]
    raw = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8)
    lines = raw.reshape(height, 1 + width * channels)
    pixels = _unfiltered(lines, channels).reshape(height, width, channels)
    if colour == 3:
        palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
        return palette[pixels[:, :, 0]]
    return pixels[:, :, :3]


def _unfiltered(lines: Pixels, channels: int) -> Pixels:
    above = np.zeros(lines.shape[1] - 1, np.int64)
    found = []
    for line in lines:
        kind, row = int(line[0]), line[1:].astype(np.int64)
        if kind == 2:
            row = row + above
        elif kind in (1, 3, 4):
            row = _sideways(kind, row, above, channels)
        above = row & 255
        found.append(above)
    return np.array(found).astype(np.uint8)


def _sideways(
    kind: int, row: NDArray[np.int64], above: NDArray[np.int64], channels: int
) -> NDArray[np.int64]:
    line, up = row.tolist(), above.tolist()
    for n in range(len(line)):
        left = line[n - channels] if n >= channels else 0
        corner = up[n - channels] if n >= channels else 0
        if kind == 1:
            more = left
        elif kind == 3:
            more = (left + up[n]) // 2
        else:
            guess = left + up[n] - corner
            near = [abs(guess - left), abs(guess - up[n]), abs(guess - corner)]
            more = (left, up[n], corner)[near.index(min(near))]
        line[n] = (line[n] + more) & 255
    return np.array(line)


def encode(pixels: Pixels) -> bytes:
    """A PNG with the 256 colours that are there most; others become the nearest of them."""
    height, width, _ = pixels.shape
    flat = pixels.reshape(-1, 3).astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    colours, place, counts = np.unique(flat, return_inverse=True, return_counts=True)
    kept = np.sort(colours[np.argsort(-counts, kind="stable")[:COLOURS]])
    palette, all_of_them = (np.stack([c >> 16, c >> 8 & 255, c & 255], 1) for c in (kept, colours))
    nearest = [int(((palette - one) ** 2).sum(axis=1).argmin()) for one in all_of_them]
    numbers = np.array(nearest, np.uint8)[place].reshape(height, width)
    lines = b"".join(b"\0" + line.tobytes() for line in numbers)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    table = palette.astype(np.uint8).tobytes()
    chunks = [(b"IHDR", head), (b"PLTE", table), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def main() -> None:
    """Write the folder."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser.opened() as opened:
        path = Path(folder, "page.html")
        path.write_text(page(shipped_run(SCENARIO)), encoding="utf-8")
        for name, pixels in taken(opened, path):
            (FOLDER / name).write_bytes(encode(pixels))
        shown = opened.page(path, 900)
        parts = [decode(shown.picture(f"#{part} .picture")) for part in PARTS[:2]]
        README.write_bytes(encode(np.concatenate(parts)))


if __name__ == "__main__":
    main()
