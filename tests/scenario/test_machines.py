"""``[machine.NAME]`` and ``[[inject]]`` in a file: what they come to, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.config import MachineConfig, Train
from desim.devices import HubPort
from desim.errors import ScenarioError, UserError
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario
from desim.scenario.qemu_options import parse_qemu_options
from desim.wire.pcapng import PcapngWriter

LISTENS = "-netdev socket,id=s,listen=:1234 -device e1000,netdev=s"
CONNECTS = "-netdev socket,id=s,connect=127.0.0.1:1234 -device e1000,netdev=s"
OTHER = ",mac=52:54:00:12:34:57"
FRAME = "ffffffffffff 525400aabbcc 88b5 00"
PORT = "host address '7' doesn't contain ':' separating host from port"


def read(text: str, folder: Path | None = None) -> MachineConfig:
    return parse_scenario(text.encode(), "s.toml", Inputs(folder or Path()))


def test_a_further_machine_has_what_the_first_has() -> None:
    config = read(f"""
        qemu = "{LISTENS}"
        [machine.b]
        qemu = "{CONNECTS}{OTHER}"
        semantics = "datasheet"
        guest.modprobe = "e1000 TxIntDelay=0"
        guest.modprobe_at = "2s"
        guest.address = "10.0.0.2/24"
        guest.run = [
            {{command = "ip addr"}}, {{command = "true", at = "5s", every = "1s", times = 2}}
        ]
        monitor.run = [{{at = "3s", command = "info network"}}]
        expect.file.x = "text"
        """)
    assert [one.machine for one in config.machines] == ["", "b"]
    (b,) = config.others
    assert (b.modprobe, b.boot.insmod_ns) == ("e1000 TxIntDelay=0", 2 * 10**9)
    assert b.guest_address == (bytes((10, 0, 0, 2)), 24)
    assert b.nic is not None
    assert (b.nic.semantics, b.nic.netdev, b.nic.mac[-1]) == ("datasheet", "s", 0x57)
    assert [run.terminal for run in b.guest] == ["b 1", "b 2.1", "b 2.2"]
    assert {run.machine for run in b.guest} == {"b"}
    assert [command.words for command in b.monitor] == [["info", "network"]]
    assert config.expect.other_files == {"b": {"x": b"text"}}
    assert config.guest == []


def test_a_hub_of_more_than_two_has_its_ports_in_the_order_of_the_options() -> None:
    words = (
        "-netdev user,id=u -netdev hubport,id=p,hubid=0,netdev=u -netdev hubport,id=q,hubid=0 "
        "-netdev socket,id=s,listen=:1 -netdev hubport,id=r,hubid=0,netdev=s "
        "-netdev hubport,id=t,hubid=0 -device e1000,netdev=q,id=card"
    )
    network = parse_qemu_options(words.split(), open_folder=lambda name: {})
    assert network.hub_ports == [
        HubPort(name="p", client="u"),
        HubPort(name="q", client="card"),
        HubPort(name="r", client="s"),
        HubPort(name="t", client=None),
    ]
    assert network.notes == ["warning: hub port t has no peer"]


def test_frames_are_sent_again_at_the_instants_of_every() -> None:
    config = read(f"""
        [[inject]]
        at = "1s"
        frames = ["{FRAME}", "{FRAME}01"]
        every = "2ms"
        times = 2
        """)
    one = bytes.fromhex(FRAME.replace(" ", ""))
    both = [(0, one), (0, one + b"\1")]
    assert config.inject == [
        Train(at_ns=10**9, frames=both),
        Train(at_ns=10**9 + 2_000_000, frames=both),
    ]


def test_a_capture_keeps_its_distances(tmp_path: Path) -> None:
    writer = PcapngWriter()
    number = writer.interface("x")
    for instant in (5_000, 7_000, 6_000):
        writer.packet(number, instant, bytes(60))
    (tmp_path / "x.pcapng").write_bytes(writer.to_bytes())
    config = read('[[inject]]\nat = "1s"\npcap = "x.pcapng"', tmp_path)
    assert [later for later, _ in config.inject[0].frames] == [0, 1_000, 2_000]
    assert list(config.guest_files) == ["x.pcapng"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[machine.guest]\nqemu = "{LISTENS}"', 'machine.guest: "guest": this is what something'),
        ('[machine."a b"]', "a machine's name is a letter, then letters, digits and _"),
        ("[machine.b]\nhost.run = []", "machine.b.host: no such key; allowed are expect, guest"),
        ('machine = "b"', "must be a table"),
        ('[machine.b]\nqemu = "-netdev socket,id=s,listen=7"', PORT),
        (
            f'qemu = "{CONNECTS}"\n[machine.b]\nqemu = "{LISTENS}{OTHER}"',
            "s.toml:1: qemu: -netdev socket,id=s: can't connect socket: Connection refused: the "
            "machine that listens at 1234 starts later",
        ),
        (
            '[machine.b]\nqemu = "-icount shift=3"',
            "machine.b.qemu: -icount: must be the same for all machines of a run",
        ),
        (f'[[inject]]\nat = "1s"\nframes = "{FRAME}"\npcap = "x"', 'pcap: "x": no such file'),
        ('[[inject]]\nat = "1s"', "inject[0]: needs frames or pcap, one of them"),
        ('[[inject]]\nat = "1s"\nframes = "0xyz"', "must be hexadecimal: two digits for each byte"),
        ('[[inject]]\nat = "1s"\nframes = "00"', "a frame has 14 to 65536 bytes"),
        (f'[[inject]]\nframes = "{FRAME}"', "inject[0].at: missing"),
        (f'[[inject]]\nat = "1s"\nframes = "{FRAME}"\ntimes = 3', "every and times go together"),
        (
            f'[[inject]]\nat = "1s"\nframes = ["{FRAME}", "{FRAME}"]\nevery="1us"\ntimes = 50001',
            "would send more than 100000 frames",
        ),
        (
            f'qemu = "-nic user,model=e1000"\n[[inject]]\nat = "1s"\nframes = "{FRAME}"',
            "inject needs a hub",
        ),
        (
            f'[machine.b]\nqemu="{LISTENS}"\n[[machine.b.inject]]\nat = "1s"\nframes = "{FRAME}"',
            "machine.b.inject: inject needs a hub",
        ),
        ('guest.address = "10.0.0.1"', "must be an address with the bits of its network"),
        ('guest.address = "10.0.0/24"', "must be an address with the bits of its network"),
    ],
)
def test_a_mistake_is_told_where_it_is(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        read(text)
    assert said in str(error.value)


def test_the_same_address_on_a_wire_is_worth_a_note() -> None:
    config = read(f'qemu = "{LISTENS}"\n[machine.b]\nqemu = "{CONNECTS}"')
    assert "the cards of the first machine and b have one address" in config.notes[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-netdev socket,id=e1000.0,listen=:1 -device e1000,netdev=e1000.0", "Duplicate ID"),
        ("-netdev socket,id=hub0port0,listen=:1 -net nic", "Duplicate ID 'hub0port0'"),
        ("-netdev hubport,id=a,hubid=0 -netdev hubport,id=b,hubid=1 -device e1000,netdev=a", "hub"),
        ("-netdev socket,id=s,fd=3 -device e1000,netdev=s", "nobody hands a descriptor over"),
        ("-netdev socket,id=s,listen=:x -device e1000,netdev=s", "port number 'x' is invalid"),
        ("-netdev socket,id=s,listen=:70000 -device e1000,netdev=s", "beyond 65535"),
        ("-netdev socket,id=s,udp=:1 -device e1000,netdev=s", "localaddr= is mandatory with udp="),
        (
            "-netdev socket,id=s,listen=:1,mcast=1:2 -device e1000,netdev=s",
            "exactly one of listen=",
        ),
        (
            "-netdev socket,id=s,mcast=10.0.0.1:2 -device e1000,netdev=s",
            "specified mcastaddr 10.0.0.1 (0x0a000001) does not contain a multicast address",
        ),
        ("-netdev socket,id=s,connect=host:1 -device e1000,netdev=s", "can't resolve host address"),
        ("-netdev stream,id=s -device e1000,netdev=s", "Parameter 'addr' is missing"),
        ("-netdev stream,id=s,addr.type=x -device e1000,netdev=s", "does not accept value 'x'"),
        ("-netdev stream,id=s,addr.host=1 -device e1000,netdev=s", "'addr.type' is missing"),
        (
            "-netdev dgram,id=s,local.type=inet,local.host=,local.port=1 -device e1000,netdev=s",
            "type=inet or type=unix requires remote parameter",
        ),
        ("-netdev sockets,id=s -device e1000,netdev=s", "did you mean 'socket'"),
    ],
)
def test_options_of_sockets_are_refused_in_qemus_words(words: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_qemu_options(words.split(), open_folder=lambda name: {})
    assert said in str(error.value)
