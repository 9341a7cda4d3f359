"""Why something was refused: the protocol's reason codes and the one exception that carries them.

Every decoder and validator in this library either returns a value or raises :class:`ProtocolError`.
The codes are part of the specification (chapter *Wire format*, table of reason codes): a port in another
language rejects the same bytes with the same code.  Where several rules are broken at once, any of
their codes is right.
"""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """The reason codes of ToM/1.  The value is the code's text, used in the spec, vectors and logs."""

    # --- decoding -------------------------------------------------------------------------------------
    TRUNCATED = "truncated"
    """The input ends before the value does."""
    TRAILING_BYTES = "trailing_bytes"
    """Bytes follow the value."""
    TOO_LARGE = "too_large"
    """A length or count exceeds its cap."""
    NON_CANONICAL = "non_canonical"
    """The bytes decode, but are not the one encoding of the value."""
    BAD_VALUE = "bad_value"
    """A field holds a value outside its range."""
    UNKNOWN_VERSION = "unknown_version"
    """The version is not one this node speaks."""
    UNKNOWN_KIND = "unknown_kind"
    """An envelope kind, suite, session message type or transport that is not defined."""
    UNKNOWN_FRAME = "unknown_frame"
    """A critical frame type that is not defined."""
    UNKNOWN_RECORD = "unknown_record"
    """A critical link record type that is not defined."""
    UNKNOWN_CRITICAL_EXTENSION = "unknown_critical_extension"
    """An extension marked critical that is not defined."""
    BAD_TEXT = "bad_text"
    """A text that is not valid: node id, address or invitation."""

    # --- cryptography ---------------------------------------------------------------------------------
    BAD_SIGNATURE = "bad_signature"
    """A signature does not verify under the one strict rule."""
    BAD_KEY = "bad_key"
    """A public key is not canonical, of small order, or gives an all-zero shared secret."""
    BAD_PROOF = "bad_proof"
    """A VRF proof does not verify."""
    BAD_SEAL = "bad_seal"
    """An authenticated ciphertext does not open."""

    # --- identity -------------------------------------------------------------------------------------
    NODE_MISMATCH = "node_mismatch"
    """The peer or signer is not the expected node."""
    BAD_SECRET_FILE = "bad_secret_file"
    """The secret file is corrupt, truncated or of another kind."""
    WRONG_PASSPHRASE = "wrong_passphrase"
    """The passphrase is missing or does not open the secret file."""
    IDENTITY_IN_USE = "identity_in_use"
    """Another process already runs with this secret."""

    # --- link -----------------------------------------------------------------------------------------
    BAD_HANDSHAKE = "bad_handshake"
    """A handshake message is out of order, too short or does not authenticate."""
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    """The handshake was not complete in time."""
    BAD_STATIC_KEY = "bad_static_key"
    """The descriptor's link key is not the Noise static key."""
    SELF_LINK = "self_link"
    """The peer's descriptor has this node's own id: it dialled itself, or its secret is in use twice."""
    FLOW_CONTROL = "flow_control"
    """The peer sent more than the window it was granted, or shrank a window."""
    BAD_CHUNK = "bad_chunk"
    """Chunks that do not join to one frame."""
    LINK_EXPIRED = "link_expired"
    """A link key was used beyond its message count or age."""
    IDLE_TIMEOUT = "idle_timeout"
    """Nothing was heard from the peer for too long."""
    DUPLICATE_LINK = "duplicate_link"
    """A second link between the same two nodes; the other one is kept."""

    # --- session --------------------------------------------------------------------------------------
    UNKNOWN_SESSION = "unknown_session"
    """A regular session message for a session this node does not hold."""
    UNKNOWN_PREKEY = "unknown_prekey"
    """The named signed prekey is not held any more."""
    STALE_PREKEY = "stale_prekey"
    """The recipient's signed prekey is outside its validity."""
    TOO_MANY_SKIPPED = "too_many_skipped"
    """More than 256 message keys would have to be kept."""
    REPLAYED = "replayed"
    """A session message whose key was used already."""

    # --- delivery -------------------------------------------------------------------------------------
    WRONG_SUBNET = "wrong_subnet"
    """The envelope belongs to another subnet."""
    WRONG_RECIPIENT = "wrong_recipient"
    """A receipt signed by somebody other than the envelope's recipient, or for another message."""
    WRONG_HOP = "wrong_hop"
    """The last stamp of the trail does not name this node as the next hop."""
    FUTURE_DATE = "future_date"
    """Dated more than 2 EPS ahead of this node's clock."""
    EXPIRED = "expired"
    """The message's lifetime is over."""
    BAD_LIFETIME = "bad_lifetime"
    """A ttl of zero or above 24 hours."""
    PATH_TOO_LONG = "path_too_long"
    """The trail has more stamps than the hop limit."""
    LOOP = "loop"
    """The trail already holds this node."""
    PAYLOAD_MISMATCH = "payload_mismatch"
    """The payload is not the one whose length and hash the header signs."""
    NO_ROUTE = "no_route"
    """This relay has no link towards the recipient."""
    OVERLOADED = "overloaded"
    """A table or queue that never evicts is full; the work is refused."""
    STALE = "stale"
    """An older value than the one held."""

    # --- roles ----------------------------------------------------------------------------------------
    WRONG_TERM = "wrong_term"
    """A term or present record that is not the node's own."""
    WRONG_SLOT = "wrong_slot"
    """A block whose slot is not above its parent's, or a vote for another slot than its block's."""
    WRONG_LEADER = "wrong_leader"
    """A block not signed by the leader of its slot, or a move that names another founder than drawn."""
    NO_QUORUM = "no_quorum"
    """A certificate without valid votes of a quorum of different validators."""
    BAD_RECORD = "bad_record"
    """A record that differs from the one computed from the evidence, or whose balances do not sum to zero."""
    BAD_WORK = "bad_work"
    """Proof of work with too few leading zero bits."""
    WRONG_ROUTE = "wrong_route"
    """A message that came or went another way than the duty of its term: it earns no credit."""
    MOVED = "moved"
    """A vote or heartbeat in a subnet that its signer has left by a move."""


class ProtocolError(Exception):
    """A value from outside broke a rule.

    ``reason`` is the code of the specification; ``detail`` says which field or limit, in English, and never
    contains a secret.  Nothing that raises it has changed any state.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class LocalError(Exception):
    """This node's own caller asked for what can't be done now; nothing changed.  The base of typed errors."""
