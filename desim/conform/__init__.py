"""Recordings of the real things replayed against the pure cores: ``desim conform``."""
