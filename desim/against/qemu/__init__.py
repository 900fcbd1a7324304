"""The real card: QEMU 7.2's e1000, driven by bare-metal programs in exact virtual time."""
