"""TCP of Linux 6.1, a file for each of the kernel's. To read it, in this order:

1. ``tcp_sock``, ``tcp_skb``: a connection's state, and a packet in its queues
2. ``tcp``: the calls of a program, and the whole of which the following are parts
3. ``tcp_ipv4``: whose segment is it
4. ``tcp_input``: the state machine
5. ``tcp_data``, ``tcp_ack``: what a segment's data does, and what its acknowledgement does
6. ``tcp_cong``: how much may be under way (CUBIC)
7. ``tcp_output``, ``tcp_retransmit``: what is sent, and what is sent again
8. ``tcp_timer``: what happens when nothing comes
9. ``tcp_minisocks``: connections before and after their lives
10. ``sysctl``: the settings that are obeyed
11. ``tcp_mem``: where what is sent lies, as far as that takes time
"""
