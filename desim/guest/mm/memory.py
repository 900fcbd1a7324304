"""The guest's physical memory, and a small allocator for what its driver shares with the card.

Models: RAM as a PCI device reaches it by DMA (QEMU ``pci_dma_read``/``_write``),
and, as far as a driver sees them, the kernel's slab and page allocators.

Theory of operation
-------------------
Memory is sparse: a page of 64 KiB comes into being at its first write, what was
never written reads as zeros, and beyond the end reads give zeros and writes
disappear, as on the bus.

Beside the bytes it keeps the :class:`Frame` that they came from. ``write_frame``
notes it, any later write that touches one of its bytes forgets it, and
``frame_at`` gives it back for exactly the bytes that were written. So a frame
crosses the card without being copied out and parsed again, and a reader can
never get a Frame that differs from the bytes in memory. Notes are found by
blocks of 2 KiB: a write into a block without notes, which every descriptor
write is, pays one dictionary look-up.

The allocator hands out blocks of powers of two, aligned to their size, from the
first megabyte on upwards; freed blocks are used again, last freed first. No
block crosses a 64 KiB boundary unless it is larger than that (errata 23 of the
82545 asks for it).

What driver and card share for long, their rings, the driver can have *mapped*
(``dma_alloc_coherent``): it reads and writes the bytes where they lie. No frame is
remembered there.

NOTE: the ways that every frame takes (one block, one page, one note) are written out
(15 calls a frame instead of 39).

Not modelled: caches, IOMMU, several zones, fragmentation.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.wire.frame import Frame

_PAGE_BITS = 16
_PAGE = 1 << _PAGE_BITS
_PAGE_MASK = _PAGE - 1
_BLOCK_BITS = 11
_SMALLEST = 32

HEAP = 0x100000
"""Where allocation starts: what is below belongs to the firmware."""

_Note = tuple[int, int, Frame]
"""Start, end and origin of bytes that are exactly one frame."""


class Memory:
    """``size`` bytes of physical memory.

    Invariant: a note is listed in every block that its bytes lie in, and no byte
    belongs to two notes, nor to a note and a mapping.
    """

    __slots__ = (
        "_allocated",
        "_brk",
        "_free",
        "_mapped",
        "_notes",
        "_pages",
        "_sizes",
        "_taken",
        "_views",
        "size",
    )

    def __init__(self, size: int, *, taken: Callable[[int], object] | None = None) -> None:
        """``taken`` is told the number of each frame that ``frame_at`` finds."""
        if size <= HEAP:
            raise ValueError(f"memory size {size}: must be more than {HEAP} bytes")
        self.size = size
        self._taken = taken
        self._pages: dict[int, bytearray] = {}
        self._views: dict[int, memoryview] = {}
        self._notes: dict[int, list[_Note]] = {}
        self._mapped: set[int] = set()
        self._brk = HEAP
        self._sizes: dict[tuple[int, int], int] = {}
        self._free: dict[int, list[int]] = {}
        self._allocated: dict[int, int] = {}

    def read(self, address: int, size: int) -> bytes:
        """The ``size`` bytes at ``address``; zeros where nothing is."""
        offset = address & _PAGE_MASK
        end = offset + size
        if end <= _PAGE:
            try:
                return bytes(self._views[address >> _PAGE_BITS][offset:end])
            except KeyError:
                return bytes(size)
        first = _PAGE - offset
        return self.read(address, first) + self.read(address + first, size - first)

    def write(self, address: int, data: bytes) -> None:
        """Put ``data`` at ``address``, and forget every frame that it touches."""
        size = len(data)
        block = address >> _BLOCK_BITS
        if size and (address + size - 1) >> _BLOCK_BITS == block and address + size <= self.size:
            if block in self._notes:
                self._forget(block, address, address + size)
            try:
                page = self._pages[address >> _PAGE_BITS]
            except KeyError:
                page = self._new_page(address >> _PAGE_BITS)
            offset = address & _PAGE_MASK
            page[offset : offset + size] = data
        elif size:
            for touched in range(block, ((address + size - 1) >> _BLOCK_BITS) + 1):
                if touched in self._notes:
                    self._forget(touched, address, address + size)
            self._write_in_pieces(address, data)

    def write_frame(self, address: int, data: bytes, frame: Frame) -> None:
        """Write ``data``, all bytes of ``frame``, and remember where they came from."""
        size = len(data)
        end = address + size
        block = address >> _BLOCK_BITS
        if not size or end > self.size:
            self.write(address, data)
        elif (end - 1) >> _BLOCK_BITS == block:
            if block not in self._mapped:
                notes = self._notes
                if block not in notes:
                    notes[block] = [(address, end, frame)]
                else:
                    held = notes[block]
                    first = held[0]
                    if first[0] == address and first[1] <= end and first is held[-1]:
                        held[0] = (address, end, frame)
                    else:
                        self._forget(block, address, end)
                        notes.setdefault(block, []).append((address, end, frame))
            try:
                page = self._pages[address >> _PAGE_BITS]
            except KeyError:
                page = self._new_page(address >> _PAGE_BITS)
            offset = address & _PAGE_MASK
            page[offset : offset + size] = data
        else:
            self.write(address, data)
            note = (address, end, frame)
            blocks = range(block, ((end - 1) >> _BLOCK_BITS) + 1)
            if self._mapped.isdisjoint(blocks):
                for block in blocks:
                    self._notes.setdefault(block, []).append(note)

    def frame_at(self, address: int, size: int) -> Frame | None:
        """The Frame whose bytes are exactly these ``size``, untouched since, or None."""
        try:
            notes = self._notes[address >> _BLOCK_BITS]
        except KeyError:
            return None
        for start, end, frame in notes:
            if start == address and end == address + size:
                if self._taken is not None:
                    self._taken(frame.number)
                return frame
        return None

    def map(self, address: int, size: int) -> memoryview:
        """The ``size`` bytes at ``address``, all of one page, as whoever allocated them sees
        them: to be read and written in place, until ``unmap``."""
        assert (address ^ (address + size - 1)) >> _PAGE_BITS == 0, "a mapping is of one page"
        assert address + size <= self.size, "a mapping ends with the memory"
        for block in range(address >> _BLOCK_BITS, ((address + size - 1) >> _BLOCK_BITS) + 1):
            if block in self._notes:
                self._forget(block, block << _BLOCK_BITS, (block + 1) << _BLOCK_BITS)
            self._mapped.add(block)
        number = address >> _PAGE_BITS
        if number not in self._views:
            self._new_page(number)
        offset = address & _PAGE_MASK
        return self._views[number][offset : offset + size]

    def unmap(self, address: int, size: int) -> None:
        """What ``map`` gave is not used any more."""
        for block in range(address >> _BLOCK_BITS, ((address + size - 1) >> _BLOCK_BITS) + 1):
            self._mapped.discard(block)

    def alloc(self, size: int, *, align: int = 1) -> int:
        """The address of ``size`` fresh bytes, 0 when there are none left (as ``kmalloc``).

        ``align`` is a power of two. Contents are whatever was there before.
        """
        try:
            block = self._sizes[size, align]
        except KeyError:
            block = self._sizes[size, align] = _block_size(size, align)
            self._free.setdefault(block, [])
        free = self._free[block]
        if free:
            address = free.pop()
        else:
            address = (self._brk + block - 1) & -block
            if address + block > self.size:
                return 0
            self._brk = address + block
        self._allocated[address] = block
        return address

    def free(self, address: int) -> None:
        """Give back what ``alloc`` returned."""
        try:
            block = self._allocated[address]
        except KeyError:
            raise ValueError(f"free({address:#x}): nothing is allocated there") from None
        del self._allocated[address]
        self._free[block].append(address)

    @property
    def allocated(self) -> int:
        """Bytes handed out and not given back."""
        return sum(self._allocated.values())

    def _new_page(self, number: int) -> bytearray:
        page = self._pages[number] = bytearray(_PAGE)
        self._views[number] = memoryview(page)
        return page

    def _write_in_pieces(self, address: int, data: bytes) -> None:
        data = data[: max(0, self.size - address)]
        while data:
            offset = address & _PAGE_MASK
            piece = data[: _PAGE - offset]
            number = address >> _PAGE_BITS
            page = self._pages.get(number)
            if page is None:
                page = self._new_page(number)
            page[offset : offset + len(piece)] = piece
            address += len(piece)
            data = data[len(piece) :]

    def _forget(self, block: int, start: int, end: int) -> None:
        """Drop the notes of ``block`` that overlap ``start``..``end``, from all their blocks."""
        for note in [n for n in self._notes[block] if n[0] < end and start < n[1]]:
            for other in range(note[0] >> _BLOCK_BITS, ((note[1] - 1) >> _BLOCK_BITS) + 1):
                left = self._notes[other]
                left.remove(note)
                if not left:
                    del self._notes[other]


def _block_size(size: int, align: int) -> int:
    """Bytes of the block that ``alloc`` takes."""
    if size <= 0 or align <= 0 or align & (align - 1):
        raise ValueError(f"alloc({size}, align={align}): needs size > 0 and a power of two")
    return max(_SMALLEST, align, 1 << (size - 1).bit_length())
