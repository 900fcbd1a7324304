"""DNS messages (RFC 1035 section 4), names as text in the form of its section 5.1.

A name is ``str`` without the dot at its end; "" is the root. A dot or backslash
inside a label is written ``\\.`` or ``\\\\``, a byte that is no printable ASCII
``\\DDD``. Pointers (section 4.1.4) are followed on reading, in owner names and
in the data of those types that may hold them; on writing, owner names point
back to an equal name or suffix written before, as servers do.

Not modelled: EDNS, signatures, anything over TCP; records of other types travel
as bytes.
"""

from __future__ import annotations

import re
import struct

from desim.data import Data, field
from desim.wire.errors import WireError

PORT = 53
HEADER_LEN = 12

TYPE_A = 1
TYPE_NS = 2
TYPE_CNAME = 5
TYPE_SOA = 6
TYPE_PTR = 12
TYPE_MX = 15
TYPE_TXT = 16
TYPE_AAAA = 28
CLASS_IN = 1

# Bits of the header's second word.
QR = 0x8000
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080

NOERROR = 0
FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
NOTIMP = 4
REFUSED = 5

MAX_NAME = 255
MAX_LABEL = 63
MAX_POINTERS = 127
"""As many as a name can have labels; keeps a hostile message from costing more."""

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")

# Types whose data holds names: bytes in front of them, how many there are.
_NAMES_IN = {
    TYPE_NS: (0, 1),
    TYPE_CNAME: (0, 1),
    TYPE_SOA: (0, 2),
    TYPE_PTR: (0, 1),
    TYPE_MX: (2, 1),
}

_ESCAPE = r"(?s)\\([0-9]{3})|\\(.)|(.)"


def encode_name(name: str) -> bytes:
    """The labels of ``name``, without compression."""
    return b"".join(bytes((len(label),)) + label for label in _labels(name)) + b"\0"


def _labels(name: str) -> list[bytes]:
    labels = [bytearray()]
    for match in re.finditer(_ESCAPE, name):
        number, escaped, plain = match.groups()
        code = int(number) if number else ord(escaped or plain)
        if code > (255 if number else 127) or plain == "\\":
            raise WireError(f"DNS: {match[0]!r} in name {name!r}; expected ASCII or \\DDD")
        if plain == ".":
            labels.append(bytearray())
        else:
            labels[-1].append(code)
    if name in ("", "."):
        return []
    if not labels[-1]:
        labels.pop()
    if any(not 0 < len(label) <= MAX_LABEL for label in labels):
        raise WireError(f"DNS: name {name!r}; labels have 1 to {MAX_LABEL} bytes")
    if sum(map(len, labels)) + len(labels) + 1 > MAX_NAME:
        raise WireError(f"DNS: name {name!r} is longer than {MAX_NAME} bytes")
    return [bytes(label) for label in labels]


def _label_text(label: bytes) -> str:
    out = []
    for code in label:
        if code in b".\\":
            out.append("\\" + chr(code))
        elif 0x21 <= code <= 0x7E:
            out.append(chr(code))
        else:
            out.append(f"\\{code:03d}")
    return "".join(out)


def read_name(data: bytes, at: int) -> tuple[str, int]:
    """The name at ``data[at]`` and the position behind it."""
    labels: list[str] = []
    size = 1
    behind = 0
    pointers = 0
    while True:
        if at >= len(data):
            raise WireError("DNS: a name runs past the end of the message")
        count = data[at]
        if count >= 0xC0:
            if at + 1 >= len(data):
                raise WireError("DNS: a pointer runs past the end of the message")
            target = (count & 0x3F) << 8 | data[at + 1]
            # Labels and pointers that go round and round end at one of the two limits.
            if target >= at:
                raise WireError(f"DNS: the pointer at {at} does not point back ({target})")
            pointers += 1
            if pointers > MAX_POINTERS:
                raise WireError(f"DNS: a name has more than {MAX_POINTERS} pointers")
            behind = behind or at + 2
            at = target
            continue
        if count > MAX_LABEL:
            raise WireError(f"DNS: label type {count >> 6}; expected a label or a pointer")
        if count == 0:
            return ".".join(labels), behind or at + 1
        size += count + 1
        if size > MAX_NAME:
            raise WireError(f"DNS: a name is longer than {MAX_NAME} bytes")
        if at + 1 + count > len(data):
            raise WireError("DNS: a label runs past the end of the message")
        labels.append(_label_text(data[at + 1 : at + 1 + count]))
        at += 1 + count


class Question(Data):
    """What is asked."""

    name: str
    qtype: int = TYPE_A
    qclass: int = CLASS_IN


class Record(Data):
    """One resource record; names inside ``rdata`` are not compressed."""

    name: str
    rtype: int
    rdata: bytes
    ttl: int = 0
    rclass: int = CLASS_IN


class Dns(Data):
    """One message. ``flags`` is the header's second word, response code included."""

    ident: int
    flags: int = RD
    questions: list[Question] = field(default_factory=list)
    answers: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)

    @classmethod
    def parse(cls, data: bytes) -> Dns:
        """Read the payload of a UDP datagram."""
        if len(data) < HEADER_LEN:
            raise WireError(f"DNS: {len(data)} bytes; the header alone has {HEADER_LEN}")
        ident, flags, questions, *counts = _HEADER.unpack_from(data)
        message = cls(ident, flags)
        at = HEADER_LEN
        for _ in range(questions):
            name, at = read_name(data, at)
            if at + _QUESTION.size > len(data):
                raise WireError("DNS: a question runs past the end of the message")
            message.questions.append(Question(name, *_QUESTION.unpack_from(data, at)))
            at += _QUESTION.size
        sections = (message.answers, message.authority, message.additional)
        for section, count in zip(sections, counts, strict=True):
            for _ in range(count):
                record, at = _read_record(data, at)
                section.append(record)
        return message

    @property
    def rcode(self) -> int:
        """The response code."""
        return self.flags & 0xF

    def emit(self) -> bytes:
        """The bytes of the message."""
        records = (self.answers, self.authority, self.additional)
        seen: dict[tuple[bytes, ...], int] = {}
        try:
            out = bytearray(
                _HEADER.pack(self.ident, self.flags, len(self.questions), *map(len, records))
            )
            for question in self.questions:
                _write_name(out, question.name, seen)
                out += _QUESTION.pack(question.qtype, question.qclass)
            for section in records:
                for record in section:
                    _write_name(out, record.name, seen)
                    size = len(record.rdata)
                    out += _RECORD.pack(record.rtype, record.rclass, record.ttl, size)
                    out += record.rdata
        except struct.error as error:
            raise WireError(f"DNS: a value does not fit in its field ({error})") from None
        return bytes(out)


def _read_record(data: bytes, at: int) -> tuple[Record, int]:
    name, at = read_name(data, at)
    if at + _RECORD.size > len(data):
        raise WireError("DNS: a record runs past the end of the message")
    rtype, rclass, ttl, size = _RECORD.unpack_from(data, at)
    at += _RECORD.size
    end = at + size
    if end > len(data):
        raise WireError("DNS: the data of a record runs past the end of the message")
    rdata = data[at:end]
    if rtype in _NAMES_IN:
        fixed, names = _NAMES_IN[rtype]
        expanded = data[at : at + fixed]
        at += fixed
        for _ in range(names):
            inner, at = read_name(data, at)
            expanded += encode_name(inner)
        if at > end:
            raise WireError("DNS: a name runs past the data of its record")
        rdata = expanded + data[at:end]
    return Record(name, rtype, rdata, ttl, rclass), end


def _write_name(out: bytearray, name: str, seen: dict[tuple[bytes, ...], int]) -> None:
    labels = tuple(_labels(name))
    for first, label in enumerate(labels):
        suffix = labels[first:]
        if suffix in seen:
            out += (0xC000 | seen[suffix]).to_bytes(2, "big")
            return
        # A pointer has 14 bits.
        if len(out) < 0x4000:
            seen[suffix] = len(out)
        out.append(len(label))
        out += label
    out.append(0)
