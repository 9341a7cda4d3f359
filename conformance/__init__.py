"""The conformance suite of ToM/1: ``tom-conformance`` proves or refutes that a port speaks it.

A port is attached by an adapter, a child process that answers JSON lines (:mod:`conformance.protocol`, the
chapter *Conformance* of the specification).  A case (:mod:`conformance.case`) is a few requests with the
answers expected; cases are made from the test vectors, by sweeps over the declared formats, from scripts
of whole nodes, and by hand (:mod:`conformance.suite`).  The runner (:mod:`conformance.runner`) judges each
answer; nothing of what it expects ever reaches the port.
"""

from typing import Final

SUITE_VERSION: Final = "1.0.0"
SPEC_VERSION: Final = "ToM/1"
