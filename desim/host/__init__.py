"""The host: its kernel's sockets on loopback, as programs and QEMU's process use them."""
