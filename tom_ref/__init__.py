"""ToM, The Open Messaging: the reference implementation of ToM/1.

The modules compute and never do I/O; only :mod:`tom_ref.drivers` touches sockets, clocks and entropy.
"""
