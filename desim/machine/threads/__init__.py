"""The threads of a machine: where the models meet virtual time.

One module for each thread of control (the virtual CPU and the tasks on it, QEMU's main
loop, the programs of the host), and the big lock between them. The models that run on
these threads know neither SimPy nor greenlet.
"""
