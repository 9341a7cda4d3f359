"""What the bytes mean: one frozen class for each format of :mod:`tom_ref.wire`.

Values of these classes are made in two ways: by a decoder of :mod:`tom_ref.codec`, which has checked them,
or by this node's own code on the way to an encoder, which checks them again.  Lengths of byte fields are
those of the byte tables in ``spec/04-wire.md``; times are ms since the Unix epoch.
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import field, frozen

NO_NODE: Final = bytes(32)
"""32 zero bytes: "nobody" where a NodeId is expected (the relay of a directly delivered message)."""


class Transport(enum.IntEnum):
    """How an address is reached."""

    TCP = 1
    WEBSOCKET = 2
    WEBRTC = 3
    MEMORY = 4


class Kind(enum.IntEnum):
    """What an envelope carries."""

    MESSAGE = 1


class FrameType(enum.IntEnum):
    """The first byte of a frame."""

    ENVELOPE = 1
    RECEIPT = 2
    TRAIL_REPORT = 3
    REFUSAL = 4
    DESCRIPTOR_QUERY = 5
    DESCRIPTOR_ANSWER = 6
    HOLDING_QUERY = 0x21
    HOLDING_ANSWER = 0x22


class Holding(enum.IntEnum):
    """What a node still has of a message."""

    NOTHING = 0
    COPY = 1
    RECEIPT = 2
    PASSAGE = 3


class RecordType(enum.IntEnum):
    """The first byte of a link record."""

    CHUNK = 1
    WINDOW = 2
    PING = 3
    PONG = 4
    REKEY = 5
    CLOSE = 6


@frozen
class Extension:
    """One entry of an extension list; ``type`` 0 to 65535 with bit 15 set when it is critical."""

    type: int
    value: bytes

    @property
    def critical(self) -> bool:
        """Whether a receiver that doesn't know the type must reject the whole structure."""
        return bool(self.type & 0x8000)


@frozen
class Address:
    """One way to reach a node: a transport and its address text, 1 to 255 characters of printable ASCII."""

    transport: Transport
    text: str


@frozen
class Descriptor:
    """A node's signed public keys and addresses (TOM-ID)."""

    node_id: bytes
    vrf_key: bytes
    link_key: bytes
    session_key: bytes
    prekey_id: int
    prekey: bytes
    prekey_from: int
    prekey_until: int
    min_version: int
    max_version: int
    created_at: int
    addresses: tuple[Address, ...]
    extensions: tuple[Extension, ...]
    signature: bytes = bytes(64)


@frozen
class HandshakePayload:
    """What handshake messages 2 and 3 carry: the sender's descriptor."""

    descriptor: Descriptor
    extensions: tuple[Extension, ...] = ()


@frozen
class Header:
    """What the sender of an envelope signs; immutable on the way."""

    kind: Kind
    subnet: bytes
    term: int
    sender: bytes
    recipient: bytes
    created_at: int
    ttl: int
    hop_limit: int
    extensions: tuple[Extension, ...]
    payload_length: int
    payload_hash: bytes

    @property
    def expires_at(self) -> int:
        """The moment, ms, from which the recipient refuses the message."""
        return self.created_at + self.ttl


@frozen
class Stamp:
    """One hop's entry in the trail; its signer is the node that the stamp before it names."""

    arrived_at: int
    next_hop: bytes
    signature: bytes


@frozen
class Envelope:
    """A message on its way: signed header, trail and ciphertext.

    ``header_bytes`` are the bytes as received, over which the signature is verified; ``header`` is their
    meaning.
    """

    header: Header
    header_bytes: bytes
    signature: bytes
    work_nonce: int
    trail: tuple[Stamp, ...]
    payload: bytes = field(repr=False)


@frozen
class Receipt:
    """The recipient's signed word that a message arrived: the only proof of delivery."""

    message_id: bytes
    subnet: bytes
    term: int
    sender: bytes
    recipient: bytes
    relay: bytes
    created_at: int
    ttl: int
    received_at: int
    extensions: tuple[Extension, ...] = ()
    signature: bytes = bytes(64)


@frozen
class TrailReport:
    """A hop tells the way back how far the message came."""

    message_id: bytes
    trail: tuple[Stamp, ...]


@frozen
class Refusal:
    """A hop tells the hop before it that it did not take the message, and why (a reason code)."""

    message_id: bytes
    reason: str


@frozen
class DescriptorQuery:
    """Asks a neighbour for a node's newest descriptor."""

    node_id: bytes


@frozen
class DescriptorAnswer:
    """A node's newest descriptor as the neighbour knows it; ``None`` when it knows none."""

    node_id: bytes
    descriptor: Descriptor | None


@frozen
class HoldingQuery:
    """Asks a neighbour what it still has of a message."""

    message_id: bytes


@frozen
class HoldingAnswer:
    """What a neighbour says it has of a message, and until when at the latest (ms; 0 for nothing)."""

    message_id: bytes
    holding: Holding
    until: int


@frozen
class UnknownFrame:
    """A frame of a type this version doesn't define and may ignore (0x80 and above), byte for byte."""

    type: int
    body: bytes


Frame = (
    Envelope
    | Receipt
    | TrailReport
    | Refusal
    | DescriptorQuery
    | DescriptorAnswer
    | HoldingQuery
    | HoldingAnswer
    | UnknownFrame
)
"""Every frame of *Delivery*, *Purge* and *Identity*."""


@frozen
class Chunk:
    """A piece of a frame: ``data`` (1 to 16384 bytes) at ``offset`` of the ``total`` bytes of ``stream``."""

    stream: int
    total: int
    offset: int
    data: bytes = field(repr=False)


@frozen
class Window:
    """Grants chunk data up to ``limit`` bytes counted from the beginning of the link."""

    limit: int


@frozen
class Ping:
    """Asks for a pong; ``nonce`` is 0 to 2^64 - 1."""

    nonce: int
    sent_at: int


@frozen
class Pong:
    """Answers a ping with the four times of RFC 5905's offset formula (the fourth is the asker's)."""

    nonce: int
    ping_sent_at: int
    received_at: int
    sent_at: int


@frozen
class Rekey:
    """The last record under the sender's old key; ``generation`` counts new keys from 1."""

    generation: int


@frozen
class Close:
    """The link ends, and why: a reason code, or ``bye``."""

    reason: str


@frozen
class UnknownRecord:
    """A record of a type this version doesn't define and ignores (0x80 and above)."""

    type: int
    body: bytes


Record = Chunk | Window | Ping | Pong | Rekey | Close | UnknownRecord
"""Every record inside a Noise transport message."""


@frozen
class SessionInitial:
    """A session message that also carries the initiator's X3DH keys."""

    session_id: bytes
    session_key: bytes
    ephemeral: bytes
    prekey_id: int
    begun_at: int
    ratchet_key: bytes
    previous_count: int
    number: int
    ciphertext: bytes = field(repr=False)


@frozen
class SessionRegular:
    """A session message of an established session."""

    session_id: bytes
    ratchet_key: bytes
    previous_count: int
    number: int
    ciphertext: bytes = field(repr=False)


SessionMessage = SessionInitial | SessionRegular
