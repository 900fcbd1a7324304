"""The wiring of a machine as text, and as DOT for Graphviz."""

from __future__ import annotations

from desim.config import MachineConfig
from desim.topology import graph, path


def text(config: MachineConfig) -> str:
    """The way from the host's programs to the guest's, how further guests hang on it, then
    stations that lie beside all of these."""
    g = graph(config)
    way = path(config)
    lines = [config.name]
    for before, station in zip(["", *way], way, strict=False):
        if before:
            lines.append(f"    |  {g.edges[before, station]['by']}")
        lines.append(f"  {station}  [{g.nodes[station]['room']}]  {g.nodes[station]['what']}")
    if not way:
        lines.append("  no way leads from the host's programs to the guest's")
    shown = set(way)
    for other in config.others:
        beyond = path(config, other.machine)
        lines.append(f"to {other.machine}")
        # Stations that both ways have are named once.
        joined = [one for one in beyond if one in way][-1:]
        rest = [one for one in beyond if one not in way]
        for before, station in zip([*joined, *rest], rest, strict=False):
            leaves = f"  (from {before})" if before in joined else ""
            lines.append(f"    |  {g.edges[before, station]['by']}{leaves}")
            lines.append(f"  {station}  [{g.nodes[station]['room']}]  {g.nodes[station]['what']}")
        if not beyond:
            lines.append("  no way leads from the host's programs there")
        shown.update(beyond)
    for station in g.nodes:
        if station not in shown:
            lines.append(f"  beside it: {station}  {g.nodes[station]['what']}")
    return "\n".join(lines)


def dot(config: MachineConfig) -> str:
    """The graph in Graphviz' language."""
    g = graph(config)
    lines = [f"graph {_quoted(config.name)} {{", "  node [shape=box];"]
    for station, data in g.nodes(data=True):
        label = f"{station}\n{data['room']}: {data['what']}"
        lines.append(f"  {_quoted(station)} [label={_quoted(label)}];")
    for a, b, data in g.edges(data=True):
        lines.append(f"  {_quoted(a)} -- {_quoted(b)} [label={_quoted(data['by'])}];")
    return "\n".join([*lines, "}"])


def _quoted(words: str) -> str:
    """A DOT string: quotes and backslashes escaped, control characters made visible."""
    out = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + "".join(c if c.isprintable() else f"\\\\x{ord(c):02x}" for c in out) + '"'
