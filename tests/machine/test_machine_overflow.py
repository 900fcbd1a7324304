"""More clients at once than slirp's listener has room for, as a load generator makes them."""

from __future__ import annotations

from pathlib import Path

from desim.events import Connected
from desim.experiment.run import run
from desim.scenario.loader import load_scenario

SECOND = 10**9
CLIENTS = 12


def test_all_clients_are_connected_by_the_first_retry_and_served_soon_after(
    tmp_path: Path,
) -> None:
    # On a real host (backlog 1) ten of ten connect() calls return at 1.03 s, when their SYNs
    # are sent again in one tick; requests whose ACK found no room follow after 0.2, 0.4 ... s.
    www = tmp_path / "www"
    www.mkdir()
    (www / "index.html").write_text("hello\n")
    curl = '{at = "5s", command = "curl -s http://localhost:8080/index.html"}'
    (tmp_path / "test.toml").write_text(
        f"""
        qemu = "-nic user,hostfwd=tcp::8080-:80"
        until = "90s"
        guest.run = [{{command = "httpd -f -p 80 -h www"}}]
        host.run = [{", ".join([curl] * CLIENTS)}]
        """
    )
    result = run(load_scenario(str(tmp_path / "test.toml")))
    clients = [p for p in result.summary["programs"] if p["command"].startswith("curl")]
    assert [client["status"] for client in clients] == [0] * CLIENTS
    connected = sorted(
        found.time for found in result.trace.events(Connected) if found.event.server[1] == 8080
    )
    assert len(connected) == CLIENTS
    assert connected[1] < 5 * SECOND + SECOND // 10
    assert 6 * SECOND < connected[2] <= connected[-1] < 6 * SECOND + 40_000_000
    # 0.2, 0.4 and 0.8 s, each a little late.
    assert max(client["ended_ns"] for client in clients) < connected[-1] + 15 * SECOND // 10
