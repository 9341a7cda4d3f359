"""A network of real nodes in virtual time, with faults and liars drawn from one seed.

Every computer runs the real :class:`tom_ref.node.Node` on a store that outlives its crashes.  Nothing else is
real: time, the network, the disks, the liars and what goes wrong come from a tree of generators that grows
from one seed, so that a run is the same again on every machine.  After each step the promises of the
protocol are checked; a failure names the seed and the one command that repeats it.

The way of the data: ``streams`` and ``clocks`` → ``faults`` → ``world`` (computers, network, events) →
``liars``, ``traffic``, ``promises`` (what is checked) → ``simulation`` (one run) → ``campaign`` (many).
"""
