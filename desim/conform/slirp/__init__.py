"""Recordings of the real user-mode stack replayed against ours."""
