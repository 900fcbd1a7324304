"""slirp's DNS address in whole machines: the host's name server, another one, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from desim.config import MachineConfig
from desim.experiment.run import RunResult, run
from desim.machine import Machine
from desim.scenario.inputs import Inputs
from desim.scenario.loader import parse_scenario
from desim.wire.dns import TYPE_PTR, Dns, Question

RECORDS = """
[dns]
resolver = "127.0.0.53"

[[dns.record]]
name = "www.example.org"
a = "10.0.2.2"
ttl = "1h"

[[dns.record]]
name = "mirror.example.org"
cname = "www.example.org"
"""
SERVER = '[[host.run]]\nat = "1s"\ncommand = "echo page | nc -l -N 8000"\n'


def guest(*commands: str) -> str:
    return "".join(f"[[guest.run]]\ncommand = '''{command}'''\n" for command in commands)


def config(text: str, folder: Path = Path("/nonexistent")) -> MachineConfig:
    made = parse_scenario(text.encode(), "dns.toml", Inputs(folder))
    made.costs = "zero"
    return made


def output(result: RunResult, terminal: str) -> str:
    return next(t.output.decode() for t in result.transcripts if t.name == terminal)


@pytest.mark.parametrize("slirp", ["4.7", "2.8"])
def test_a_name_leads_the_guest_to_the_hosts_program(slirp: str) -> None:
    text = f'slirp = "{slirp}"\n' + RECORDS + SERVER + guest("nc mirror.example.org 8000 > page")
    assert run(config(text)).files == {"guest/page": b"page\n"}


def test_a_name_that_nobody_knows_does_not_exist() -> None:
    result = run(config(RECORDS + guest("nc -v nosuch.example.org 8000")))
    assert "Name or service not known" in output(result, "guest 1")


def test_over_tcp_it_answers_as_well(tmp_path: Path) -> None:
    query = Dns(5, questions=[Question("2.2.0.10.in-addr.arpa", TYPE_PTR)]).emit()
    (tmp_path / "query").write_bytes(len(query).to_bytes(2, "big") + query)
    text = RECORDS + guest("nc -N 10.0.2.3 53 < query > reply")
    reply = run(config(text, tmp_path)).files["guest/reply"]
    assert len(reply) == 2 + int.from_bytes(reply[:2], "big")
    (answer,) = Dns.parse(reply[2:]).answers
    assert (answer.rtype, answer.rdata) == (TYPE_PTR, b"\3www\7example\3org\0")


def test_without_a_resolver_todays_slirp_says_unreachable_and_the_old_one_tries_loopback() -> None:
    lookup = guest("nc -v www.example.org 8000")
    for slirp in ("4.7", "2.8"):
        done = Machine(config(f'slirp = "{slirp}"\nguest.hosts = "files dns"\n' + lookup))
        done.run()
        text = done.transcripts()[-1].output.decode()
        assert "Temporary failure in name resolution" in text, slirp


def test_a_resolver_without_records_is_whoever_listens_there() -> None:
    text = (
        'dns.resolver = "127.0.0.9"\n'
        '[[host.run]]\nat = "1s"\ncommand = "nc -l 127.0.0.9 53 > asked"\n'
        + guest("echo question | nc -N 10.0.2.3 53")
    )
    assert run(config(text)).files["host/asked"] == b"question\n"


def test_the_hosts_own_programs_ask_the_same_server() -> None:
    text = RECORDS + '[[host.run]]\nat = "1s"\ncommand = "nc -v mirror.example.org 8000"\n'
    result = run(config(text))
    # 10.0.2.2 is the host only for the guest.
    assert "Network is unreachable" in output(result, "host 1")


def test_the_name_server_shows_in_netstat_and_ends_no_run() -> None:
    result = run(config(RECORDS + '[[host.run]]\nat = "1s"\ncommand = "netstat -natp"\n'))
    assert "127.0.0.53:53" in output(result, "host 1")
    assert "nameserver" in output(result, "host 1")
    assert result.ended == "all programs have ended"


@pytest.mark.slow
@pytest.mark.parametrize("costs", ["zero", "study-2016"])
def test_strict_and_lazy_runs_agree(costs: str) -> None:
    def trace(*, strict: bool) -> object:
        made = config(RECORDS + SERVER + guest("nc mirror.example.org 8000 > page"))
        made.costs, made.strict = costs, strict
        done = Machine(made)
        done.run()
        return done.trace.fingerprint(), done.ended, done.end_ns, done.files()

    assert trace(strict=False) == trace(strict=True)


def verbose(hosts: str, records: str = "") -> RunResult:
    """nc -lv in the guest, and a client of the host's."""
    text = (
        'qemu = "-nic user,hostfwd=tcp::5555-:5556"\n'
        + records
        + f"[guest]\n{hosts}\n"
        + '[[host.run]]\nat = "30s"\ncommand = "echo hello | nc -N localhost 5555"\n'
        + guest("nc -lvp 5556")
    )
    return run(config(text))


@pytest.mark.parametrize("hosts", ["", 'hosts = "files"'])
def test_nc_asks_nobody_for_names_of_addresses_where_hosts_is_files(hosts: str) -> None:
    shown = output(verbose(hosts), "guest 1")
    assert shown == "Listening on 0.0.0.0 5556\nConnection received on 10.0.2.2 39866\nhello\n"


def test_with_dns_and_no_resolver_nc_asks_four_times_and_says_so() -> None:
    """Recorded: four queries to 10.0.2.3, and these words instead of the two usual lines."""
    result = verbose('hosts = "files dns"')
    failed = "nc: getnameinfo: Temporary failure in name resolution\n"
    assert output(result, "guest 1") == f"{failed}{failed}hello\n"
    capture = result.captures["capture-slirp.pcapng"]
    # Each of them is quoted by slirp's "unreachable".
    assert capture.count(b"\x010\x010\x010\x010\x07in-addr\x04arpa") == 2 * 2
    assert capture.count(b"\x012\x012\x010\x0210\x07in-addr\x04arpa") == 2 * 2


def test_with_a_resolver_nc_shows_the_names_that_it_knows() -> None:
    shown = output(verbose("", RECORDS), "guest 1")
    assert shown == (
        "Listening on 0.0.0.0 5556\nConnection received on www.example.org 44674\nhello\n"
    )


def test_where_hosts_is_files_no_name_is_asked_for() -> None:
    result = run(config(guest("nc -v www.example.org 80")))
    assert "Name or service not known" in output(result, "guest 1")
