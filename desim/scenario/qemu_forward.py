"""Forwarding rules: ``hostfwd=`` and ``-redir`` (net/slirp.c, slirp_hostfwd).

A rule is read left to right and the first part that is wrong names the reason,
in QEMU's words: ``Invalid host forwarding rule 'tcp::x-:22' (Bad host port)``.

Host port 0 takes any free one; ``netstat`` on the host tells which.

Not modelled: forwarding from Unix sockets. It is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from desim.devices import HostFwd, Proto, UserNet
from desim.scenario.addresses import inet_aton, parse_number


def parse_hostfwd(rule: str) -> HostFwd:
    """``PROTO:[host_addr]:host_port-[guest_addr]:guest_port``; ``ValueError`` with the reason."""
    name, rest = _cut(rule, ":", "No : separators")
    if name == "unix":
        raise ValueError("Unix sockets are not modelled; use tcp or udp")
    proto = _proto(name)
    host, rest = _cut(rest, ":", "Missing : separator")
    host_addr = _address(host, "Bad host address")
    port, rest = _cut(rest, "-", "Bad host port separator")
    host_port = _port(port, "Bad host port", lowest=0)
    guest, guest_port = _cut(rest, ":", "Missing guest address")
    return HostFwd(
        proto=proto,
        host_addr=host_addr,
        host_port=host_port,
        guest_addr=_address(guest, "Bad guest address"),
        guest_port=_port(guest_port, "Bad guest port"),
    )


def parse_redir(rule: str) -> HostFwd:
    """``PROTO:host_port:[guest_addr]:guest_port``, the spelling of ``-redir`` up to QEMU 2.x."""
    name, rest = _cut(rule, ":", "No : separators")
    proto = _proto(name)
    port, rest = _cut(rest, ":", "Bad host port separator")
    host_port = _port(port, "Bad host port", lowest=0)
    guest, guest_port = _cut(rest, ":", "Missing guest address")
    return HostFwd(
        proto=proto,
        host_port=host_port,
        guest_addr=_address(guest, "Bad guest address"),
        guest_port=_port(guest_port, "Bad guest port"),
    )


def invalid_rule(rule: str, why: ValueError) -> str:
    """QEMU's words for it; what stands behind a semicolon in ``why``, the way out, is ours."""
    reason, _, way_out = str(why).partition("; ")
    return f"Invalid host forwarding rule '{rule}' ({reason})" + (f"; {way_out}" if way_out else "")


class Forwards:
    """The rules of one user network, by protocol and port, so that ten thousand are no trouble."""

    def __init__(self, user: UserNet) -> None:
        self._user = user
        self._taken: dict[tuple[Proto, int], list[HostFwd]] = {}
        for rule in user.hostfwd:
            self._take(rule)

    def _take(self, rule: HostFwd) -> None:
        if rule.host_port:
            self._taken.setdefault((rule.proto, rule.host_port), []).append(rule)

    def add(
        self,
        rule: str,
        parse: Callable[[str], HostFwd],
        complain: Callable[[str], None],
        option: str,
    ) -> None:
        """Add a rule of ``option``, unless another one would listen there, too (EADDRINUSE).

        QEMU sets up the last rule first, so it is the earlier one of two that fails.
        """
        try:
            forward = parse(rule)
        except ValueError as error:
            complain(invalid_rule(rule, error))
            return
        forward.written, forward.option = rule, option
        address = forward.host_addr
        for other in self._taken.get((forward.proto, forward.host_port), ()):
            if other.host_addr == address or not (any(other.host_addr) and any(address)):
                complain(
                    f"Could not set up host forwarding rule '{other.written}' "
                    f"({forward.proto} port {forward.host_port} of the host is already forwarded "
                    f"by '{rule}')"
                )
                return
        self._take(forward)
        self._user.hostfwd.append(forward)


def _cut(text: str, separator: str, reason: str) -> tuple[str, str]:
    part, found, rest = text.partition(separator)
    if not found:
        raise ValueError(reason)
    return part, rest


def _proto(name: str) -> Proto:
    if name in ("tcp", ""):
        return "tcp"
    if name == "udp":
        return "udp"
    raise ValueError("Bad protocol name; use tcp or udp")


def _address(text: str, reason: str) -> bytes:
    address = inet_aton(text or "0.0.0.0")
    if address is None:
        raise ValueError(reason)
    return address


def _port(text: str, reason: str, lowest: int = 1) -> int:
    port = parse_number(text)
    if port is None or not lowest <= port <= 65535:
        raise ValueError(reason)
    return port
