"""What each key of a scenario file is, in words: for ``docs/scenario.md``, the schema and editors.

The tables in ``desim.scenario.schema`` say which keys there are and what their values must be;
here is what people are told of them, and only those who ask load it. In Markdown.
"""

from __future__ import annotations

from desim.data import NamedTuple
from desim.scenario.metrics import METRICS


class About(NamedTuple):
    """What a key is, and what holds where a file does not have it."""

    text: str
    without: str = ""


KEYS = {
    "extends": About(
        "another scenario, by its name or as a file beside this one, that this one is made from: "
        "tables are joined, all else that is said here replaces what is said there",
        "none",
    ),
    "description": About(
        "one line about the scenario, for reports",
        "none",
    ),
    "qemu": About(
        "QEMU's options, as text or as a list of texts ([below](#qemus-options))",
        "QEMU's own default: one e1000 on a user network, through a hub",
    ),
    "slirp": About(
        'whose behaviour slirp has: `"4.7"` (libslirp 4.7.0) or `"2.8"` (the slirp inside '
        "QEMU 2.8)",
        '`"4.7"`; `"2.8"` if the options have `-redir`, `-tftp`, `-bootp` or `vlan=`, which '
        "newer QEMUs refuse",
    ),
    "semantics": About(
        'whose timing the card has: `"qemu"`, or `"datasheet"` for that of Intel\'s manual '
        "(delay timers, ITR, and a wire that takes time; see [the card](e1000.md#two-timings))",
        '`"qemu"`',
    ),
    "costs": About(
        "how long each function takes: a cost profile by its name (`desim costs` lists them), "
        "or a file of one in the scenario's folder",
        '`"study-2016"`',
    ),
    "seed": About(
        "the seed of all random streams, a whole number from 0 on",
        "1",
    ),
    "until": About(
        "the virtual time at which the run is stopped",
        '`"1h"`',
    ),
    "strict": About(
        "whether every charge of time is a meeting of all threads: slow, and the same trace "
        "([glossary](glossary.md))",
        "`false`",
    ),
    "run.limits.frames": About(
        "how many frames a run may have on the wire, copies and changed ones included; each "
        "takes up to 3 kB on the disk",
        "250000",
    ),
    "run.limits.marks": About(
        "how many entries and exits of functions it may record, of 10 bytes each on the disk",
        "50000000",
    ),
    "run.limits.notes": About(
        "how many other events of the trace it may record, of some 30 bytes each on the disk",
        "2000000",
    ),
    "run.limits.events": About(
        "how many steps of the engine it may take",
        "200000000",
    ),
    "guest.modprobe": About(
        "the guest's driver with its parameters: `\"e1000 InterruptThrottleRate=8000 "
        'RxIntDelay=32"`. To compare with: `"e1000_plain"` (one interrupt, one frame) and '
        '`"e1000_polling period_us=250"` (no interrupts); see [drivers](drivers.md)',
        '`"e1000"`',
    ),
    "guest.modprobe_at": About(
        "the instant before which the boot script does not load the driver: a machine that is "
        "started later than another one",
        "power-on",
    ),
    "guest.address": About(
        "the address that the boot script gives the guest, with the bits of its network: "
        '`"10.0.0.1/24"`; for a wire without a DHCP server',
        "DHCP gives it one",
    ),
    "guest.ipv6": About(
        "whether the guest's kernel speaks IPv6 (`false` is Linux's `ipv6.disable=1`)",
        "`true`",
    ),
    "guest.hosts": About(
        'where the guest looks names up (the line `hosts:` of nsswitch.conf): `"files"` is '
        '/etc/hosts alone; with `"files dns"` it asks the name server that DHCP has told it, and '
        "`nc -v` asks for the names of addresses, too",
        '`"files"`, as the recorded guest; `"files dns"` if there is a `dns.resolver`',
    ),
    "guest.sysctl": About(
        'settings of the guest\'s TCP, a list such as `["net.ipv4.tcp_retries2=5"]` '
        "([below](#settings-of-the-guests-tcp))",
        "those of the recorded guest",
    ),
    "guest.run.command": About(
        "a command line that the guest runs. Each `[[guest.run]]` is a terminal of its own",
    ),
    "guest.run.at": About(
        "the instant at which it is typed",
        "when the guest's network is up",
    ),
    "guest.run.stop": About(
        'when it is stopped, as with Ctrl-C: an instant, or `"+3.5s"` for a time after its start',
        "never",
    ),
    "guest.run.every": About(
        "the command comes again, each time in a terminal of its own: so long after the start "
        'before, `"1ms"`, or by chance, `"uniform 1ms .. 3ms"`, `"exponential 1ms"` (the mean)',
        "never",
    ),
    "guest.run.times": About("how many times it is started in all, at most 1000", "1"),
    "guest.run.expect.exit": About("the exit status that it must end with", "any"),
    "guest.run.expect.output": About("a text that its terminal must show", "any"),
    "guest.run.expect.time": About('how long it must take: a condition, such as `"< 2s"`', "any"),
    "host.run.command": About(
        "a command line that the host runs",
    ),
    "host.run.at": About(
        "the instant at which it is typed",
        "the first whole second at which every guest command that has started waits for "
        "input; one whose own `at` is later is not waited for",
    ),
    "host.run.stop": About(
        "when it is stopped, as in the guest",
        "never",
    ),
    "host.run.every": About(
        "the command comes again, each time in a terminal of its own: so long after the start "
        'before, `"1ms"`, or by chance, `"uniform 1ms .. 3ms"`, `"exponential 1ms"` (the mean)',
        "never",
    ),
    "host.run.times": About("how many times it is started in all, at most 1000", "1"),
    "host.run.expect.exit": About("the exit status that it must end with", "any"),
    "host.run.expect.output": About("a text that its terminal must show", "any"),
    "host.run.expect.time": About('how long it must take: a condition, such as `"< 2s"`', "any"),
    "monitor.run.at": About("the instant at which the command is typed"),
    "monitor.run.command": About(
        "a command of QEMU's monitor: `set_link NAME on|off`, `hostfwd_add RULE`, "
        "`hostfwd_remove PROTO:[ADDR]:PORT`, `qom-set FILTER status on|off`, `info usernet`, "
        "`info network`",
    ),
    "at.at": About("the instant at which something happens"),
    "at.link": About(
        'net clients whose link goes `"on"` or `"off"`, by the names that QEMU\'s monitor has: '
        '`link.card = "off"`',
        "none",
    ),
    "at.filter": About(
        'filters (`-object filter-...`) that take part (`"on"`) or not (`"off"`) from then on: '
        '`filter.f0 = "off"`',
        "none",
    ),
    "at.monitor": About("a command of QEMU's monitor, as in `monitor.run.command`", "none"),
    "at.guest": About("a command of the guest, in a terminal of its own", "none"),
    "at.host": About("a command of the host, in a terminal of its own", "none"),
    "at.stop": About(
        "a terminal whose program is stopped, as with Ctrl-C, by the name that reports have for "
        'it: `"guest 1"` is that of the first `[[guest.run]]`',
        "none",
    ),
    "inject.at": About("the instant at which the first frame is sent"),
    "inject.frames": About(
        "the bytes of a frame in hexadecimal, from its destination on and without its checksum, or "
        "a list of frames, which are sent one behind the other",
        "those of `pcap`",
    ),
    "inject.pcap": About(
        "a capture file (pcap or pcapng) in the scenario's folder, whose frames are sent as far "
        "apart as they were captured",
        "those of `frames`",
    ),
    "inject.every": About(
        'all of it is sent again: so long after the time before, `"1ms"`, or by chance, as '
        "`guest.run.every`",
        "never",
    ),
    "inject.times": About("how many times it is sent in all; 100000 frames at most", "1"),
    "dns.resolver": About(
        'the name servers of the host, in 127.0.0.0/8 or `"::1"`, as text or a list: slirp\'s '
        "DNS address leads to them",
        "none: the host has no resolver",
    ),
    "dns.record.name": About(
        "the name that one table `[[dns.record]]` is about",
    ),
    "dns.record.a": About(
        "its IPv4 addresses, as text or a list",
        "none",
    ),
    "dns.record.aaaa": About(
        "its IPv6 addresses, as text or a list",
        "none",
    ),
    "dns.record.cname": About(
        "the name that it is another name for",
        "none",
    ),
    "dns.record.ptr": About(
        "the name that an address (written as a name of `in-addr.arpa` or `ip6.arpa`) leads "
        "to; desim makes these records for `a` and `aaaa` by itself",
        "none",
    ),
    "dns.record.ttl": About(
        "how long an answer may be kept, in whole seconds",
        '`"5min"`',
    ),
    "sweep.vary": About(
        "keys of the scenario that vary, each with all others, and their values: a list, a range "
        '`"0:2000:100"`, or a table ([below](#sweeps))',
        "none",
    ),
    "sweep.zip": About("groups of keys that vary together, in the same form", "none"),
    "sweep.seeds": About('the seeds of each point, such as `"1:5"` or `[1, 7]`', "`seed` alone"),
    "sweep.repeat": About("how many seeds each point has, from `seed` on", "1"),
    "sweep.metrics": About(
        "the figures that are worked out and kept, by name (`desim metrics` lists them)",
        "those that take no walk through the trace, and those of `sweep.show`",
    ),
    "sweep.show": About(
        "the figures that the screen shows, by name, in this order",
        "those that most people want, as far as the runs have them",
    ),
    "expect.guest.file": About(
        "by file name: the text of a file that programs of the guest write, or `{ same_as = "
        '"FILE" }` for the contents of yours',
        "none",
    ),
    "expect.host.file": About(
        "the same of files that programs of the host write",
        "none",
    ),
    "expect.laws": About(
        "[laws](laws.md) that the run must keep, a list of their names; one about a pair of runs "
        "makes the second one",
        "none",
    ),
    "expect.fingerprint": About("how the fingerprint of the run begins: 8 digits or more", "any"),
    **{f"expect.{name}": About(metric.about, "any") for name, metric in METRICS.items()},
}
OF_MACHINES = ("qemu", "slirp", "semantics", "guest.", "monitor.", "inject.")
"""How the keys begin that ``[machine.NAME]`` has, too."""
KEYS |= {
    f"machine.NAME.{name}": about for name, about in KEYS.items() if name.startswith(OF_MACHINES)
} | {"machine.NAME.expect.file": KEYS["expect.guest.file"]}
"""By key, as ``--set`` takes it but without the numbers of arrays; in the order of the page."""
