"""Files that httpd sends by sendfile(): segment for segment as a real guest's.

Recorded with Debian's QEMU 7.2.22 (TCG), libslirp 4.7.0, Linux 6.1.192 (6.1.0-57) and busybox
1.35: what passed slirp's port when curl fetched a file of so many bytes through a forward. Each
list is what the guest sent behind the answer's head: the sizes of the segments, one with a * had
PSH. Longer transfers depend on when ACKs come, which in real time is another matter each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded import read

from desim.experiment.run import run
from desim.scenario.command_line import machine_from_options
from desim.wire.frame import Frame
from desim.wire.tcp import ACK, FIN, PSH

CUT = "1460 1460 1460 1460 1460* 0* "
"""What the card makes of five segments: QEMU's sends one more, empty."""
RECORDED = {
    28: "28*",
    1243: "1243*",
    5000: "1460 1460 1460* 0* 620",
    # Behind 32 KiB of pages half of the window has been written, and what there is is pushed.
    70_000: 3 * CUT + 7 * "1460 " + "648* " + 2 * (9 * "1460 " + "1460* 0* ") + "1460 1460 648*",
}


@pytest.mark.parametrize("size", RECORDED)
def test_a_file_leaves_in_the_segments_of_a_real_guest(size: int, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(b"x" * size)
    config = machine_from_options(
        ["-nic", "user,model=e1000,hostfwd=tcp::8080-:80"],
        guest=["httpd -f -p 80 -h www"],
        host=["curl -s -o got http://localhost:8080/file"],
        folder=tmp_path,
    )
    result = run(config)
    assert len(result.files["host/got"]) == size
    segments = [
        segment
        for raw in read(result.captures["capture-slirp.pcapng"])
        if (segment := Frame(raw).segment) is not None and segment.sport == 80
    ]
    sent = [s for s in segments if s.payload or s.flags == ACK | PSH]
    told = " ".join(f"{len(s.payload)}{'*' * bool(s.flags & PSH)}" for s in sent[1:])
    assert told.startswith(RECORDED[size])
    assert segments[-1].flags == ACK | FIN
