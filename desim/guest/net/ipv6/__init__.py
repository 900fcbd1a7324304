"""IPv6 of the guest: what Linux does by itself on a link, and answers to who asks."""
