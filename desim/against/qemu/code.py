"""The bare-metal guest: machine code for one program of the card, and what it leaves in memory.

A program is compiled to straight-line code for a processor of the 386 in flat protected mode: no
loops but those that wait, no decisions. Under ``-icount shift=0`` an instruction takes 1 ns, and
``rdtsc`` tells the virtual time. So each access is preceded by one ``rdtsc``, and its own time is
that plus the number of instructions between them. The processor never halts: QEMU would let time
jump ahead inside a device's timer.

An interrupt is taken between two instructions. Its handler notes time and place (EIP), tells the
controller, and returns; from the place one sees what came first where an interrupt falls between a
``rdtsc`` and its access.
"""

from __future__ import annotations

import struct

from desim.data import NamedTuple

IDT, STACK = 0x0008_0000, 0x0009_0000
LOG, IRQ_LOG = 0x0010_0000, 0x0090_0000
RESUMED = 0x0008_F000
"""How often the monitor has let the machine go on."""
DATA, CODE, MEMORY_SIZE = 0x0280_0000, 0x0300_0000, 0x0400_0000
ROM_SIZE, ROM_BASE = 0x1_0000, 0xFFFF_0000

VECTOR = 0x2B
"""Of IRQ 11, with the second controller's vectors at 0x28."""
IRQ_ENTRY = 12
PUSHES = 2
"""Instructions of the handler before its ``rdtsc``."""
HANDLER = 14
"""Instructions of the handler."""
ACCESS = 5
"""Instructions from ``rdtsc`` to an access of a register, that one included."""
CONFIG_ACCESS = 9
"""The same for configuration space, which takes two ports."""
CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
ROUND = 5
"""Instructions of one round of a pause."""
PANIC_PORT = 0x505
LAP = 1000
"""No-operations in one lap of a wait."""
LAP_NS = LAP + 2


class Noted(NamedTuple):
    """What an operation leaves in the log."""

    at: int
    """Its address there: the time, in 8 bytes, then what was read."""
    size: int
    """Bytes of what was read."""
    begin: int
    """Address of the instruction behind ``rdtsc``."""
    access: int
    """That of the access."""
    end: int
    """That of the instruction behind the operation."""
    steps: int
    """Instructions from ``rdtsc`` to the access; 0: many small ones, from there on."""


class Code:
    """Code in the making, from ``CODE`` on."""

    def __init__(self) -> None:
        self._code = bytearray()
        self._log = LOG
        self.data = bytearray()
        self.handler = self._handler()
        self._laps = self._routine_of_laps()
        self._sled = self._routine_of_nops()
        self.start = self.here
        self._controllers()

    @property
    def here(self) -> int:
        """The address of the next instruction."""
        return CODE + len(self._code)

    def image(self) -> bytes:
        """All of it."""
        return bytes(self._code)

    def _put(self, text: str, *values: int) -> None:
        self._code += bytes.fromhex(text)
        for value in values:
            self._code += struct.pack("<I", value & 0xFFFF_FFFF)

    # -- routines

    def _handler(self) -> int:
        at = self.here
        self._put("50 52 0f31")  # push eax; push edx; rdtsc
        self._put("894500 895504")  # mov [ebp], eax; mov [ebp+4], edx
        self._put("8b442408 894508")  # mov eax, [esp+8]; mov [ebp+8], eax
        self._put("83c50c")  # add ebp, 12
        self._put("b020 e6a0 e620")  # mov al, 0x20; out 0xa0, al; out 0x20, al
        self._put("5a 58 cf")  # pop edx; pop eax; iret
        return at

    def _routine_of_laps(self) -> int:
        at = self.here
        self._put("90" * LAP)
        self._put("49")  # dec ecx
        self._put("0f85", at - (self.here + 6))  # jnz
        self._put("c3")
        return at

    def _routine_of_nops(self) -> int:
        self._put("90" * LAP_NS)
        end = self.here
        self._put("c3")
        return end

    def _call(self, target: int) -> None:
        self._put("e8", target - (self.here + 5))

    def _controllers(self) -> None:
        """Both interrupt controllers: vectors from 0x20 and 0x28 on, IRQ 11 alone let through."""
        self._put(f"bd {struct.pack('<I', IRQ_LOG).hex()}")  # mov ebp
        for port, value in (
            (0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01), (0x21, 0xFB),
            (0xA0, 0x11), (0xA1, 0x28), (0xA1, 0x02), (0xA1, 0x01), (0xA1, 0xF7),
        ):  # fmt: skip
            self._put(f"b0{value:02x} e6{port:02x}")
        self._put("fb")  # sti

    # -- what a program does

    def wait(self, duration_ns: int) -> None:
        """Let about so much time pass."""
        laps, rest = divmod(duration_ns, LAP_NS)
        if laps:
            self._put("b9", laps)
            self._call(self._laps)
        if rest:
            self._call(self._sled - rest)

    def config_write(self, address: int, value: int) -> Noted:
        """A 32-bit write to configuration space."""
        return self._config(address, "b8", value, "ef")  # mov eax; out dx, eax

    def config_read(self, address: int) -> Noted:
        """A 32-bit read."""
        return self._config(address, "90", None, "ed")  # nop; in eax, dx

    def _config(self, address: int, load: str, value: int | None, access: str) -> Noted:
        at, begin = self._stamp()
        self._put("b8", address)
        self._put("ba", CONFIG_ADDRESS)
        self._put("ef")
        self._put(load, *(() if value is None else (value,)))
        self._put("ba", CONFIG_DATA)
        where = self.here
        self._put(access)
        return self._noted(at, begin, where, 4 if value is None else 0, CONFIG_ACCESS)

    def write(self, address: int, value: int, size: int = 4) -> Noted:
        """A write of ``size`` bytes to a device."""
        at, begin = self._stamp()
        self._put("b8", value)
        where = self.here
        self._put({1: "a2", 2: "66a3", 4: "a3"}[size], address)
        return self._noted(at, begin, where, 0, ACCESS)

    def read(self, address: int, size: int = 4) -> Noted:
        """A read of ``size`` bytes of a device."""
        at, begin = self._stamp()
        self._put("31c0")  # xor eax, eax
        where = self.here
        self._put({1: "a0", 2: "66a1", 4: "a1"}[size], address)
        return self._noted(at, begin, where, 4, ACCESS)

    def fill(self, address: int, data: bytes) -> Noted:
        """Put ``data`` into memory."""
        at, begin = self._stamp()
        self._put("57")  # push edi
        self._put("be", DATA + len(self.data))  # mov esi
        self._put("bf", address)  # mov edi
        self._put("b9", len(data))
        self._put("f3a4")  # rep movsb
        self._put("5f")  # pop edi
        self.data += data
        return self._noted(at, begin, begin, 0, 0)

    def dump(self, address: int, size: int) -> Noted:
        """Copy ``size`` bytes of memory, a multiple of 4, to the log."""
        at, begin = self._stamp()
        self._put("be", address)
        self._put("b9", size // 4)
        self._put("f3a5")  # rep movsd
        self._log += size
        return Noted(at, size, begin, begin, self.here, 0)

    def pause(self, number: int) -> Noted:
        """Ask for the monitor, and go round until it has set ``RESUMED`` to ``number``.

        The machine is stopped somewhere in the loop; each round notes the time.
        """
        self._put("b001")
        self._put("ba", PANIC_PORT)
        self._put("ee")
        at, self._log = self._log, self._log + 8
        begin = self.here
        self._put("0f31 8907 895704")  # rdtsc; mov [edi], eax; mov [edi+4], edx
        self._put("803d", RESUMED)
        self._put(f"{number & 0xFF:02x} 75{(begin - (self.here + 3)) & 0xFF:02x}")  # cmp; jne
        self._put("83c708")  # add edi, 8
        return Noted(at, 0, begin, begin, self.here, 0)

    def end(self) -> None:
        """Tell the monitor, and go round until QEMU is ended."""
        self._put("fa b001")
        self._put("ba", PANIC_PORT)
        self._put("ee ebfe")

    def _stamp(self) -> tuple[int, int]:
        at, self._log = self._log, self._log + 8
        self._put("0f31")
        begin = self.here
        self._put("8907 895704 83c708")  # mov [edi], eax; mov [edi+4], edx; add edi, 8
        return at, begin

    def _noted(self, at: int, begin: int, access: int, size: int, steps: int) -> Noted:
        if size:
            self._put("ab")  # stosd
            self._log += size
        return Noted(at, size, begin, access, self.here, steps)


def idt(handler: int) -> bytes:
    """The table of interrupts up to ``VECTOR``."""
    gate = struct.pack("<HHBBH", handler & 0xFFFF, 0x08, 0, 0x8E, handler >> 16)
    return bytes(8 * VECTOR) + gate


def rom(start: int) -> bytes:
    """What the processor begins with, in place of a BIOS: into protected mode, and to ``start``."""
    image = bytearray(ROM_SIZE)

    def put(at: int, text: str, *values: int) -> int:
        code = bytes.fromhex(text) + b"".join(struct.pack("<I", value) for value in values)
        image[at : at + len(code)] = code
        return at + len(code)

    # 16 bits: lgdt; CR0.PE; far jump
    at = put(0x000, "fa 2e660f01160003 0f20c0 0c01 0f22c0 66ea", ROM_BASE + 0x100)
    put(at, "0800")
    # 32 bits: segments, stack, lidt, the log's address, and there
    at = put(0x100, "66b81000 8ed8 8ec0 8ed0 bc", STACK)
    at = put(at, "0f011d", ROM_BASE + 0x310)
    at = put(at, "fc bf", LOG)
    at = put(at, "b8", start)
    put(at, "ffe0")
    put(0x200, "0000000000000000 ffff0000009bcf00 ffff00000093cf00")
    put(0x300, "1700", ROM_BASE + 0x200)
    put(0x310, f"{8 * (VECTOR + 1) - 1:04x}"[2:] + f"{8 * (VECTOR + 1) - 1:04x}"[:2], IDT)
    put(0xFFF0, f"e9{struct.pack('<H', (0 - 0xFFF3) & 0xFFFF).hex()}")
    return bytes(image)
