"""The guest: Linux 6.1 on one processor, as far as the path of a packet goes through it.

``cpu`` is what kernel code may ask of the processor, ``mm`` its memory, ``drivers`` the
drivers of the card, ``net`` the network stack; ``kernel`` is what programs call.
"""
