"""A run's trace for other tools and for reading: Perfetto, flame graphs, one packet's life."""
