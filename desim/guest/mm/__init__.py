"""The guest's memory: what the card reaches by DMA, and slabs as far as they take time."""
