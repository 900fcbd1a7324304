"""The users' programs in whole machines: through slirp, the card and the guest's network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from desim.devices import SlirpVersion
from desim.experiment.run import RunResult, run
from desim.scenario.command_line import machine_from_options

BIG = b"".join(hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(6000))
SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site" / "sub").mkdir(parents=True)
    (tmp_path / "site" / "big").write_bytes(BIG)
    (tmp_path / "site" / "sub" / "page.html").write_bytes(b"<p>page\n")
    return tmp_path


def made(
    folder: Path,
    *,
    guest: list[str],
    host: list[str] | None = None,
    qemu: str = "",
    version: SlirpVersion = "4.7",
    stop_first: bool = False,
) -> RunResult:
    """A run that costs nothing. ``stop_first`` stops the guest's first command at 30 s."""
    config = machine_from_options(
        ["-nic", "user" + qemu], guest=guest, host=host or [], folder=folder, version=version
    )
    config.costs = "zero"
    for number, command in enumerate(config.guest):
        command.at_ns = (10 + number) * SECOND
    for number, command in enumerate(config.host):
        command.at_ns = (20 + number) * SECOND  # whatever the guest's are waiting for
    if stop_first:
        config.guest[0].stop_ns = 30 * SECOND
    return run(config)


def shown(result: RunResult, terminal: str) -> str:
    return next(t.output.decode() for t in result.transcripts if t.name == terminal)


def test_the_host_fetches_a_large_file_from_the_guest(folder: Path) -> None:
    result = made(
        folder,
        qemu=",hostfwd=tcp::8080-:80",
        guest=["httpd -f -h site"],
        host=["curl -s -o big localhost:8080/big", "curl -s localhost:8080/sub/page.html"],
        stop_first=True,
    )
    assert result.files["host/big"] == BIG
    assert shown(result, "host 2") == "<p>page\n"


def test_the_guest_fetches_a_large_file_from_the_host(folder: Path) -> None:
    config = machine_from_options(
        ["-nic", "user"],
        guest=["curl -s -O 10.0.2.2:8000/big"],
        host=["httpd -f -p 8000 -h site"],
        folder=folder,
    )
    config.costs = "zero"
    config.host[0].at_ns = SECOND
    assert run(config).files["guest/big"] == BIG


def test_wget_fetches_on_both_sides(folder: Path) -> None:
    result = made(
        folder,
        qemu=",hostfwd=tcp::8080-:80",
        guest=["httpd -f -h site"],
        host=["wget http://localhost:8080/big", "wget -O - -q localhost:8080/sub/page.html"],
        stop_first=True,
    )
    assert result.files["host/big"] == BIG
    said = shown(result, "host 1")
    assert said.startswith("Connecting to localhost:8080 (127.0.0.1:8080)\nsaving to 'big'\n")
    assert said.endswith(
        f"\rbig                  100% |{'*' * 32}|  187k  0:00:00 ETA\n'big' saved\n"
    )
    assert shown(result, "host 2") == "<p>page\n"


def test_wget_of_the_guest_says_what_is_wrong(folder: Path) -> None:
    result = made(
        folder,
        guest=["httpd -f -h site", "wget localhost/none", "wget 10.0.2.2:8000/x", "wget nosuch"],
        stop_first=True,
    )
    said = [shown(result, f"guest {n}").splitlines()[-1] for n in (2, 3, 4)]
    assert said == [
        "wget: server returned error: HTTP/1.1 404 Not Found",
        "wget: can't connect to remote host (10.0.2.2): Connection refused",
        "wget: bad address 'nosuch'",
    ]


def test_what_curl_says_of_a_guest_that_does_not_answer(folder: Path) -> None:
    result = made(
        folder,
        qemu=",hostfwd=tcp::8080-:80",
        guest=["curl 10.0.2.2:9", "sleep 20"],
        host=["curl localhost:8080"],
    )
    assert "Failed to connect to 10.0.2.2 port 9" in shown(result, "guest 1")
    # QEMU accepts before it asks the guest; without costs it has closed before curl writes.
    assert shown(result, "host 1") == "curl: (52) Empty reply from server\n"


@pytest.mark.slow
@pytest.mark.parametrize("block", [24, 512, 1428, 65464])
def test_slirps_tftp_server_sends_files_whole(folder: Path, block: int) -> None:
    name = "sub/page.html" if block == 24 else "big"
    line = f"tftp -g -r {name} -l got -b {block} 10.0.2.2"
    result = made(folder, qemu=",tftp=site", guest=[line])
    assert result.files["guest/got"] == (folder / "site" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("block", "size"), [(512, len(BIG)), (1000, len(BIG)), (100, 37_500)])
def test_the_old_server_ignores_small_blocks_and_the_client_believes_it(
    folder: Path, block: int, size: int
) -> None:
    line = f"tftp -g -r big -b {block} 10.0.2.2"
    result = made(folder, qemu=",tftp=site", guest=[line], version="2.8")
    assert len(result.files["guest/big"]) == size


def test_what_tftp_says(folder: Path) -> None:
    lines = ["tftp -g -r none 10.0.2.2", "tftp -p -l site/big 10.0.2.2"]
    result = made(folder, qemu=",tftp=site", guest=lines)
    assert shown(result, "guest 1") == "tftp: server error: (1) File not found\n"
    assert shown(result, "guest 2") == "tftp: timeout\n"
    assert result.files == {}


def test_ping_and_arp_tell_who_is_there(folder: Path) -> None:
    lines = ["ping -q -c 2 10.0.2.2", "ping -c 1 -W 1 10.0.2.77", "ping -c 1 localhost", "arp -an"]
    result = made(folder, guest=lines)
    assert "2 packets transmitted, 2 packets received, 0% packet loss" in shown(result, "guest 1")
    assert "1 packets transmitted, 0 packets received, 100%" in shown(result, "guest 2")
    assert "64 bytes from 127.0.0.1: seq=0 ttl=64 time=0.000 ms" in shown(result, "guest 3")
    assert shown(result, "guest 4") == (
        "? (10.0.2.2) at 52:55:0a:00:02:02 [ether]  on eth0\n"
        "? (10.0.2.77) at <incomplete>  on eth0\n"
    )
    assert [t.status for t in result.transcripts if t.side == "guest"][1:] == [0, 1, 0, 0]


def test_ctrl_c_shows_pings_statistics(folder: Path) -> None:
    result = made(folder, guest=["ping 10.0.2.2"], stop_first=True)
    text = shown(result, "guest 1")
    _, statistics = text.split("\n^C\n\n--- 10.0.2.2 ping statistics ---\n")
    assert statistics.startswith("20 packets transmitted, 20 packets received, 0% packet loss\n")


def test_the_address_of_the_name_server_comes_by_dhcp(folder: Path) -> None:
    lines = ["cat /etc/resolv.conf", "ping -c 1 nosuch"]
    result = made(folder, qemu=",dns=10.0.2.9,domainname=lan", guest=lines)
    assert shown(result, "guest 1") == "search lan\nnameserver 10.0.2.9\n"
    assert shown(result, "guest 2") == "ping: bad address 'nosuch'\n"


def test_the_users_files_have_their_sums_in_the_summary(folder: Path) -> None:
    result = made(folder, guest=["httpd -f -h site"], stop_first=True)
    digest = hashlib.sha256(BIG).hexdigest()
    assert result.summary["inputs"]["site/big"] == digest
    assert sorted(result.summary["inputs"]) == ["site/", "site/big", "site/sub/page.html"]


@pytest.mark.parametrize("strict", [False, True])
def test_lists_run_one_pipeline_after_the_other_on_both_sides(folder: Path, strict: bool) -> None:
    config = machine_from_options(
        ["-nic", "user,hostfwd=tcp::5555-:5556"],
        guest=[
            "sleep 0.5 && nc -lp 5556 > a; nc -lp 5556 | cat > b && cat a b",
            "ping 10.0.2.2; echo after",
            "sleep 60; echo never",
        ],
        host=[
            "echo one | nc -N localhost 5555; sleep 1; "
            "echo two|/bin/nc -N localhost 5555 && echo ok"
        ],
        folder=folder,
    )
    config.strict = strict
    config.host[0].at_ns = 10 * SECOND
    for command in config.guest[1:]:
        command.stop_ns = 9 * SECOND
    result = run(config)
    assert shown(result, "guest 1") == "one\ntwo\n"
    assert shown(result, "guest 2").endswith(" ms\nafter\n")
    assert shown(result, "guest 3") == "^C\n"
    assert shown(result, "host 1") == "ok\n"
    assert [t.status for t in result.transcripts[1:]] == [0, 0, 130, 0]
    assert result.ended == "all programs have ended"


def test_nc_over_udp_both_ways(folder: Path) -> None:
    result = made(
        folder,
        qemu=",hostfwd=udp::5555-:5556",
        guest=["echo pong | nc -luv 5556 > a", "echo out | nc -u -q 1 10.0.2.2 7000"],
        host=["echo ping | nc -u -w 2 localhost 5555", "sleep 1"],
        stop_first=True,
    )
    assert result.files["guest/a"] == b"ping\n"
    assert shown(result, "guest 1").startswith("Bound on 0.0.0.0 5556\nConnection received on 10.0")
    assert shown(result, "host 1") == "pong\n"
    assert result.transcripts[2].status == 0


def test_ss_and_netstat_tell_the_same_of_the_same_sockets(folder: Path) -> None:
    result = made(
        folder,
        qemu=",hostfwd=tcp::5555-:5556",
        guest=["nc -lk 5556", "sleep 11; ss -tanp; netstat -natp", "sleep 11; ss -tan | cat"],
        host=["nc localhost 5555 < /dev/null", "sleep 1; ss -tan"],
        stop_first=True,
    )
    users = shown(result, "guest 2").splitlines()
    assert [line.split() for line in users[1:3]] == [
        ["LISTEN", "0", "1", "0.0.0.0:5556", "0.0.0.0:*", 'users:(("nc",pid=202,fd=3))'],
        ["ESTAB", "0", "0", "10.0.2.15:5556", "10.0.2.2:39866", 'users:(("nc",pid=202,fd=4))'],
    ]
    assert [line.split()[1:3] + line.split()[6:] for line in users[5:]] == [
        ["0", "0", "202/nc"],  # netstat shows no backlog: Send-Q of a listener is 0
        ["0", "0", "202/nc"],
    ]
    assert shown(result, "guest 3") == (
        "State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n"
        "LISTEN 0      1            0.0.0.0:5556      0.0.0.0:*           \n"
        "ESTAB  0      0          10.0.2.15:5556     10.0.2.2:39866       \n"
    )
    assert shown(result, "host 2") == (
        "State   Recv-Q  Send-Q     Local Address:Port      Peer Address:Port   Process  \n"
        "LISTEN  0       1                0.0.0.0:5555           0.0.0.0:*               \n"
        "ESTAB   0       0              127.0.0.1:39866        127.0.0.1:5555            \n"
        "ESTAB   0       0              127.0.0.1:5555         127.0.0.1:39866           \n"
    )
