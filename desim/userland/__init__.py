"""Processes, files, the shell line, and the programs of host and guest."""
