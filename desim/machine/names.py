"""The host's name server in a machine, from the configuration's records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from desim.config import DnsRecord, HostDns
from desim.host.kernel import HostKernel
from desim.userland.files import Terminal
from desim.userland.process import Process
from desim.wire.addresses import ip_text

if TYPE_CHECKING:
    from desim.wire.dns import Record


def configure(host: HostKernel, dns: HostDns, terminal: Terminal) -> Process | None:
    """Write the host's /etc/resolv.conf; the name server's process, if there is one to run."""
    host.filesystem.resolv_conf = "".join(
        f"nameserver {ip_text(address)}\n" for address in dns.resolvers
    )
    if not dns.records:
        return None
    from desim.host.nameserver import NAME, Zone, nameserver

    zone = Zone([_record(record) for record in dns.records])
    return host.spawn_program(NAME, nameserver(zone, dns.resolvers), terminal)


def _record(record: DnsRecord) -> Record:
    from desim.wire.dns import TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_PTR, Record, encode_name

    types = {"A": TYPE_A, "AAAA": TYPE_AAAA, "CNAME": TYPE_CNAME, "PTR": TYPE_PTR}
    value = record.value
    rdata = encode_name(value) if isinstance(value, str) else value
    return Record(record.name, types[record.kind], rdata, record.ttl_s)
