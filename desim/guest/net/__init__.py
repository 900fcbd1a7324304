"""The guest's network stack: interfaces, neighbours, IP, UDP, ICMP, sockets; TCP in ``tcp``."""
