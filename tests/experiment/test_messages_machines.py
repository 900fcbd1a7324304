"""Messages to the guest of a further machine have journeys, too."""

from __future__ import annotations

from pathlib import Path

import desim
from desim.machine.vm import place_of

SCENARIO = """
qemu = ["-netdev user,id=u,hostfwd=tcp::5555-:5556", "-device e1000,netdev=u"]
until = "20s"
[[guest.run]]
command = "nc -lp 5556 > a.txt"
[[host.run]]
at = "6s"
command = "echo first | nc -N localhost 5555"
[[host.run]]
at = "7s"
command = "echo the second | nc -N localhost 6666"
[machine.b]
qemu = ["-netdev user,id=u,hostfwd=tcp::6666-:5556", "-device e1000,netdev=u"]
[[machine.b.guest.run]]
command = "nc -lp 5556 > b.txt"
"""


def test_each_machine_has_its_messages(tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    result = desim.run(desim.load(file))
    assert [message.size for message in result.messages] == [6, 11]
    times = [(j.total_ns, j.own_ns + j.waiting_ns) for j in result.journeys]
    assert all(total == parts > 0 for total, parts in times)
    assert len(times) == 2


def test_a_capture_point_has_its_machine_and_its_place() -> None:
    names = ["nic", "slirp", "b-nic", "b-socket-s", "socket-s"]
    assert [place_of(name, ["b"]) for name in names] == [
        ("", "nic"),
        ("", "slirp"),
        ("b", "nic"),
        ("b", "socket-s"),
        ("", "socket-s"),
    ]
