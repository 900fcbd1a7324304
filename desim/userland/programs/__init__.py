"""The programs there are: a fixed table per side. Nothing else can be run."""

from __future__ import annotations

from desim.userland.command import ProgramFile
from desim.userland.programs import (
    arp,
    curl,
    dd,
    dmesg,
    echo,
    ethtool,
    head,
    httpd,
    ifconfig,
    ip_busybox,
    ls,
    ltool,
    nc_busybox,
    nc_openbsd,
    netstat,
    nslookup,
    ping,
    seq,
    small,
    tail,
    tftp,
    time_busybox,
    tr,
    udhcpc,
    wget,
)

_NC_OPENBSD = ProgramFile(nc_openbsd.nc, nc_openbsd.check)
_NC_BUSYBOX = ProgramFile(nc_busybox.nc, nc_busybox.check)
_NSLOOKUP = ProgramFile(nslookup.nslookup, nslookup.check)
_PING = ProgramFile(ping.ping, ping.check)
_PING_HOST = ProgramFile(ping.ping, ping.check_host)
_ARP = ProgramFile(arp.arp, arp.check)
_CURL = ProgramFile(curl.curl, curl.check)
_HTTPD = ProgramFile(httpd.httpd, httpd.check, httpd.reads)
_WGET = ProgramFile(wget.wget, wget.check)
_TFTP = ProgramFile(tftp.tftp, tftp.check, tftp.reads)
_BUSYBOX = {
    "dd": ProgramFile(dd.dd_busybox, dd.check_busybox, dd.reads),
    "head": ProgramFile(head.head_busybox, head.check_busybox, head.reads),
    "ls": ProgramFile(ls.ls_busybox, ls.check_busybox),
    "seq": ProgramFile(seq.seq_busybox, seq.check_busybox),
    "tail": ProgramFile(tail.tail_busybox, tail.check_busybox, tail.reads),
    "time": ProgramFile(time_busybox.time, time_busybox.check, wraps=time_busybox.WRAPS),
}
"""What the guest has from busybox, and the host from coreutils."""

_COMMON = {
    **{f"busybox {name}": program for name, program in _BUSYBOX.items()},
    "busybox httpd": _HTTPD,
    "busybox nc": _NC_BUSYBOX,
    "busybox nslookup": _NSLOOKUP,
    "busybox tftp": _TFTP,
    "busybox wget": _WGET,
    "cat": ProgramFile(small.cat, small.check_cat, small.cat_reads),
    "curl": _CURL,
    "echo": ProgramFile(echo.echo, echo.check),
    "false": ProgramFile(small.false, small.check),
    "httpd": _HTTPD,
    "ltool": ProgramFile(ltool.ltool, ltool.check),
    "nc": _NC_OPENBSD,
    "netcat": _NC_OPENBSD,
    "nc.busybox": _NC_BUSYBOX,
    "nc.openbsd": _NC_OPENBSD,
    "netstat": ProgramFile(netstat.netstat, netstat.check),
    "nslookup": _NSLOOKUP,
    "sleep": ProgramFile(small.sleep, small.check),
    "tftp": _TFTP,
    "true": ProgramFile(small.true, small.check),
    "wget": _WGET,
}

_DMESG = ProgramFile(dmesg.dmesg, dmesg.check)
_IFCONFIG = ProgramFile(ifconfig.ifconfig, ifconfig.check)
_IP = ProgramFile(ip_busybox.ip_program, ip_busybox.check)
_UDHCPC = ProgramFile(udhcpc.udhcpc, udhcpc.check)

HOST_PROGRAMS = _COMMON | {
    "busybox ping": _PING_HOST,
    "dd": ProgramFile(dd.dd, dd.check, dd.reads),
    "head": ProgramFile(head.head, head.check, head.reads),
    "ls": ProgramFile(ls.ls, ls.check),
    "ping": _PING_HOST,
    "seq": ProgramFile(seq.seq, seq.check),
    "tail": ProgramFile(tail.tail, tail.check, tail.reads),
    "time": ProgramFile(small.true, small.check, timer=True),
    "tr": ProgramFile(tr.tr, tr.check),
}
GUEST_PROGRAMS = (_COMMON | _BUSYBOX) | {
    "arp": _ARP,
    "busybox arp": _ARP,
    "busybox dmesg": _DMESG,
    "busybox ifconfig": _IFCONFIG,
    "busybox ip": _IP,
    "busybox ping": _PING,
    "busybox udhcpc": _UDHCPC,
    "dmesg": _DMESG,
    "ethtool": ProgramFile(ethtool.ethtool, ethtool.check),
    "ifconfig": _IFCONFIG,
    "ip": _IP,
    "ping": _PING,
    "udhcpc": _UDHCPC,
}
