"""One TCP flow in ns.py, which runs on SimPy: sender, wire, switch, wire, receiver, and back.

    PYTHON nspy_tcp.py SECONDS

Packets are objects without bytes or headers; the congestion control is Reno. Prints one JSON
object: data segments that came, and the CPU seconds of the run alone.
"""

import json
import sys
import time

import simpy
from ns.flow.cc import TCPReno
from ns.flow.flow import Flow
from ns.packet.tcp_generator import TCPPacketGenerator
from ns.packet.tcp_sink import TCPSink
from ns.port.wire import Wire
from ns.switch.switch import SimplePacketSwitch

DATA, ACKS = 0, 10_000
"""The flow's number, and the one that its acknowledgements carry."""


def flow(env, seconds):
    """Wire everything; the receiver is returned."""
    described = Flow(fid=DATA, src="a", dst="b", finish_time=seconds, size_dist=lambda: 512)
    sender = TCPPacketGenerator(env, flow=described, cc=TCPReno(), element_id="a")
    receiver = TCPSink(env, rec_waits=False)
    switch = SimplePacketSwitch(env, nports=2, port_rate=10_000_000, buffer_size=64)
    up, down, back, home = (Wire(env, lambda: 0.01) for _ in range(4))
    sender.out, up.out, down.out = up, switch, receiver
    receiver.out, back.out, home.out = back, switch, sender
    switch.demux.fib = {DATA: 0, ACKS: 1}
    switch.demux.outs[0].out = down
    switch.demux.outs[1].out = home
    return receiver


def main():
    """Run it, and print what it took."""
    seconds = float(sys.argv[1])
    env = simpy.Environment()
    receiver = flow(env, seconds)
    start = time.process_time()
    env.run(until=seconds)
    cpu_s = time.process_time() - start
    print(json.dumps({"segments": sum(receiver.packets_received.values()), "cpu_s": cpu_s}))


main()
