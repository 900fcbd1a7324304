"""The version, for whoever has to say it: the package, captures, summaries."""

__version__ = "0.1.0"
