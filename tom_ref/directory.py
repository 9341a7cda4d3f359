"""Descriptors of other nodes: the newest valid one of each, and whose are being asked for."""

from __future__ import annotations

from attrs import define, field

from tom_ref import constants
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Descriptor
from tom_ref.identity import verify_descriptor

QUERY_PAUSE = 2_000
"""ms between two rounds of asking for the same descriptor."""


@define
class Directory:
    """At most ``MAX_DESCRIPTORS`` descriptors.  Losing one costs a query, so the oldest make room."""

    own_id: bytes
    _descriptors: dict[bytes, Descriptor] = field(factory=dict)
    _asked: dict[bytes, int] = field(factory=dict)

    def get(self, node_id: bytes) -> Descriptor | None:
        """The newest valid descriptor known of a node."""
        return self._descriptors.get(node_id)

    def learn(self, descriptor: Descriptor, now: int, linked: tuple[bytes, ...] = ()) -> bool:
        """Verify and keep a descriptor; ``False`` when the one held is as new (TOM-ID).

        Raises ``ProtocolError`` when it isn't valid.  A node's VRF key never changes (``bad_key``).
        """
        held = self._descriptors.get(descriptor.node_id)
        if descriptor.node_id == self.own_id:
            return False
        if held is not None and descriptor.created_at <= held.created_at:
            return False
        verify_descriptor(descriptor, now)
        if held is not None and held.vrf_key != descriptor.vrf_key:
            raise ProtocolError(Reason.BAD_KEY, "the VRF key of a node never changes")
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

    def asked_for(self, node_id: bytes) -> bool:
        """Whether an answer about this node was asked for."""
        return node_id in self._asked
