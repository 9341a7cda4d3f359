"""Descriptors of other nodes: the newest valid one of each, and whose are being asked for."""

from __future__ import annotations

from attrs import define, field

from tom_ref import constants
from tom_ref.delivery_codec import decode_descriptor
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Descriptor
from tom_ref.identity import newer, verify_descriptor

QUERY_PAUSE = 2_000
"""ms between two rounds of asking for the same descriptor."""


@define
class Directory:
    """At most ``MAX_DESCRIPTORS`` descriptors.  Losing one costs a query, so the oldest make room."""

    own_id: bytes
    _descriptors: dict[bytes, Descriptor] = field(factory=dict)
    _asked: dict[bytes, int] = field(factory=dict)
    _askers: dict[bytes, dict[bytes, None]] = field(factory=dict)
    """For each descriptor that neighbours asked for and that wasn't here: who they are."""

    def get(self, node_id: bytes) -> Descriptor | None:
        """The newest valid descriptor known of a node."""
        return self._descriptors.get(node_id)

    def restore(self, record: bytes) -> Descriptor:
        """Take a stored descriptor back, which was verified when it came; raises when it is corrupt."""
        descriptor = decode_descriptor(record)
        self._descriptors[descriptor.node_id] = descriptor
        return descriptor

    def learn(self, descriptor: Descriptor, now: int, linked: tuple[bytes, ...] = ()) -> bool:
        """Verify and keep a descriptor; ``False`` when the one held is at least as new (TOM-ID-033).

        Raises ``ProtocolError`` when it isn't valid, or changes a key that never changes (TOM-ID-035).
        """
        held = self._descriptors.get(descriptor.node_id)
        if descriptor == held or descriptor.node_id == self.own_id:
            return False
        verify_descriptor(descriptor, now)
        try:
            newer(held, descriptor)
        except ProtocolError as error:
            if error.reason is Reason.STALE:
                return False
            raise
        self._descriptors.pop(descriptor.node_id, None)
        while len(self._descriptors) >= constants.MAX_DESCRIPTORS:
            oldest = next(iter(node for node in self._descriptors if node not in linked), None)
            if oldest is None:
                return False
            del self._descriptors[oldest]
        self._descriptors[descriptor.node_id] = descriptor
        self._asked.pop(descriptor.node_id, None)
        return True

    def may_ask(self, node_id: bytes, now: int) -> bool:
        """Whether it is time to ask for a node's descriptor (again), and note that it is done."""
        asked = self._asked.get(node_id)
        if asked is not None and now < asked + QUERY_PAUSE:
            return False
        if asked is None and len(self._asked) >= constants.MAX_QUERIES:
            self._asked.pop(next(iter(self._asked)))
        self._asked[node_id] = now
        return True

    def wait(self, node_id: bytes, asker: bytes) -> None:
        """Note that a neighbour waits for a descriptor that this node has to ask for itself."""
        if node_id not in self._askers and len(self._askers) >= constants.MAX_QUERIES:
            self._askers.pop(next(iter(self._askers)))
        self._askers.setdefault(node_id, {})[asker] = None

    def waited_for(self, node_id: bytes) -> tuple[bytes, ...]:
        """Which neighbours wait for a descriptor; they are forgotten with that."""
        return tuple(self._askers.pop(node_id, {}))

    def asked_for(self, node_id: bytes) -> bool:
        """Whether an answer about this node was asked for."""
        return node_id in self._asked
