"""The network stack of the guest: Linux 6.1's, as far as slirp can see it.

``NetStack`` puts the parts together and is what the machine and the guest's programs
hold. Its soft interrupts are ``net_rx_action`` and ``net_tx_action``; everything else
happens in calls of programs (sockets, ``dev_open``), timers and kworkers, all through
the ``Cpu`` it was given.

How a segment travels
---------------------
In: the driver's poll -> ``Device.napi_gro_receive`` -> ``Gro`` -> ``NetCore``
(netif_receive_skb) -> ``Ip.ip_list_rcv`` -> ``TcpIpv4.tcp_v4_rcv`` -> ``TcpInput`` -> the
receive queue, and the program is woken.

Out: ``TcpSend.tcp_sendmsg`` -> ``TcpOutput.tcp_write_xmit`` -> ``__tcp_transmit_skb`` ->
``Ip.ip_queue_xmit`` -> ``ip_output`` -> ``ip_finish_output2`` -> the neighbour ->
``NetCore.dev_queue_xmit`` -> ``sch_direct_xmit`` -> ``dev_hard_start_xmit`` -> the driver.

IPv6 is a package of its own (``desim.guest.net.ipv6``), without sockets.

Not modelled: netfilter, more than one CPU, namespaces. Each part says what it leaves out
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from desim.data import NamedTuple
from desim.guest.cpu.context import Cpu
from desim.guest.drivers.netdevice import NetDriver
from desim.guest.entropy import Entropy
from desim.guest.mm.slab import Slabs
from desim.guest.net.dev import NetCore
from desim.guest.net.device import IFF_LOOPBACK, IFF_UP, NETDEV_REGISTER, Device, Loopback
from desim.guest.net.icmp import IcmpCore
from desim.guest.net.ip import Ip
from desim.guest.net.ipv6.af_inet6 import Inet6
from desim.guest.net.neigh import Arp4
from desim.guest.net.packet import PacketSocket
from desim.guest.net.raw import RawCore, RawSocket
from desim.guest.net.snmp import Snmp
from desim.guest.net.socket import TcpSocket
from desim.guest.net.tcp.sysctl import DEFAULTS, TcpSysctl
from desim.guest.net.tcp.tcp import Tcp
from desim.guest.net.tcp.tcp_minisocks import RequestSock, TimewaitSock
from desim.guest.net.tcp.tcp_sock import State
from desim.guest.net.udp import UdpCore, UdpSocket
from desim.ports import Endpoint, Random
from desim.stages import Build, bare
from desim.wire.addresses import IP_ANY, LOOPBACK, ZERO_MAC
from desim.wire.ipv4 import PROTO_ICMP, PROTO_TCP, PROTO_UDP

if TYPE_CHECKING:
    from desim.guest.net.ip_fragment import IpFragments


class Interface(NamedTuple):
    """One interface, as ifconfig shows it."""

    name: str
    flags: int
    mac: bytes
    mtu: int
    inet: bytes | None
    mask: bytes | None
    broadcast: bytes | None
    rx_packets: int
    rx_bytes: int
    tx_packets: int
    tx_bytes: int
    carrier: bool


class SocketInfo(NamedTuple):
    """One socket, as netstat and ss show it."""

    proto: str
    recv_q: int
    send_q: int
    local: Endpoint
    remote: Endpoint
    state: str
    sock: object = None
    """What a program's file stands for; None of what the kernel has alone."""
    backlog: int | None = None
    """How many connections may wait for accept(); None unless it listens."""
    device: str = ""
    """The only one that it uses (SO_BINDTODEVICE)."""


def _nobody_reads(line: str) -> None:
    """A kernel log without readers."""


class NetStack:
    """The stack with its loopback interface up and nothing else."""

    def __init__(
        self,
        *,
        cpu: Cpu,
        random: Random,
        seeded: bool = False,
        ipv6: bool = False,
        log: Callable[[str], None] = _nobody_reads,
        sysctl: TcpSysctl = DEFAULTS,
        build: Build = bare,
    ) -> None:
        """``seeded``: whether the kernel's random generator was ready at boot.

        ``log`` gets the lines of the kernel's log. ``sysctl``: settings of TCP.
        """
        self._cpu = cpu
        self.entropy: Entropy = build(Entropy)(seeded=seeded)
        self.build = build
        self.snmp = Snmp()
        self.devices: dict[str, Device] = {}
        self.core: NetCore = build(NetCore)(cpu=cpu, snmp=self.snmp, build=build)
        self.lo = self._loopback()
        slabs = Slabs(entropy=self.entropy, random=random("slab_freelist"), build=build)
        self.ip: Ip = build(Ip)(
            cpu=cpu,
            snmp=self.snmp,
            random=random,
            entropy=self.entropy,
            slabs=slabs,
            loopback=self.lo,
        )
        self.arp: Arp4 = build(Arp4)(
            cpu=cpu,
            snmp=self.snmp,
            random=random,
            inet=self.ip,
            dev_queue_xmit=self.core.dev_queue_xmit,
            free_skb=self.core.free_skb,
        )
        self.icmp: IcmpCore = build(IcmpCore)(ip=self.ip, snmp=self.snmp)
        self.udp: UdpCore = build(UdpCore)(
            cpu=cpu,
            ip=self.ip,
            snmp=self.snmp,
            random=random,
            port_unreachable=self.icmp.port_unreachable,
            net_enable_timestamp=self.core.net_enable_timestamp,
            build=build,
        )
        self.tcp: Tcp = build(Tcp)(
            cpu=cpu,
            ip=self.ip,
            snmp=self.snmp,
            random=random,
            entropy=self.entropy,
            slabs=slabs,
            tasklet_schedule=self.core.tasklet_schedule,
            sysctl=sysctl,
            build=build,
        )
        self.raw: RawCore = build(RawCore)(
            cpu=cpu,
            ip=self.ip,
            net_enable_timestamp=self.core.net_enable_timestamp,
            build=build,
        )
        self._wire_up()
        self.inet6: Inet6 | None = None
        if ipv6:
            self.inet6 = Inet6(
                cpu=cpu, snmp=self.snmp, random=random, core=self.core, log=log, build=build
            )
        self.core.call_netdevice_notifiers(NETDEV_REGISTER, self.lo)
        self.dev_open("lo")
        self.add_address("lo", LOOPBACK, 8)

    def _wire_up(self) -> None:
        core, ip = self.core, self.ip
        core.ip_rcv = ip.ip_rcv
        core.ip_list_rcv = ip.ip_list_rcv
        core.arp_rcv = self.arp.arp_rcv
        ip.arp = self.arp
        ip.dev_queue_xmit = core.dev_queue_xmit
        ip.tcp_v4_rcv = self.tcp.ipv4.tcp_v4_rcv
        ip.handlers[PROTO_UDP] = self.udp.udp_rcv
        ip.handlers[PROTO_ICMP] = self.icmp.icmp_rcv
        ip.link_failure_handler = self.icmp.link_failure
        ip.raw_local_deliver = self.raw.raw_local_deliver
        ip.ip_defrag = lambda skb, packet: self.frags.ip_defrag(skb, packet)
        ip.proto_unreachable = self.icmp.proto_unreachable
        self.icmp.errors[PROTO_TCP] = self.tcp.ipv4.tcp_v4_err
        self.icmp.errors[PROTO_UDP] = self.udp.udp_err

    @cached_property
    def frags(self) -> IpFragments:
        """Datagrams of which fragments are missing: made, and imported, for the first one."""
        from desim.guest.net.ip_fragment import IpFragments

        made = self.build(IpFragments)(cpu=self._cpu, snmp=self.snmp)
        made.time_exceeded = self.icmp.frag_time_exceeded
        return made

    def _loopback(self) -> Device:
        device: Device = self.build(Device)(
            name="lo",
            dev_addr=ZERO_MAC,
            core=self.core,
            cpu=self._cpu,
            build=self.build,
            mtu=65536,
        )
        device.flags = IFF_LOOPBACK
        device.driver = self.build(Loopback)(lambda skb: self.core.loop_back(skb, device), device)
        device.netif_start_queue()
        self.devices["lo"] = device
        return device

    # Interfaces.

    def alloc_etherdev(self, name: str, dev_addr: bytes) -> Device:
        """A new interface, which nobody knows of before ``register_netdev``."""
        return self.build(Device)(
            name=name, dev_addr=dev_addr, core=self.core, cpu=self._cpu, build=self.build
        )

    def register_netdev(self, device: Device, driver: NetDriver) -> None:
        """Make ``device`` known, with the driver that has been made for it.

        Raises ``FileExistsError`` if there is one of that name.
        """
        if device.name in self.devices:
            raise FileExistsError(f"there is an interface {device.name} already")
        device.driver = driver
        self.devices[device.name] = device
        self.core.call_netdevice_notifiers(NETDEV_REGISTER, device)

    def attach(self, name: str, dev_addr: bytes, driver: Callable[[Device], NetDriver]) -> Device:
        """Register an interface; ``driver`` makes its driver from the device it is for."""
        device = self.alloc_etherdev(name, dev_addr)
        self.register_netdev(device, driver(device))
        return device

    def dev_open(self, name: str) -> None:
        """``ip link set NAME up``; in process context."""
        self.core.dev_open(self._device(name))

    def dev_close(self, name: str) -> None:
        """``ip link set NAME down``; in process context."""
        self.core.dev_close(self._device(name))

    def add_address(self, name: str, address: bytes, prefix: int) -> None:
        """``ip addr add ADDRESS/PREFIX dev NAME``."""
        self.ip.add_address(self._device(name), address, prefix)

    def del_address(self, name: str, address: bytes) -> None:
        """``ip addr del``."""
        self.ip.del_address(self._device(name), address)

    def add_route(
        self, network: bytes, prefix: int, *, gateway: bytes | None = None, device: str = ""
    ) -> None:
        """``ip route add``: 0.0.0.0/0 is the default route."""
        if gateway is not None and not device:
            found = self.ip.route_output(gateway).device
        else:
            found = self._device(device)
        self.ip.add_route(network, prefix, found, gateway)

    def del_route(self, network: bytes, prefix: int) -> None:
        """``ip route del``."""
        self.ip.del_route(network, prefix)

    def _device(self, name: str) -> Device:
        device = self.devices.get(name)
        if device is None:
            known = ", ".join(self.devices)
            raise LookupError(f"there is no interface {name!r}; there are {known}")
        return device

    # Soft interrupts.

    def net_rx_action(self) -> None:
        """The handler of NET_RX_SOFTIRQ."""
        self.core.net_rx_action()

    def net_tx_action(self) -> None:
        """The handler of NET_TX_SOFTIRQ."""
        self.core.net_tx_action()

    # Sockets.

    def tcp_socket(self) -> TcpSocket:
        """``socket(AF_INET, SOCK_STREAM)``."""
        made: TcpSocket = self.build(TcpSocket)(self.tcp, self._cpu)
        return made

    def udp_socket(self) -> UdpSocket:
        """``socket(AF_INET, SOCK_DGRAM)``."""
        return self.udp.socket()

    def packet_socket(self, device: str, protocol: int) -> PacketSocket:
        """``socket(AF_PACKET, SOCK_DGRAM, protocol)`` bound to ``device`` ("" for all)."""
        bound = self._device(device) if device else None
        made: PacketSocket = self.build(PacketSocket)(
            self.core, self._cpu, bound, protocol, self.devices
        )
        return made

    def icmp_socket(self) -> RawSocket:
        """``socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)``."""
        return self.raw.socket(PROTO_ICMP)

    # What can be seen from outside.

    def interfaces(self) -> list[Interface]:
        """All interfaces, in the order of their making."""
        shown = []
        for device in self.devices.values():
            held = next((a for a in self.ip.addresses if a.device is device), None)
            stats = device.stats
            shown.append(
                Interface(
                    device.name,
                    device.flags,
                    device.dev_addr,
                    device.mtu,
                    held.address if held else None,
                    held.mask if held else None,
                    held.broadcast if held else None,
                    stats.rx_packets,
                    stats.rx_bytes,
                    stats.tx_packets,
                    stats.tx_bytes,
                    device.netif_carrier_ok(),
                )
            )
        return shown

    def sockets(self) -> list[SocketInfo]:
        """All TCP and UDP sockets, listeners first, as netstat -an lists them."""
        tcp = self.tcp
        shown = []
        for sk in tcp.sockets:
            backlog = None
            if sk.state == State.LISTEN:
                queues, backlog = (len(sk.accept_queue), 0), sk.max_ack_backlog
            elif sk.state == State.CLOSE:
                continue
            else:
                queues = (max(sk.rcv_nxt - sk.copied_seq, 0), sk.write_seq - sk.snd_una)
            local, remote = (sk.saddr, sk.sport), (sk.daddr, sk.dport)
            shown.append(SocketInfo("tcp", *queues, local, remote, sk.state.name, sk, backlog))
        for entry in tcp.ipv4.ehash.values():
            if isinstance(entry, RequestSock | TimewaitSock):
                state = State.SYN_RECV
                if isinstance(entry, TimewaitSock):
                    state = entry.substate
                local, remote = (entry.saddr, entry.sport), (entry.daddr, entry.dport)
                shown.append(SocketInfo("tcp", 0, 0, local, remote, state.name))
        shown.sort(key=lambda info: info.state != "LISTEN")
        for sock in self.udp.sockets:
            state_name = "ESTABLISHED" if sock.dport else ""
            local, remote = (sock.saddr, sock.sport), (sock.daddr or IP_ANY, sock.dport)
            device = "" if sock.device is None else sock.device.name
            shown.append(
                SocketInfo("udp", sock.rmem_alloc, 0, local, remote, state_name, sock, None, device)
            )
        return shown

    def idle(self) -> bool:
        """Whether nothing will happen by itself any more, but for what is periodic.

        The ends of TIME_WAIT and of a neighbour's reachability change nothing that
        anybody can see, and do not count.
        """
        return (
            self.core.idle()
            and self.arp.idle()
            and self.tcp.idle()
            and (self.inet6 is None or self.inet6.idle())
            and all(
                device.napi.gro.empty
                and not device.qdisc
                and not device.requeued
                and not device.in_flight
                for device in self.devices.values()
                if device.flags & IFF_UP
            )
        )
