"""What tshark, with every checksum validated, finds in the captures: nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import needs
import pytest
from recorded import VECTORS
from runs import SHIPPED, shipped_run

pytestmark = needs.tshark

FIELDS = (
    "frame.number",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "_ws.malformed",
    "_ws.expert.message",
    "frame.comment",
)
VALIDATE = ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")
PLAIN = "seed_direct_tcg_openbsd_plain"
RECORDED = {
    "hello-close": "seed_direct_tcg_busybox_N",
    "hello-hub": "seed_hub_tcg_openbsd_plain",
    "hello-redir": "seed_hub_tcg_openbsd_plain",
}
"""Others are compared with ``PLAIN``: what tshark says of any stream may be said."""

RETRANSMISSION = "This frame is a (suspected) retransmission"
LOSS = {
    RETRANSMISSION,
    "This frame is a (suspected) fast retransmission",
    *(f"Duplicate ACK (#{number})" for number in range(1, 20)),
}

MEANT = {
    # It remarks on every request and every status.
    "http": {
        "GET / HTTP/1.1\\r\\n",
        "GET /notes.txt HTTP/1.1\\r\\n",
        "GET /nothing HTTP/1.1\\r\\n",
        "HTTP/1.1 200 OK\\r\\n",
        "HTTP/1.1 404 Not Found\\r\\n",
    },
    # QEMU's card sends an empty segment behind segments that hold all of a packet, and slirp,
    # in CLOSING, its FIN again with each acknowledgement (BSD's tcp_output).
    "iperf3": {
        RETRANSMISSION,
        *(f"Duplicate ACK (#{number})" for number in range(1, 11)),
    },
    # The program in the guest is slower than slirp: its socket is full for a moment.
    "itr-heavy": {
        "TCP window specified by the receiver is now completely full",
        "TCP Zero Window segment",
        "TCP window update",
    },
    # Frames that the filter drops: slirp never sees them, and the guest sends them again.
    "lossy slirp": LOSS | {"Previous segment(s) not captured (common at capture start)"},
    "lossy nic": LOSS,
    # What the card did not take while it had no link.
    "cut-link slirp": {RETRANSMISSION},
    "cut-link nic": {
        RETRANSMISSION,
        "This frame is a (suspected) spurious retransmission",
        "Duplicate ACK (#1)",
    },
    # A file that is not there.
    "netboot": {"TFTP ERROR packet"},
    # slirp refuses for the first guest, whose answer comes too late.
    "two-guests": {
        "Connection reset (RST)",
        "GET /index.html HTTP/1.1\\r\\n",
        "HTTP/1.1 200 OK\\r\\n",
    },
    # What restrict=on does not let pass is refused.
    "services": {"Connection reset (RST)"},
}
"""What a scenario is there to show, and no recording does; at one point, if it is named."""


def tshark(capture: Path) -> list[dict[str, str]]:
    """What it says of each packet."""
    words = ["tshark", "-n", "-r", str(capture), "-T", "fields"]
    for option in VALIDATE:
        words += ["-o", f"{option}:TRUE"]
    for field in FIELDS:
        words += ["-e", field]
    # A log line on stderr (tshark run as root) is none of ours.
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    packets = [
        dict(zip(FIELDS, line.split("\t"), strict=True)) for line in done.stdout.splitlines()
    ]
    for packet in packets:
        # That a packet has a comment is a remark to it, of the lowest severity there is.
        if packet["frame.comment"]:
            messages, comment = packet["_ws.expert.message"], packet["frame.comment"]
            # It cuts a long one.
            told = next(n for n in range(len(comment), 0, -1) if comment[:n] in messages)
            assert told == len(comment) or told > 200
            packet["_ws.expert.message"] = messages.replace(comment[:told], "", 1)
    return packets


def remarks(packets: list[dict[str, str]]) -> set[str]:
    """All that it found worth a remark (SYN, FIN, retransmission ...), whatever the port."""
    return {
        text.partition(": server port")[0]
        for packet in packets
        for text in packet["_ws.expert.message"].split(",")
        if text
    }


@pytest.fixture(params=[(name, point) for name in SHIPPED for point in ("slirp", "nic")], ids=str)
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, int]:
    name, point = request.param
    path = tmp_path / f"capture-{point}.pcapng"
    result = shipped_run(name)
    path.write_bytes(result.captures[f"capture-{point}.pcapng"])
    return name, path, len(result.packets[point])


@pytest.mark.slow
def test_nothing_is_malformed_no_checksum_is_bad_and_no_remark_is_new(
    capture: tuple[str, Path, int],
) -> None:
    name, path, count = capture
    packets = tshark(path)
    assert len(packets) == count
    for packet in packets:
        assert packet["_ws.malformed"] == "", packet
        for layer in ("ip", "tcp", "udp"):
            # An ICMP error has the header that it is about, too.
            statuses = packet[f"{layer}.checksum.status"].split(",")
            assert set(statuses) <= {"", "1"}, packet
    known = remarks(tshark(VECTORS / f"{RECORDED.get(name, PLAIN)}.pcap"))
    point = path.stem.removeprefix("capture-")
    assert remarks(packets) - known == MEANT.get(f"{name} {point}", MEANT.get(name, set()))


def test_a_bad_checksum_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    data = shipped_run("hello").captures["capture-slirp.pcapng"]
    path.write_bytes(data.replace(b"Hello qemu Geust\n", b"Jello qemu Geust\n", 1))
    assert "0" in {packet["tcp.checksum.status"] for packet in tshark(path)}
