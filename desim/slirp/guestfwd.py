"""Guest forwarding: addresses of the virtual network that lead to something of the host.

(slirp/misc.c, slirp/slirp.c, slirp/tcp_subr.c ``tcp_ctl``.) The connection to what is
behind the rule is made when the guest's handshake is complete.

=============== ===========================================================
a callback      takes what the guest sends (``qemu_chr_fe_write_all``), all of it and at
                once; what it has for the guest it gives to ``recv``, at most ``can_recv`` bytes
a Unix socket   is connected to
a command       is started, for each connection anew, with one end of a loopback connection
                as its standard input, output and error; slirp has the other end
=============== ===========================================================

Not modelled: IPv6 addresses in rules (libslirp has none).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from desim.devices import GuestFwd
from desim.slirp.socket import SS_FCANTRCVMORE, SS_ISFCONNECTED, SS_NOFDREF, Socket
from desim.stages import QEMU, mark, stages

if TYPE_CHECKING:
    from desim.slirp.slirp import Slirp

NO_APPLICATION = b"Error: No application configured.\r\n"


class GuestForwarding:
    """The rules, newest first."""

    STAGES = stages(
        QEMU,
        fork_exec=mark("fork_exec", file="slirp/misc.c"),
    )

    def __init__(self, *, slirp: Slirp) -> None:
        self.slirp = slirp
        self.rules: list[GuestFwd] = []
        self.output: Callable[[GuestFwd, bytes], None] | None = None
        """Takes the guest's bytes for a rule without a socket; may raise ``OSError``."""

    def find(self, address: bytes, port: int) -> GuestFwd | None:
        """The rule for ``address``:``port``."""
        for rule in self.rules:
            if rule.port == port and rule.server == address:
                return rule
        return None

    def add(self, rule: GuestFwd) -> bool:
        """False if the address is not free for that (``check_guestfwd``)."""
        slirp = self.slirp
        if (
            not slirp.in_vnetwork(rule.server)
            or rule.server in (slirp.config.host, slirp.config.dns)
            or self.find(rule.server, rule.port)
        ):
            return False
        self.rules.insert(0, rule)
        return True

    def remove(self, address: bytes, port: int) -> bool:
        """False if there is no such rule."""
        rule = self.find(address, port)
        if rule is None:
            return False
        self.rules.remove(rule)
        return True

    def tcp_ctl(self, so: Socket) -> bool:
        """Connect ``so``, whose handshake is complete, to what its rule says; False if not."""
        rule = self.find(*so.fhost)
        if rule is None:
            so.so_snd.append(NO_APPLICATION)
            return False
        if rule.command is not None:
            return self.fork_exec(so, rule.command)
        if rule.unix is None:
            so.fd = -1
            so.guestfwd = rule
            return True
        try:
            so.fd = self.slirp.sockets.connect_unix(rule.unix)
        except OSError:
            return False
        return True

    def fork_exec(self, so: Socket, ex: str) -> bool:
        """Start the command ``ex`` behind ``so``; False if that fails."""
        try:
            so.fd = self.slirp.sockets.spawn(ex)
        except OSError:
            return False
        return True

    def write(self, rule: GuestFwd, data: bytes) -> None:
        """Bytes of the guest for ``rule``."""
        if self.output is not None:
            self.output(rule, data)

    def _session(self, address: bytes, port: int) -> Socket | None:
        for so in self.slirp.newest_first(self.slirp.tcp_subr.tcb):
            if so.fhost == (address, port):
                return so
        return None

    def can_recv(self, address: bytes, port: int) -> int:
        """How many bytes the guest can be given now (``slirp_socket_can_recv``)."""
        so = self._session(address, port)
        if so is None or so.so_state & SS_NOFDREF:
            return 0
        snd = so.so_snd
        if (
            so.so_state & (SS_FCANTRCVMORE | SS_ISFCONNECTED) != SS_ISFCONNECTED
            or snd.cc >= snd.datalen // 2
        ):
            return 0
        return sum(snd.writable(so.so_tcpcb.t_maxseg))

    def recv(self, address: bytes, port: int, data: bytes) -> None:
        """Give ``data``, at most ``can_recv`` bytes of it, to the guest."""
        so = self._session(address, port)
        if so is None:
            return
        if not data or sum(so.so_snd.writable(so.so_tcpcb.t_maxseg)) < len(data):
            raise ValueError(f"guestfwd: {len(data)} bytes are more than can_recv() allowed")
        so.so_snd.append(data)
        self.slirp.tcp_output.tcp_output(so.so_tcpcb)
