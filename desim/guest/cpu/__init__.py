"""The processor as the guest's kernel sees it: contexts, interrupts, scheduler, timers, RCU.

The thread that all of it runs on is ``desim.machine.threads.vcpu``.
"""
