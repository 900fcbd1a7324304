"""No test of the wire has a time limit that a slow machine could miss."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
