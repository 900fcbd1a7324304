"""QEMU's monitor: what may be typed, what it does, and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

import desim
from desim.errors import ScenarioError

LINE = "-netdev user,id=u,hostfwd=tcp::5555-:5556 -device e1000,netdev=u"


def scenario(*commands: tuple[str, str], qemu: str = LINE, **sides: list[str]) -> desim.Scenario:
    made = desim.from_qemu(qemu, guest=sides.get("guest", []), host=sides.get("host", []))
    return made.set({"monitor.run": [{"at": at, "command": text} for at, text in commands]})


def console(result: desim.Result) -> list[str]:
    output = next(t.output for t in result.programs if t.name == "monitor").decode()
    return output.replace("\r\n", "\n").splitlines()


def test_info_network_with_and_without_a_hub() -> None:
    direct = desim.run(scenario(("1s", "info network")))
    assert console(direct) == [
        "(qemu) info network",
        "e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56",
        " \\ u: index=0,type=user,net=10.0.2.0,restrict=off",
    ]
    hub = desim.run(scenario(("1s", "info network"), qemu="-net nic -net user,restrict=on,id=u"))
    assert console(hub) == [
        "(qemu) info network",
        "hub 0",
        " \\ hub0port1: u: index=0,type=user,net=10.0.2.0,restrict=on",
        " \\ hub0port0: e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56",
    ]  # in the order of the options, as QEMU 7.2 has it
    assert console(desim.run(scenario(("1s", "info network"), qemu="-nic none"))) == [
        "(qemu) info network"
    ]


def test_info_network_names_ports_and_filters_as_qemu_7_2_prints_them() -> None:
    line = (
        "-netdev user,id=u -netdev hubport,id=p0,hubid=0,netdev=u -netdev hubport,id=p1,hubid=0 "
        "-device e1000,netdev=p1 -object filter-dump,id=f0,netdev=u,file=d2.pcap,maxlen=100,"
        "queue=rx,position=head -object filter-buffer,id=f1,netdev=u,interval=5000,position=id=f0,"
        "insert=before -object filter-buffer,id=f2,netdev=p1,interval=7000"
    )
    commands = ("1s", "info network"), ("2s", "qom-set /objects/f0 status off")
    more = ("3s", "qom-set f9 status on"), ("4s", "info network")
    shown = console(desim.run(scenario(*commands, *more, qemu=line)))
    ports = [
        "hub 0",
        " \\ p1: e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56",
        " \\ p0: u: index=0,type=user,net=10.0.2.0,restrict=off",
        "filters:",
        "  - f1: type=filter-buffer,interval=5000,position=id=f0,status=on,insert=before,netdev=u,"
        "queue=all",
    ]
    f0 = "  - f0: type=filter-dump,file=d2.pcap,maxlen=100,position=head,status={},insert=behind,"
    assert shown == [
        "(qemu) info network",
        *ports,
        f"{f0.format('on')}netdev=u,queue=rx",
        "(qemu) qom-set /objects/f0 status off",
        "(qemu) qom-set f9 status on",
        "Error: Device 'f9' not found",
        "(qemu) info network",
        *ports,
        f"{f0.format('off')}netdev=u,queue=rx",
    ]


def test_a_forward_is_added_and_removed_and_its_connection_lives_on() -> None:
    result = desim.run(
        scenario(
            ("4s", "hostfwd_add u tcp::80-:81"),
            ("5.5s", "info usernet"),
            ("5.5s", "hostfwd_remove tcp::80"),
            ("5.6s", "hostfwd_remove tcp::80"),
            ("5.7s", "hostfwd_add tcp::5555-:1"),
            ("5.8s", "info usernet"),
            guest=["nc -l -p 81 > got"],
            host=[],
        ).set(
            {
                "host.run": [
                    {"at": "5s", "stop": "6s", "command": "ltool drip localhost 80 9 100 100000"},
                    {"at": "5.9s", "command": "nc -w 1 -v localhost 80", "expect": {"exit": 1}},
                ]
            }
        )
    )
    lines = console(result)
    head = "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ"
    assert lines[1:4] == ["(qemu) info usernet", "Hub -1 (u):", head]
    rows = [line.split() for line in lines[4:7]]
    assert [(row[0], *row[2:6]) for row in rows] == [
        ("TCP[ESTABLISHED]", "127.0.0.1", "80", "10.0.2.15", "81"),
        ("TCP[HOST_FORWARD]", "*", "80", "10.0.2.15", "81"),
        ("TCP[HOST_FORWARD]", "*", "5555", "10.0.2.15", "5556"),
    ]
    assert lines[7:13] == [
        "(qemu) hostfwd_remove tcp::80",
        "host forwarding rule for tcp::80 removed",
        "(qemu) hostfwd_remove tcp::80",
        "host forwarding rule for tcp::80 not found",
        "(qemu) hostfwd_add tcp::5555-:1",
        "Could not set up host forwarding rule 'tcp::5555-:1'",
    ]
    assert [line.split()[0] for line in lines[16:]] == ["TCP[ESTABLISHED]", "TCP[HOST_FORWARD]"]
    assert len(result.files["guest/got"]) == 900
    assert result.expectations == ()


def test_a_link_that_is_cut_under_load_comes_back(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8000
    (tmp_path / "data").write_bytes(data)
    result = desim.run(
        scenario(
            ("5.05s", "set_link e1000.0 off"),
            ("6s", "set_link e1000.0 on"),
            ("6s", "set_link nothing on"),
            guest=["nc -l -p 5556 > got"],
        ).set({"host.run": [{"at": "5s", "command": f"nc -N localhost 5555 < {tmp_path}/data"}]})
    )
    assert console(result)[-1] == "Error: Device 'nothing' not found"
    boot = next(t.output for t in result.programs if t.name == "guest console").decode()
    assert boot.count("NIC Link is Down") == 1
    assert boot.count("NIC Link is Up") == 2
    assert result.files["guest/got"] == data
    lost = {(row["where"], row["why"]) for row in result.summary["frames"]["lost"]}
    assert ("e1000.0", "no link") in lost


def test_a_run_waits_for_its_last_command() -> None:
    result = desim.run(scenario(("20s", "info network"), host=["echo hello"]))
    assert result.end_ns > 20 * 10**9
    assert len(console(result)) == 3


def test_what_is_after_the_end_is_not_typed() -> None:
    result = desim.run(scenario(("20s", "info network")), until="2s")
    shown = next(t for t in result.programs if t.name == "monitor")
    assert (shown.output, shown.ended_ns, shown.status) == (b"", None, None)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("stop", "a machine that stands still is not modelled"),
        ("system_reset", "a second boot is not modelled"),
        ("netdev_del u", "set_link takes its link down"),
        ("object_add filter-dump,id=f", "a filter is set up in the key qemu"),
        ("quit", "until says when the run ends"),
        ("info", "info: modelled are set_link, hostfwd_add"),
        ("info usernets", "did you mean 'info usernet'"),
        ("set_lnk u on", "did you mean 'set_link'"),
        ("set_link u", r"must be set_link NAME on\|off"),
        ("set_link u down", r"must be set_link NAME on\|off"),
        ("hostfwd_add tcp::x-:22", r"Invalid host forwarding rule 'tcp::x-:22' \(Bad host port\)"),
        ("hostfwd_add v tcp::1-:2", "unrecognized netdev id 'v'; there is u"),
        ("hostfwd_add", r"must be hostfwd_add \[NETDEV\] RULE"),
        ("hostfwd_remove tcp::5555-:5556", "a rule is removed as PROTO"),
        ("hostfwd_remove 5555", "a rule is removed as PROTO"),
        ("info usernet now", "info usernet takes nothing behind it"),
        (" ", "must be a command of QEMU's monitor"),
    ],
)
def test_what_cannot_be_typed_is_refused(command: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario(("5s", command))


def test_a_command_needs_its_instant() -> None:
    with pytest.raises(ScenarioError, match=r"monitor\.run\[0\]\.at: missing"):
        desim.load("hello").set({"monitor.run": [{"command": "info network"}]})
