"""The programs there are: a fixed table per side. Nothing else can be run.

A program's module is imported when somebody asks for the program, because a run uses few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from desim.userland.command import ProgramFile


class Programs(Mapping[str, ProgramFile]):
    """The programs of one side, by name."""

    def __init__(self, files: dict[str, Callable[[], ProgramFile]]) -> None:
        self.files = files

    def __getitem__(self, name: str) -> ProgramFile:
        return self.files[name]()

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def _file(module: str, *, timer: bool = False, **parts: str) -> Callable[[], ProgramFile]:
    """The entry of /bin whose parts have these names in a module of this package."""

    def made() -> ProgramFile:
        home = import_module(f"{__name__}.{module}")
        found: dict[str, Any] = {part: getattr(home, name) for part, name in parts.items()}
        return ProgramFile(**found, timer=timer)

    return made


_NC_OPENBSD = _file("nc_openbsd", start="nc", check="check")
_NC_BUSYBOX = _file("nc_busybox", start="nc", check="check")
_NSLOOKUP = _file("nslookup", start="nslookup", check="check")
_PING = _file("ping", start="ping", check="check")
_PING_HOST = _file("ping", start="ping", check="check_host")
_ARP = _file("arp", start="arp", check="check")
_CURL = _file("curl", start="curl", check="check")
_HTTPD = _file("httpd", start="httpd", check="check", reads="reads")
_WGET = _file("wget", start="wget", check="check")
_TFTP = _file("tftp", start="tftp", check="check", reads="reads")
_BUSYBOX = {
    "dd": _file("dd", start="dd_busybox", check="check_busybox", reads="reads"),
    "head": _file("head", start="head_busybox", check="check_busybox", reads="reads"),
    "ls": _file("ls", start="ls_busybox", check="check_busybox"),
    "seq": _file("seq", start="seq_busybox", check="check_busybox"),
    "tail": _file("tail", start="tail_busybox", check="check_busybox", reads="reads"),
    "time": _file("time_busybox", start="time", check="check", wraps="WRAPS"),
}
"""What the guest has from busybox, and the host from coreutils."""

_COMMON = {
    **{f"busybox {name}": program for name, program in _BUSYBOX.items()},
    "busybox httpd": _HTTPD,
    "busybox nc": _NC_BUSYBOX,
    "busybox nslookup": _NSLOOKUP,
    "busybox tftp": _TFTP,
    "busybox wget": _WGET,
    "cat": _file("small", start="cat", check="check_cat", reads="cat_reads"),
    "curl": _CURL,
    "echo": _file("echo", start="echo", check="check"),
    "false": _file("small", start="false", check="check"),
    "httpd": _HTTPD,
    "iperf3": _file("iperf3", start="iperf3", check="check"),
    "ltool": _file("ltool", start="ltool", check="check"),
    "nc": _NC_OPENBSD,
    "netcat": _NC_OPENBSD,
    "nc.busybox": _NC_BUSYBOX,
    "nc.openbsd": _NC_OPENBSD,
    "netstat": _file("netstat", start="netstat", check="check"),
    "nslookup": _NSLOOKUP,
    "sleep": _file("small", start="sleep", check="check"),
    "tftp": _TFTP,
    "true": _file("small", start="true", check="check"),
    "wget": _WGET,
}

_DMESG = _file("dmesg", start="dmesg", check="check")
_IFCONFIG = _file("ifconfig", start="ifconfig", check="check")
_IP = _file("ip_busybox", start="ip_program", check="check")
_UDHCPC = _file("udhcpc", start="udhcpc", check="check")

HOST_PROGRAMS = Programs(
    _COMMON
    | {
        "busybox ping": _PING_HOST,
        "dd": _file("dd", start="dd", check="check", reads="reads"),
        "head": _file("head", start="head", check="check", reads="reads"),
        "ls": _file("ls", start="ls", check="check"),
        "ping": _PING_HOST,
        "seq": _file("seq", start="seq", check="check"),
        "ss": _file("ss", start="ss", check="check_host"),
        "tail": _file("tail", start="tail", check="check", reads="reads"),
        "time": _file("small", start="true", check="check", timer=True),
        "tr": _file("tr", start="tr", check="check"),
    }
)
GUEST_PROGRAMS = Programs(
    _COMMON
    | _BUSYBOX
    | {
        "arp": _ARP,
        "busybox arp": _ARP,
        "busybox dmesg": _DMESG,
        "busybox ifconfig": _IFCONFIG,
        "busybox ip": _IP,
        "busybox ping": _PING,
        "busybox udhcpc": _UDHCPC,
        "dmesg": _DMESG,
        "ethtool": _file("ethtool", start="ethtool", check="check"),
        "ifconfig": _IFCONFIG,
        "ip": _IP,
        "ping": _PING,
        "ss": _file("ss", start="ss", check="check"),
        "udhcpc": _UDHCPC,
    }
)
