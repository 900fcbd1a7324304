"""The settings of TCP that the model obeys (``net.ipv4.tcp_*``, net/ipv4/sysctl_net_ipv4.c).

The values are those of the recorded guest, a 6.1 with 256 MiB; limits are Linux's own, but
for ``tcp_fin_timeout``: beyond a minute Linux keeps a whole socket alive by its keepalive
timer, which is not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from desim.data import Data, fields, replace
from desim.errors import nearest
from desim.guest.cpu.context import HZ

PREFIX = "net.ipv4."
_INT_MAX = 0x7FFFFFFF
_SECONDS_MAX = _INT_MAX // HZ
"""What ``proc_dointvec_jiffies`` takes."""


class TcpSysctl(Data, frozen=True):
    """One value for each setting; times are in the unit of the setting."""

    tcp_rmem: tuple[int, int, int] = (4096, 131072, 1576928)
    tcp_wmem: tuple[int, int, int] = (4096, 16384, 1576928)
    tcp_syn_retries: int = 6
    tcp_synack_retries: int = 5
    tcp_retries2: int = 15
    tcp_orphan_retries: int = 0
    """0 stands for 8, while the connection may still be alive."""
    tcp_fin_timeout: int = 60
    """Seconds."""
    tcp_keepalive_time: int = 7200
    tcp_keepalive_intvl: int = 75
    """Seconds, like tcp_keepalive_time; for sockets that have not chosen a time themselves."""
    tcp_keepalive_probes: int = 9
    tcp_slow_start_after_idle: int = 1
    tcp_frto: int = 2
    tcp_reordering: int = 3
    tcp_max_reordering: int = 300
    tcp_retrans_collapse: int = 1
    tcp_tso_win_divisor: int = 3
    tcp_min_tso_segs: int = 2
    tcp_tso_rtt_log: int = 9
    tcp_limit_output_bytes: int = 1 << 20
    tcp_autocorking: int = 1
    tcp_moderate_rcvbuf: int = 1
    tcp_invalid_ratelimit: int = 500
    """Milliseconds."""
    tcp_abort_on_overflow: int = 0
    tcp_rfc1337: int = 0
    tcp_pacing_ss_ratio: int = 200
    tcp_pacing_ca_ratio: int = 120
    tcp_timestamps: int = 1
    """What a SYN offers; slirp takes none of these three up."""
    tcp_sack: int = 1
    tcp_window_scaling: int = 1


DEFAULTS = TcpSysctl()

LIMITS: dict[str, tuple[int, int]] = {
    "tcp_rmem": (1, _INT_MAX),
    "tcp_wmem": (1, _INT_MAX),
    "tcp_syn_retries": (1, 127),
    "tcp_synack_retries": (0, 255),
    "tcp_retries2": (0, 255),
    "tcp_orphan_retries": (0, 255),
    "tcp_fin_timeout": (0, 60),
    "tcp_keepalive_time": (0, _SECONDS_MAX),
    "tcp_keepalive_intvl": (0, _SECONDS_MAX),
    "tcp_keepalive_probes": (0, 255),
    "tcp_slow_start_after_idle": (0, 255),
    "tcp_frto": (0, 255),
    "tcp_reordering": (1, _INT_MAX),
    "tcp_max_reordering": (1, _INT_MAX),
    "tcp_retrans_collapse": (0, 255),
    "tcp_tso_win_divisor": (0, 255),
    "tcp_min_tso_segs": (1, 255),
    "tcp_tso_rtt_log": (0, 255),
    "tcp_limit_output_bytes": (1, _INT_MAX),
    "tcp_autocorking": (0, 1),
    "tcp_moderate_rcvbuf": (0, 255),
    "tcp_invalid_ratelimit": (0, _INT_MAX),
    "tcp_abort_on_overflow": (0, 255),
    "tcp_rfc1337": (0, 255),
    "tcp_pacing_ss_ratio": (0, 1000),
    "tcp_pacing_ca_ratio": (0, 1000),
    "tcp_timestamps": (0, 2),
    "tcp_sack": (0, 1),
    "tcp_window_scaling": (0, 1),
}

NOT_OBEYED = frozenset(
    [
        "tcp_abc",
        "tcp_adv_win_scale",
        "tcp_allowed_congestion_control",
        "tcp_app_win",
        "tcp_available_congestion_control",
        "tcp_available_ulp",
        "tcp_base_mss",
        "tcp_challenge_ack_limit",
        "tcp_child_ehash_entries",
        "tcp_comp_sack_delay_ns",
        "tcp_comp_sack_nr",
        "tcp_comp_sack_slack_ns",
        "tcp_congestion_control",
        "tcp_dsack",
        "tcp_early_demux",
        "tcp_early_retrans",
        "tcp_ecn",
        "tcp_ecn_fallback",
        "tcp_ecn_option",
        "tcp_ehash_entries",
        "tcp_fack",
        "tcp_fastopen",
        "tcp_fastopen_blackhole_timeout_sec",
        "tcp_fastopen_key",
        "tcp_fwmark_accept",
        "tcp_l3mdev_accept",
        "tcp_low_latency",
        "tcp_max_orphans",
        "tcp_max_syn_backlog",
        "tcp_max_tw_buckets",
        "tcp_mem",
        "tcp_migrate_req",
        "tcp_min_rtt_wlen",
        "tcp_min_snd_mss",
        "tcp_mtu_probe_floor",
        "tcp_mtu_probing",
        "tcp_no_metrics_save",
        "tcp_no_ssthresh_metrics_save",
        "tcp_notsent_lowat",
        "tcp_probe_interval",
        "tcp_probe_threshold",
        "tcp_recovery",
        "tcp_reflect_tos",
        "tcp_retries1",
        "tcp_shrink_window",
        "tcp_stdurg",
        "tcp_syncookies",
        "tcp_thin_linear_timeouts",
        "tcp_tw_reuse",
        "tcp_workaround_signed_windows",
    ]
)
"""What Linux has besides."""


def read(lines: Iterable[str]) -> TcpSysctl:
    """Settings as ``sysctl`` takes them: ``net.ipv4.tcp_rmem=4096 131072 6291456``.

    The last of several values counts. ValueError names what is not obeyed, or out of range.
    """
    found: dict[str, Any] = {}
    for line in lines:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise ValueError(f"{line[:60]!r}: expected NAME=VALUE")
        known = _known(name)
        found[known] = _value(name, value)
    return replace(DEFAULTS, **found)


def _known(name: str) -> str:
    """The field of a setting; ValueError for what is not obeyed."""
    names = fields(TcpSysctl)
    short = name.removeprefix(PREFIX)
    if name.startswith(PREFIX) and short in names:
        return short
    full = [PREFIX + known for known in names]
    if name.startswith(PREFIX) and short in NOT_OBEYED:
        raise ValueError(
            f"{name}: Linux has this setting, the modelled guest does not obey it; "
            f"it obeys {', '.join(full)}"
        )
    raise ValueError(
        f"{name[:60]}: no setting of the modelled guest{nearest(name, full)}; "
        f"there are {', '.join(full)}"
    )


def _value(name: str, text: str) -> int | tuple[int, ...]:
    short = name.removeprefix(PREFIX)
    low, high = LIMITS[short]
    count = 3 if isinstance(getattr(DEFAULTS, short), tuple) else 1
    words = text.split()
    wanted = "three numbers" if count == 3 else "a number"
    if len(words) != count:
        raise ValueError(f"{name}={text[:40]}: expected {wanted} from {low} to {high}")
    for word in words:
        number = word.isascii() and word.isdigit() and len(word) <= 10
        if not number or not low <= int(word) <= high:
            raise ValueError(f"{name}={text[:40]}: expected {wanted} from {low} to {high}")
    numbers = tuple(int(word) for word in words)
    return numbers if count == 3 else numbers[0]
