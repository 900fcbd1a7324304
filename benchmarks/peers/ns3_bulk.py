"""One TCP bulk transfer over one link in ns-3, all of it C++ but the wiring.

    PYTHON ns3_bulk.py MEGABYTES

Two nodes, a point-to-point link of 1 Gbit/s and 5 us, 1460 bytes a segment, buffers of 1 MiB.
Prints one JSON object: data segments, events, and the CPU seconds of the run alone.
"""

import json
import sys
import time

from ns import ns

PORT = 9000
MSS = 1460


def wired():
    """Two nodes with an internet stack each, and the receiver's address."""
    for socket_default, value in (
        ("SegmentSize", MSS),
        ("SndBufSize", 1 << 20),
        ("RcvBufSize", 1 << 20),
    ):
        ns.Config.SetDefault(f"ns3::TcpSocket::{socket_default}", ns.UintegerValue(value))
    nodes = ns.NodeContainer()
    nodes.Create(2)
    ns.InternetStackHelper().Install(nodes)
    link = ns.PointToPointHelper()
    link.SetDeviceAttribute("DataRate", ns.StringValue("1Gbps"))
    link.SetChannelAttribute("Delay", ns.StringValue("5us"))
    devices = link.Install(nodes)
    addresses = ns.Ipv4AddressHelper()
    addresses.SetBase(ns.Ipv4Address("192.168.1.0"), ns.Ipv4Mask("255.255.255.0"))
    return nodes, addresses.Assign(devices).GetAddress(1)


def transfer(size):
    """Install both applications; what receives is returned."""
    nodes, receiver = wired()
    tcp = "ns3::TcpSocketFactory"
    anywhere = ns.InetSocketAddress(ns.Ipv4Address.GetAny(), PORT).ConvertTo()
    sink = ns.PacketSinkHelper(tcp, anywhere).Install(nodes.Get(1))
    source = ns.BulkSendHelper(tcp, ns.InetSocketAddress(receiver, PORT).ConvertTo())
    source.SetAttribute("MaxBytes", ns.UintegerValue(size))
    source.SetAttribute("SendSize", ns.UintegerValue(16384))
    source.Install(nodes.Get(0))
    return sink


def main():
    """Run it, and print what it took."""
    size = int(sys.argv[1]) * 1_000_000
    transfer(size)
    # All that was sent has come long before: 1 Gbit/s.
    ns.Simulator.Stop(ns.Seconds(600))
    start = time.process_time()
    ns.Simulator.Run()
    cpu_s = time.process_time() - start
    events = ns.Simulator.GetEventCount()
    print(json.dumps({"segments": size // MSS, "events": events, "cpu_s": cpu_s}))


main()
