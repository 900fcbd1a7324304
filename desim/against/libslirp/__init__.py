"""The real user-mode network: libslirp 4.7.0, in conversations on real sockets."""
