"""The commands there are, each with its one line of description: for the list and its own help."""

from __future__ import annotations

COMMANDS = {
    "run": "run a scenario and show where each byte's time went",
    "qemu": "run a machine from QEMU's own options",
    "report": "make one HTML page of a run: pictures, with a table behind each",
    "explain": "say what a line of QEMU's options means, without running it",
    "backtrace": "stop at a function and print its backtrace, as gdb would",
    "trace": "show a run's timeline: for Perfetto, as a flame graph, one packet's life",
    "verify": "run again what lies in a folder of results, and compare",
    "diff": "show where two runs part, why, and what comes of it",
    "topology": "show how the machine of a scenario is wired",
    "sweep": "run a scenario with many values and seeds, and keep the results",
    "find": "find the smallest value of a key at which a condition holds",
    "advise": "find the driver's settings that nothing beats, and say why",
    "scenarios": "list the scenarios that come with desim, or print one",
    "new": "write a commented scenario file of your own",
    "fmt": "lay out scenario files in one way; comments stay",
    "schema": "print the JSON Schema of scenario files, for editors",
    "costs": "list the cost profiles: how long each function takes",
    "metrics": "list the figures of a run that have a name, with unit and exactness",
    "rates": "show which interrupt rates the driver's parameter really gives",
    "conform": "compare the model with recordings of the real card, slirp or Linux",
    "packetdrill": "run packetdrill scripts against the modelled guest's TCP",
    "calibrate": "fit a cost profile to recorded runs of a Linux guest",
    "fuzz": "search for a scenario that breaks a law",
    "shrink": "make a scenario that fails as small as it can be",
    "laws": "list the laws that every run keeps, or tell one",
    "lint-driver": "check the log of an e1000 driver against the manual and QEMU",
    "completion": "print what bash, zsh or fish needs to complete desim's words",
    "version": "print the versions of desim and of what it runs on",
}
