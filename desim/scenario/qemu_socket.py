"""``-netdev socket``, ``stream`` and ``dgram``: read as QEMU 7.2 reads them, in its words.

=============================================  ==================================================
``socket,listen=[HOST]:PORT``                   one client's stream
``socket,connect=HOST:PORT``                    a stream to who listens there
``socket,mcast=GROUP:PORT[,localaddr=ADDR]``    datagrams to and from a group
``socket,udp=HOST:PORT,localaddr=HOST:PORT``    datagrams to and from one peer
``stream,server=on|off,addr.type=inet,...``     streams, also ``addr.type=unix,addr.path=PATH``
``dgram,remote.type=inet,...[,local....]``      datagrams, to a group or to one peer
=============================================  ==================================================

The other end is on the modelled host: another machine of the scenario, or a program that speaks
the same. Refused: ``fd=``, Unix datagrams, addresses outside, ``reconnect=`` (of newer QEMUs).
"""

from __future__ import annotations

import re

from desim.devices import SocketKind, SocketNet, SocketRole
from desim.scenario.addresses import inet_aton
from desim.scenario.qemu_user import Complain, read_switch, refuse_unknown_keys
from desim.scenario.qemu_words import Option, word_set
from desim.wire.addresses import IP_ANY, LOOPBACK, Endpoint, ip_text, is_multicast

WAYS = ("listen", "connect", "mcast", "udp")
KEYS = {
    "socket": word_set("type id fd listen connect mcast localaddr udp"),
    "stream": word_set(
        """type id server addr.type addr.host addr.port addr.path addr.str addr.ipv4 addr.ipv6
        addr.to addr.numeric addr.keep-alive addr.mptcp addr.abstract addr.tight reconnect
        reconnect-ms"""
    ),
    "dgram": word_set(
        """type id local.type local.host local.port local.path local.str remote.type remote.host
        remote.port remote.path remote.str local.ipv4 local.ipv6 remote.ipv4 remote.ipv6"""
    ),
}
OUTSIDE = "is outside of the modelled host, which is its loopback (127.0.0.1)"


class _Wrong(Exception):  # noqa: N818 - it is somebody's mistake, and told to whoever complains
    """What is wrong with the option."""


def read_socket(
    option: Option,
    kind: SocketKind,
    name: str,
    complain: Complain,
    own: frozenset[str] = frozenset(),
) -> SocketNet | None:
    """The backend called ``name``; None for one with a mistake, which goes to ``complain``.

    ``own`` are further keys that the option may have.
    """
    refuse_unknown_keys(option, KEYS[kind] | own, complain)
    read = {"socket": _socket, "stream": _stream, "dgram": _dgram}[kind]
    try:
        made = read(option, complain)
    except _Wrong as error:
        complain(str(error))
        return None
    made.id, made.kind = name, kind
    return made


def _made(role: SocketRole, **values: Endpoint | str | None) -> SocketNet:
    made = SocketNet(id="", role=role)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _socket(option: Option, complain: Complain) -> SocketNet:
    if option.last("fd") is not None:
        raise _Wrong("fd= is not modelled: nobody hands a descriptor over; use listen= or connect=")
    given = [way for way in WAYS if option.last(way) is not None]
    if len(given) != 1:
        raise _Wrong("exactly one of listen=, connect=, mcast= or udp= is required")
    (way,) = given
    localaddr = option.last("localaddr")
    if localaddr is not None and way not in ("mcast", "udp"):
        raise _Wrong("localaddr= is only valid with mcast= or udp=")
    if way == "udp" and localaddr is None:
        raise _Wrong("localaddr= is mandatory with udp=")
    address = _host_port(option.last(way) or "")
    if way == "listen":
        return _made("listen", local=_bindable(address))
    if way == "connect":
        return _made("connect", remote=_reachable(address, way))
    if way == "mcast":
        return _group(address, localaddr)
    return _made(
        "udp", remote=_reachable(address, way), local=_bindable(_host_port(localaddr or ""))
    )


def _stream(option: Option, complain: Complain) -> SocketNet:
    for key in ("reconnect", "reconnect-ms"):
        if option.last(key) is not None:
            raise _Wrong(f"Parameter '{key}' is unexpected: it came after QEMU 7.2")
    serves = bool(read_switch(option, "server", complain))
    kind = _address_type(option, "addr")
    role: SocketRole = "listen" if serves else "connect"
    if kind == "unix":
        return _made(role, path=_path(option, "addr"))
    address = _inet(option, "addr")
    if serves:
        return _made(role, local=_bindable(address))
    return _made(role, remote=_reachable(address, "addr"))


def _dgram(option: Option, complain: Complain) -> SocketNet:
    has = {end: any(key.startswith(f"{end}.") for key, _ in option.parts) for end in _ENDS}
    kinds = {end: _address_type(option, end) for end in _ENDS if has[end]}
    if kinds.get("remote") == "inet":
        remote = _inet(option, "remote")
        if is_multicast(remote[0]):
            return _group(remote, option.last("local.host") if has["local"] else None)
    if not has["local"]:
        raise _Wrong("dgram requires local= parameter")
    if not has["remote"]:
        raise _Wrong("type=inet or type=unix requires remote parameter")
    if kinds["local"] != kinds["remote"]:
        raise _Wrong("remote and local types must be the same")
    if kinds["local"] == "unix":
        raise _Wrong("Unix datagrams are not modelled; use local.type=inet and remote.type=inet")
    local = _bindable(_inet(option, "local"))
    return _made("udp", local=local, remote=_reachable(remote, "remote"))


_ENDS = ("local", "remote")


def _address_type(option: Option, end: str) -> str:
    kind = option.last(f"{end}.type")
    if kind is None:
        if end == "addr" and not any(key.startswith("addr.") for key, _ in option.parts):
            raise _Wrong("Parameter 'addr' is missing")
        raise _Wrong(f"Parameter '{end}.type' is missing")
    if kind in ("fd", "vsock"):
        raise _Wrong(f"{end}.type={kind} is not modelled; use {end}.type=inet")
    if kind not in ("inet", "unix"):
        raise _Wrong(f"Parameter 'type' does not accept value '{kind}'")
    return kind


def _path(option: Option, end: str) -> str:
    path = option.last(f"{end}.path")
    if path is None:
        raise _Wrong(f"Parameter '{end}.path' is missing")
    if len(path.encode()) > 107:
        raise _Wrong(f"UNIX socket path '{path}' is too long; at most 107 bytes are allowed")
    return path


def _inet(option: Option, end: str) -> Endpoint:
    parts = []
    for key in ("host", "port"):
        value = option.last(f"{end}.{key}")
        if value is None:
            raise _Wrong(f"Parameter '{end}.{key}' is missing")
        parts.append(value)
    return _host(parts[0]), _port(parts[1])


def _host_port(text: str) -> Endpoint:
    """``[HOST]:PORT`` (``parse_host_port``)."""
    host, colon, port = text.partition(":")
    if not colon:
        raise _Wrong(f"host address '{text}' doesn't contain ':' separating host from port")
    return _host(host), _port(port)


def _host(text: str) -> bytes:
    if not text:
        return IP_ANY
    if text == "localhost":
        return LOOPBACK
    if not text[0].isdigit():
        raise _Wrong(f"can't resolve host address '{text}'")
    address = inet_aton(text)
    if address is None:
        raise _Wrong(f"host address '{text}' is not a valid IPv4 address")
    return address


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise _Wrong(f"port number '{text}' is invalid")
    if int(text) > 65535:
        raise _Wrong(f"port number '{text}' is beyond 65535; QEMU would take its lower 16 bits")
    return int(text)


def _group(remote: Endpoint, localaddr: str | None) -> SocketNet:
    if not is_multicast(remote[0]):
        shown = f"{ip_text(remote[0])} (0x{remote[0].hex()})"
        raise _Wrong(f"specified mcastaddr {shown} does not contain a multicast address")
    if localaddr is not None:
        local = inet_aton(localaddr)
        if local is None:
            raise _Wrong(f"localaddr '{localaddr}' is not a valid IPv4 address")
        if local[0] != 127 and local != IP_ANY:
            raise _Wrong(f"localaddr {localaddr} {OUTSIDE}")
    return _made("mcast", remote=remote)


def _bindable(address: Endpoint) -> Endpoint:
    if address[0] != IP_ANY and address[0][0] != 127:
        why = f"Cannot assign requested address: it {OUTSIDE}"
        raise _Wrong(f"can't bind ip={ip_text(address[0])} to socket: {why}")
    return address


def _reachable(address: Endpoint, key: str) -> Endpoint:
    if address[0] != IP_ANY and address[0][0] != 127:
        raise _Wrong(f"{key}: {ip_text(address[0])} {OUTSIDE}")
    return address
