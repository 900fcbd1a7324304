"""Runs of a real Linux guest, predicted: ``desim conform linux``."""
