"""Puts a function of ours in place of one that a loaded library imports.

The recordings know host programs that take only so many bytes (``host_accept_bytes``). A
kernel's socket buffers cannot be set that exactly, so ``send`` as the library calls it is
made to say EAGAIN. Its entry in the library's own table of imported functions is changed;
nobody else's ``send`` is.

How the table is found is the ELF gABI's chapter on dynamic linking: ``dlopen`` gives a
``struct link_map``, that leads to the dynamic section, and that to the relocations of
imported functions. For 64-bit machines with addends (x86-64, aarch64) under glibc.
"""

from __future__ import annotations

import ctypes as c
import mmap
from collections.abc import Iterator

DT_PLTRELSZ, DT_STRTAB, DT_SYMTAB, DT_JMPREL = 2, 5, 6, 23
PROT_READ, PROT_WRITE = 1, 2


class LinkMap(c.Structure):
    """The public part of ``struct link_map`` (link.h)."""

    _fields_ = [("l_addr", c.c_uint64), ("l_name", c.c_char_p), ("l_ld", c.c_uint64)]


class Dyn(c.Structure):
    """``Elf64_Dyn``."""

    _fields_ = [("tag", c.c_int64), ("value", c.c_uint64)]


class Rela(c.Structure):
    """``Elf64_Rela``."""

    _fields_ = [("offset", c.c_uint64), ("info", c.c_uint64), ("addend", c.c_int64)]


class Sym(c.Structure):
    """``Elf64_Sym``."""

    _fields_ = [
        ("name", c.c_uint32),
        ("info", c.c_uint8),
        ("other", c.c_uint8),
        ("shndx", c.c_uint16),
        ("value", c.c_uint64),
        ("size", c.c_uint64),
    ]


def interpose(library: c.CDLL, name: str, function: c._FuncPointer) -> None:
    """Calls of ``library`` to ``name`` go to ``function``; the caller keeps it alive.

    Raises ``LookupError`` if the library imports no such function.
    """
    slot = _slot(LinkMap.from_address(library._handle), name.encode())
    page = slot & ~(mmap.PAGESIZE - 1)
    libc = c.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [c.c_void_p, c.c_size_t, c.c_int]
    if libc.mprotect(page, mmap.PAGESIZE, PROT_READ | PROT_WRITE):
        raise OSError(c.get_errno(), f"the table that {name} is in cannot be written")
    address = c.cast(function, c.c_void_p).value
    assert address is not None
    c.c_uint64.from_address(slot).value = address


def _slot(loaded: LinkMap, name: bytes) -> int:
    """Where the address of the imported function is kept."""
    section = dict(_dynamic(loaded.l_ld))
    strings, symbols, table = section[DT_STRTAB], section[DT_SYMTAB], section[DT_JMPREL]
    for at in range(table, table + section[DT_PLTRELSZ], c.sizeof(Rela)):
        entry = Rela.from_address(at)
        symbol = Sym.from_address(symbols + (entry.info >> 32) * c.sizeof(Sym))
        if c.string_at(strings + symbol.name) == name:
            return int(loaded.l_addr + entry.offset)
    raise LookupError(f"the library imports no {name.decode()}")


def _dynamic(at: int) -> Iterator[tuple[int, int]]:
    while (entry := Dyn.from_address(at)).tag:
        yield entry.tag, entry.value
        at += c.sizeof(Dyn)
