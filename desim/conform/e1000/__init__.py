"""Recordings of the real card replayed against ours; what a driver's accesses say of it."""
