"""Drivers of the card: Linux' e1000, two bare ones to compare with, and how one is chosen."""
