"""What ``import desim`` offers: scenarios as values, runs of them, and what came of it.

The names are reached from ``desim`` itself, which loads a module of this room when one of its
names is first used. Every command of the command line is a user of this room.
"""
