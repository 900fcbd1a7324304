"""Two bare drivers for the card, to compare Linux's own with: one plain, one that polls."""
