"""The process that the library lives in: one line of JSON in, one out, for each script.

It leaves the machine's network for a namespace of its own (a user who is not root gets one where
the kernel lets users make them), and each script is played by
a child in one more, so that no conversation finds ports or TIME_WAIT of another, and a
crash of the library is one line of the answer. ``/etc/resolv.conf`` is covered, in this
process's own mount namespace, by one with the resolvers of ``player.RESOLVERS``.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from desim.against.libslirp.library import LibraryError, load
from desim.against.libslirp.player import RESOLVERS, TFTP_FILES, Player
from desim.conform.slirp.recordings import payload

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 1 << 14, 1 << 18
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
RESOLV_CONF = "/etc/resolv.conf"
SCRIPT_MAX_S = 20


def main() -> None:
    """Serve until the input ends."""
    with tempfile.TemporaryDirectory() as folder:
        reason = _prepare(Path(folder))
        print(json.dumps({"unavailable": reason}), flush=True)
        if reason is None:
            for line in sys.stdin:
                print(_in_a_child(json.loads(line), f"{folder}/tftp"), flush=True)


def _prepare(folder: Path) -> str | None:
    """Why this machine cannot do it, or None."""
    try:
        load()
    except LibraryError as error:
        return str(error)
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare((CLONE_NEWUSER if user else 0) | CLONE_NEWNET | CLONE_NEWNS):
        why = os.strerror(ctypes.get_errno())
        return f"this machine gives no network namespace of its own ({why}); root has one"
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    resolvers = folder / "resolv.conf"
    resolvers.write_text("".join(f"nameserver {address}\n" for address in RESOLVERS))
    if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) or libc.mount(
        str(resolvers).encode(), RESOLV_CONF.encode(), None, MS_BIND, None
    ):
        return f"cannot cover {RESOLV_CONF}: {os.strerror(ctypes.get_errno())}"
    for name, data in TFTP_FILES.items():
        path = folder / "tftp" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload(data))
    return None


def _in_a_child(script: dict[str, Any], tftp_path: str) -> str:
    with tempfile.TemporaryFile() as said:
        text, status = _fork(script, tftp_path, said.fileno())
        if not os.WIFSIGNALED(status):
            return text
        said.seek(0)
        name = signal.Signals(os.WTERMSIG(status)).name
        return json.dumps({"crash": name, "said": said.read().decode(errors="replace")[-500:]})


def _fork(script: dict[str, Any], tftp_path: str, stderr: int) -> tuple[str, int]:
    """What the child writes, and how it ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SCRIPT_MAX_S)
        os.close(read)
        os.dup2(stderr, 2)
        try:
            answer = _play(script, tftp_path)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(write, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text, status


def _play(script: dict[str, Any], tftp_path: str) -> dict[str, Any]:
    ctypes.CDLL(None).unshare(CLONE_NEWNET)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    player = Player(script, tftp_path)
    recording = player.play()
    return {"recording": recording, "excluded": player.excluded}


if __name__ == "__main__":
    main()
