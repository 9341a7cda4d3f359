"""The bytes of ToM/1, declared once with ``construct``: no logic, no checks, no defaults.

Every format of the specification stands here and nowhere else.  The byte tables in ``spec/`` are generated
from these declarations (a field's note is the text behind ``*``); :mod:`tom_ref.codec` applies the caps,
the ranges and the canonical rules.  Integers are big-endian and of fixed width.
"""

from __future__ import annotations

from typing import Any, Final

from construct import (
    Array,
    Byte,
    Bytes,
    Const,
    GreedyBytes,
    Int16ub,
    Int32ub,
    Int64ub,
    Struct,
    this,
)

# --- extensions ---------------------------------------------------------------------------------------

EXTENSION: Final = Struct(
    "type" / Int16ub * "bit 15 set: critical",
    "length" / Int16ub * "length of the value",
    "value" / Bytes(this.length) * "the extension's own content",
)

EXTENSIONS: Final = Struct(
    "count" / Byte * "0 to 16",
    "items" / Array(this.count, EXTENSION) * "types strictly ascending",
)

# --- identity -----------------------------------------------------------------------------------------

ADDRESS: Final = Struct(
    "transport" / Byte * "1 TCP, 2 WebSocket, 3 WebRTC, 4 memory",
    "length" / Byte * "1 to 255",
    "text" / Bytes(this.length) * "printable ASCII, for example 192.0.2.7:7700",
)

DESCRIPTOR_BODY: Final = Struct(
    "version" / Byte * "1",
    "node_id" / Bytes(32) * "Ed25519 public key",
    "vrf_key" / Bytes(32) * "ECVRF public key",
    "link_key" / Bytes(32) * "X25519 public key, the Noise static key",
    "session_key" / Bytes(32) * "X25519 public key, the session identity",
    "prekey_id" / Int32ub * "names the signed prekey",
    "prekey" / Bytes(32) * "X25519 public key",
    "prekey_from" / Int64ub * "ms; the prekey may be used from then",
    "prekey_until" / Int64ub * "ms; and until then",
    "min_version" / Byte * "lowest protocol version spoken",
    "max_version" / Byte * "highest protocol version spoken",
    "created_at" / Int64ub * "ms; the newest descriptor wins",
    "address_count" / Byte * "0 to 8",
    "addresses" / Array(this.address_count, ADDRESS) * "where the node listens, in order of preference",
    "extensions" / EXTENSIONS * "list of extensions",
)

DESCRIPTOR: Final = Struct(
    "body" / DESCRIPTOR_BODY * "the signed fields",
    "signature" / Bytes(64) * 'Ed25519 by node_id over labelled("ToM/1 descriptor", body)',
)

# --- handshake ----------------------------------------------------------------------------------------

HANDSHAKE_PAYLOAD: Final = Struct(
    "version" / Byte * "1",
    "length" / Int16ub * "length of the descriptor",
    "descriptor" / Bytes(this.length) * "the sender's descriptor",
    "extensions" / EXTENSIONS * "list of extensions",
)

# --- link records -------------------------------------------------------------------------------------

RECORD: Final = Struct(
    "type" / Byte * "1 to 6 below; 0x80 and above are ignored when unknown",
    "length" / Int16ub * "length of the body",
    "body" / Bytes(this.length) * "by type",
)

RECORD_CHUNK: Final = Struct(
    "stream" / Int32ub * "names the frame: 1 for the first of this direction, then 2, 3, ...",
    "total" / Int32ub * "length of the whole frame",
    "offset" / Int32ub * "where this data belongs",
    "data" / GreedyBytes * "1 to 16,384 bytes",
)

RECORD_WINDOW: Final = Struct(
    "limit" / Int64ub * "bytes of frames the peer may begin, counted from the start of the link",
)

RECORD_PING: Final = Struct(
    "nonce" / Int64ub * "repeated in the answer",
    "sent_at" / Int64ub * "ms by the asking clock",
)

RECORD_PONG: Final = Struct(
    "nonce" / Int64ub * "of the ping",
    "ping_sent_at" / Int64ub * "of the ping",
    "received_at" / Int64ub * "ms by the answering clock, when the ping came",
    "sent_at" / Int64ub * "ms by the answering clock, when the answer left",
)

RECORD_REKEY: Final = Struct(
    "generation" / Int32ub * "1 for the first new key of this direction, then 2, 3, ...",
)

RECORD_CLOSE: Final = Struct(
    "reason" / GreedyBytes * "a reason code in ASCII",
)

# --- envelope -----------------------------------------------------------------------------------------

HEADER: Final = Struct(
    "version" / Byte * "1",
    "kind" / Byte * "1 application message",
    "subnet" / Bytes(32) * "subnet id",
    "term" / Int64ub * "number of the term whose draft the route follows",
    "sender" / Bytes(32) * "NodeId",
    "recipient" / Bytes(32) * "NodeId",
    "created_at" / Int64ub * "ms by the sender's clock",
    "ttl" / Int32ub * "ms, 1 to 86,400,000",
    "hop_limit" / Byte * "1 to 32: the most stamps the trail may hold",
    "extensions" / EXTENSIONS * "list of extensions",
    "payload_length" / Int32ub * "length of the payload",
    "payload_hash" / Bytes(32) * "SHA-256 of the payload",
)

HEADER_PREFIX: Final = Struct(*HEADER.subcons[:-2])

STAMP: Final = Struct(
    "arrived_at" / Int64ub * "ms by the stamping node's clock, when the message arrived there",
    "next_hop" / Bytes(32) * "NodeId of the node this copy is handed to",
    "signature" / Bytes(64) * "Ed25519 by the node that the stamp before names",
)

ENVELOPE: Final = Struct(
    "type" / Const(b"\x01") * "frame type",
    "header_length" / Int16ub * "length of the header",
    "header" / Bytes(this.header_length) * "the signed header",
    "signature" / Bytes(64) * 'Ed25519 by the sender over labelled("ToM/1 header", header)',
    "work_nonce" / Int64ub * "proof of work; 0 when none is asked for",
    "trail_count" / Byte * "1 to hop_limit",
    "trail" / Array(this.trail_count, STAMP) * "one stamp a hop, the sender's first",
    "payload" / GreedyBytes * "the ciphertext",
)

# --- other frames -------------------------------------------------------------------------------------

RECEIPT_BODY: Final = Struct(
    "version" / Byte * "1",
    "message_id" / Bytes(32) * "of the message received",
    "subnet" / Bytes(32) * "as in the header",
    "term" / Int64ub * "as in the header",
    "sender" / Bytes(32) * "as in the header",
    "recipient" / Bytes(32) * "who signs",
    "relay" / Bytes(32) * "the node that handed the message over; zeros when it was the sender",
    "created_at" / Int64ub * "as in the header",
    "ttl" / Int32ub * "as in the header",
    "received_at" / Int64ub * "ms by the recipient's clock",
    "extensions" / EXTENSIONS * "list of extensions",
)

RECEIPT: Final = Struct(
    "type" / Const(b"\x02") * "frame type",
    "body" / RECEIPT_BODY * "the signed fields",
    "signature" / Bytes(64) * 'Ed25519 by the recipient over labelled("ToM/1 receipt", body)',
)

TRAIL_REPORT: Final = Struct(
    "type" / Const(b"\x03") * "frame type",
    "message_id" / Bytes(32) * "of the message on its way",
    "trail_count" / Byte * "1 to 32",
    "trail" / Array(this.trail_count, STAMP) * "the trail as it left the reporting hop",
)

REFUSAL: Final = Struct(
    "type" / Const(b"\x04") * "frame type",
    "message_id" / Bytes(32) * "of the envelope that was not taken",
    "length" / Byte * "1 to 40",
    "reason" / Bytes(this.length) * "a reason code in ASCII",
)

DESCRIPTOR_QUERY: Final = Struct(
    "type" / Const(b"\x05") * "frame type",
    "node_id" / Bytes(32) * "whose descriptor is wanted",
)

DESCRIPTOR_ANSWER: Final = Struct(
    "type" / Const(b"\x06") * "frame type",
    "node_id" / Bytes(32) * "whose descriptor follows",
    "length" / Int16ub * "length of the descriptor; 0: not known here",
    "descriptor" / Bytes(this.length) * "the newest descriptor known",
)

HOLDING_QUERY: Final = Struct(
    "type" / Const(b"\x21") * "frame type",
    "message_id" / Bytes(32) * "about which the asker wants to know",
)

HOLDING_ANSWER: Final = Struct(
    "type" / Const(b"\x22") * "frame type",
    "message_id" / Bytes(32) * "of the query",
    "holding" / Byte * "0 nothing, 1 a copy, 2 a receipt, 3 the way back of a message handed on",
    "until" / Int64ub * "ms; when it is erased at the latest, 0 for nothing",
)

# --- roles and terms ------------------------------------------------------------------------------------

MEMBER: Final = Struct(
    "node" / Bytes(32) * "NodeId",
    "vrf_key" / Bytes(32) * "ECVRF public key, the same as long as the member is listed",
    "admitted" / Int64ub * "term of the record that first listed it; 0 for a founder",
    "absent" / Byte * "0 to 7: consecutive terms without proof of presence",
    "weight" / Byte * "0 to 3 for the weights 1, 2, 4 and 8 in this record's draft of relays",
    "next_weight" / Byte * "0 to 3: the same for the next record's draft",
    "balance" / Int64ub * "balance plus 2^63",
)

TERM_RECORD: Final = Struct(
    "version" / Byte * "1",
    "subnet" / Bytes(32) * "id of the subnet",
    "term" / Int64ub * "number of the term, 0 for a genesis",
    "previous" / Bytes(32) * "hash of the previous record; zeros for a genesis",
    "start" / Int64ub * "ms; when slot 0 of the vote on the next record begins",
    "seed" / Bytes(32) * "from which this record's roles are drawn",
    "proposer" / Bytes(32) * "whose VRF output entered the seed, or the founder; zeros in a first genesis",
    "proof" / Bytes(80) * "the proposer's VRF proof; zeros in a first genesis",
    "slot_ms" / Int32ub * "ms; length of a slot",
    "term_ms" / Int32ub * "ms; from the slot of a record to slot 0 of the next vote",
    "fork_ms" / Int32ub * "ms; fork time-out",
    "relay_share" / Byte * "1 to 12: relays in twelfths of the pool",
    "custody" / Byte * "1 to 8: copies of a message for an absent recipient",
    "pot" / Int64ub * "what belongs to nobody, plus 2^63",
    "vitals_length" / Int16ub * "0 or 23",
    "vitals" / Bytes(this.vitals_length) * "vital signs, as soon as there are any",
    "member_count" / Byte * "1 to 64",
    "roster" / Array(this.member_count, MEMBER) * "ascending by node id",
    "extensions" / EXTENSIONS * "list of extensions",
)

BLOCK_HEADER: Final = Struct(
    "version" / Byte * "1",
    "subnet" / Bytes(32) * "id of the subnet",
    "term" / Int64ub * "the present record's term",
    "present" / Bytes(32) * "hash of the present record",
    "slot" / Int32ub * "1 and above",
    "parent" / Bytes(32) * "hash of the parent block; of the present record for a first block",
    "record" / Bytes(32) * "hash of the new record in a first block, zeros in a later one",
    "evidence" / Bytes(32) * "hash of the evidence in a first block, zeros in a later one",
)

BALLOT: Final = Struct(
    "index" / Byte * "the validator's place in the present record's roster, from 0",
    "signature" / Bytes(64) * "its vote",
)

INDEXED_SIGNATURE: Final = Struct(
    "index" / Byte * "the member's place in the present record's roster, from 0",
    "signature" / Bytes(64) * "of the heartbeat or leave",
)

JOIN_BODY: Final = Struct(
    "subnet" / Bytes(32) * "id of the subnet",
    "term" / Int64ub * "the present record's term",
    "work_nonce" / Int64ub * "the newcomer's proof of work",
    "sponsor" / Bytes(32) * "NodeId of the member that vouches",
    "signature" / Bytes(64) * "the sponsor's; zeros from the newcomer to its sponsor",
    "descriptor_length" / Int16ub * "length of the descriptor",
    "descriptor" / Bytes(this.descriptor_length) * "the newcomer's",
)

DELIVERY: Final = Struct(
    "header_length" / Int16ub * "length of the header",
    "header" / Bytes(this.header_length) * "as the sender signed it",
    "signature" / Bytes(64) * "the sender's",
    "receipt_length" / Int16ub * "length of the receipt",
    "receipt" / Bytes(this.receipt_length) * "the recipient's receipt frame",
)

VITALS_COUNTS: Final = Struct(
    "ended" / Int16ub * "own messages that were delivered or expired since the last report",
    "delivered" / Int16ub * "of these, delivered",
    "rerouted" / Int16ub * "of these, those that had to be handed over more than once",
    "recovered" / Int16ub * "of the rerouted ones, delivered",
    "within_100ms" / Int16ub * "of the delivered ones, those whose receipt came within 100 ms",
    "within_300ms" / Int16ub * "later, within 300 ms",
    "within_1s" / Int16ub * "later, within 1 s",
    "within_3s" / Int16ub * "later, within 3 s",
    "within_10s" / Int16ub * "later, within 10 s",
    "within_30s" / Int16ub * "later, within 30 s",
    "within_100s" / Int16ub * "later, within 100 s",
    "beyond" / Int16ub * "later than that",
)

VITALS_PROOF: Final = Struct(
    "index" / Byte * "the member's place in the present record's roster, from 0",
    "counts" / VITALS_COUNTS * "what it counted",
    "signature" / Bytes(64) * "of its report",
)

VITALS: Final = Struct(
    "delivery" / Int16ub * "permille of messages delivered",
    "survival" / Int16ub * "permille of rerouted messages delivered",
    "within_100ms" / Int16ub * "permille of delivered messages, those within 100 ms",
    "within_300ms" / Int16ub * "later, within 300 ms",
    "within_1s" / Int16ub * "later, within 1 s",
    "within_3s" / Int16ub * "later, within 3 s",
    "within_10s" / Int16ub * "later, within 10 s",
    "within_30s" / Int16ub * "later, within 30 s",
    "within_100s" / Int16ub * "later, within 100 s",
    "beyond" / Int16ub * "later than that",
    "reports" / Byte * "0 to 64: reports of validators in the evidence",
    "forks" / Int16ub * "forks in the lineage, 65,535 for as many or more",
)

EVIDENCE: Final = Struct(
    "heartbeat_count" / Byte * "0 to 64",
    "heartbeats" / Array(this.heartbeat_count, INDEXED_SIGNATURE) * "ascending by index",
    "leave_count" / Byte * "0 to 64",
    "leaves" / Array(this.leave_count, INDEXED_SIGNATURE) * "ascending by index",
    "join_count" / Byte * "0 to 64",
    "joins" / Array(this.join_count, JOIN_BODY) * "in their drawn order, each newcomer once",
    "delivery_count" / Int16ub * "0 to 1,024",
    "deliveries" / Array(this.delivery_count, DELIVERY) * "ascending by message id, each once",
    "report_count" / Byte * "0 to 64",
    "reports" / Array(this.report_count, VITALS_PROOF) * "ascending by index",
)

PROPOSAL: Final = Struct(
    "type" / Const(b"\x07") * "frame type",
    "header" / BLOCK_HEADER * "the block",
    "signature" / Bytes(64) * 'the leader\'s, over labelled("ToM/1 block", header)',
    "vote_count" / Byte * "0 to 64; 0 when the parent is the present record",
    "certificate" / Array(this.vote_count, BALLOT) * "the parent's votes, ascending by index",
    "record_length" / Int16ub * "0 in a later block",
    "record" / Bytes(this.record_length) * "the new record",
    "evidence_length" / Int32ub * "0 in a later block",
    "evidence" / Bytes(this.evidence_length) * "what the record was computed from",
)

VOTE: Final = Struct(
    "type" / Const(b"\x08") * "frame type",
    "subnet" / Bytes(32) * "id of the subnet",
    "term" / Int64ub * "the present record's term",
    "present" / Bytes(32) * "hash of the present record",
    "slot" / Int32ub * "of the block, 1 or more",
    "block" / Bytes(32) * "hash of the block",
    "voter" / Bytes(32) * "NodeId",
    "signature" / Bytes(64) * 'over labelled("ToM/1 vote", subnet, term, present, slot, block)',
)

HEARTBEAT_BODY: Final = Struct(
    "subnet" / Bytes(32) * "id of the subnet",
    "term" / Int64ub * "of the record",
    "record" / Bytes(32) * "hash of the record that the member holds as present",
    "node" / Bytes(32) * "NodeId",
    "signature" / Bytes(64) * 'over labelled("ToM/1 heartbeat", subnet, term, record)',
)

HEARTBEAT: Final = Struct(
    "type" / Const(b"\x09") * "frame type",
    "body" / HEARTBEAT_BODY * "the heartbeat",
)

PROVEN_BLOCK: Final = Struct(
    "header" / BLOCK_HEADER * "a block of the final chain",
    "vote_count" / Byte * "1 to 64",
    "certificate" / Array(this.vote_count, BALLOT) * "its votes, ascending by index",
)

FINALITY: Final = Struct(
    "type" / Const(b"\x0a") * "frame type",
    "block_count" / Byte * "2 to 200",
    "blocks" / Array(this.block_count, PROVEN_BLOCK) * "from the first block to the child of the final one",
    "record" / TERM_RECORD * "the new record",
)

RECORD_QUERY: Final = Struct(
    "type" / Const(b"\x0b") * "frame type",
    "subnet" / Bytes(32) * "id of the subnet; zeros for the asked node's home",
    "term" / Int64ub * "the asker's present term; 2^64 - 1 when it holds no record",
)

RECORD_ANSWER: Final = Struct(
    "type" / Const(b"\x0c") * "frame type",
    "present_length" / Int16ub * "length of the present record",
    "present" / Bytes(this.present_length) * "the present record",
    "previous_length" / Int16ub * "0 when the answering node holds none",
    "previous" / Bytes(this.previous_length) * "the record before",
    "heartbeat_count" / Byte * "0 to 64",
    "heartbeats" / Array(this.heartbeat_count, HEARTBEAT_BODY) * "for the present record, ascending by node",
)

JOIN: Final = Struct(
    "type" / Const(b"\x0d") * "frame type",
    "body" / JOIN_BODY * "the join",
)

LEAVE: Final = Struct(
    "type" / Const(b"\x0e") * "frame type",
    "subnet" / Bytes(32) * "id of the subnet",
    "term" / Int64ub * "the present record's term",
    "node" / Bytes(32) * "NodeId",
    "signature" / Bytes(64) * 'over labelled("ToM/1 leave", subnet, term)',
)

MOVE_BODY: Final = Struct(
    "subnet" / Bytes(32) * "id of the parent",
    "term" / Int64ub * "of the parent's record",
    "record" / Bytes(32) * "hash of the parent's record",
    "attempt" / Int32ub * "1 and above",
    "founder" / Bytes(32) * "NodeId",
    "node" / Bytes(32) * "NodeId of the member that moves",
    "signature" / Bytes(64) * 'over labelled("ToM/1 move", subnet, term, record, attempt, founder)',
)

MOVE: Final = Struct(
    "type" / Const(b"\x0f") * "frame type",
    "body" / MOVE_BODY * "the move",
)

CHILD: Final = Struct(
    "type" / Const(b"\x10") * "frame type",
    "record_length" / Int16ub * "length of the child's genesis",
    "record" / Bytes(this.record_length) * "the child's genesis",
    "signature" / Bytes(64) * 'the founder\'s, over labelled("ToM/1 genesis", record)',
    "parent_length" / Int16ub * "length of the parent's record",
    "parent" / Bytes(this.parent_length) * "the parent's record that the moves name",
    "move_count" / Byte * "1 to 64",
    "moves" / Array(this.move_count, MOVE_BODY) * "ascending by node",
)

FOUNDING: Final = Struct(
    "proof" / Bytes(80) * 'VRF proof for labelled("ToM/1 vrf genesis", subnet)',
    "signature" / Bytes(64) * 'over labelled("ToM/1 genesis", record)',
)

GENESIS: Final = Struct(
    "type" / Const(b"\x11") * "frame type",
    "nonce" / Bytes(32) * "random, from the founder with the lowest id",
    "record_length" / Int16ub * "length of the record",
    "record" / Bytes(this.record_length) * "the first record",
    "founder_count" / Byte * "as many as the roster",
    "founders" / Array(this.founder_count, FOUNDING) * "in the order of the roster",
)

PARTICIPANT: Final = Struct(
    "node" / Bytes(32) * "NodeId",
    "signature" / Bytes(64) * 'over labelled("ToM/1 conversation", home, term, participants, nonce)',
)

CONVERSATION: Final = Struct(
    "type" / Const(b"\x12") * "frame type",
    "home" / Bytes(32) * "id of the home subnet",
    "term" / Int64ub * "the home's present term",
    "nonce" / Bytes(32) * "random, from the participant that opens it",
    "count" / Byte * "2 to 8",
    "participants" / Array(this.count, PARTICIPANT) * "ascending by node",
)

CONVERSATION_END: Final = Struct(
    "type" / Const(b"\x13") * "frame type",
    "conversation" / Bytes(32) * "id of the conversation subnet",
    "node" / Bytes(32) * "NodeId of a participant",
    "signature" / Bytes(64) * 'over labelled("ToM/1 conversation end", conversation)',
)

INVITATION_BODY: Final = Struct(
    "version" / Byte * "1",
    "inviter" / Bytes(32) * "NodeId",
    "subnet" / Bytes(32) * "id of the inviter's home",
    "term" / Int64ub * "of the record that was present when it was made",
    "record" / Bytes(32) * "hash of that record",
    "token" / Bytes(16) * "secret; shows the inviter that the newcomer was invited",
    "expires_at" / Int64ub * "ms; not accepted from then on",
    "address_count" / Byte * "1 to 8",
    "addresses" / Array(this.address_count, ADDRESS) * "where the inviter listens",
)

INVITATION: Final = Struct(
    "body" / INVITATION_BODY * "the signed fields",
    "signature" / Bytes(64) * 'Ed25519 by the inviter over labelled("ToM/1 invitation", body)',
)

SIGNAL: Final = Struct(
    "type" / Const(b"\x14") * "frame type",
    "sender" / Bytes(32) * "NodeId",
    "recipient" / Bytes(32) * "NodeId",
    "body" / GreedyBytes * "0 to 16,384 bytes, for the two ends alone to understand",
)

# --- session ------------------------------------------------------------------------------------------

VITALS_REPORT: Final = Struct(
    "type" / Const(b"\x20") * "frame type",
    "subnet" / Bytes(32) * "id of the subnet",
    "term" / Int64ub * "of the present record",
    "record" / Bytes(32) * "hash of the present record",
    "node" / Bytes(32) * "NodeId of the member",
    "counts" / VITALS_COUNTS * "what it counted since its last report",
    "signature" / Bytes(64) * 'over labelled("ToM/1 vitals", subnet, term, record, counts)',
)

SESSION_REGULAR: Final = Struct(
    "suite" / Byte * "1",
    "type" / Const(b"\x02") * "regular message",
    "session_id" / Bytes(16) * "names the session",
    "ratchet_key" / Bytes(32) * "the sender's present ratchet key",
    "previous_count" / Int32ub * "messages in the sender's previous chain",
    "number" / Int32ub * "of this message in its chain",
    "ciphertext" / GreedyBytes * "ChaCha20-Poly1305, 16 bytes longer than the content",
)

SESSION_INITIAL: Final = Struct(
    "suite" / Byte * "1",
    "type" / Const(b"\x01") * "initial message",
    "session_id" / Bytes(16) * "names the session",
    "session_key" / Bytes(32) * "the initiator's session identity",
    "ephemeral" / Bytes(32) * "the initiator's X3DH ephemeral key",
    "prekey_id" / Int32ub * "the recipient's signed prekey that was used",
    "begun_at" / Int64ub * "ms; when the initiator began the session",
    "ratchet_key" / Bytes(32) * "the sender's present ratchet key",
    "previous_count" / Int32ub * "messages in the sender's previous chain",
    "number" / Int32ub * "of this message in its chain",
    "ciphertext" / GreedyBytes * "ChaCha20-Poly1305, 16 bytes longer than the content",
)

# --- stored records (local: never on the wire) ---------------------------------------------------------

HOLDER: Final = Struct(
    "node" / Bytes(32) * "NodeId",
)

STORED_PENDING: Final = Struct(
    "version" / Byte * "1",
    "state" / Byte * "1 pending, 2 sent, 3 relayed",
    "route" / Byte * "1 relay first, 2 direct first",
    "attempts" / Int32ub * "how often it was handed over",
    "recipient" / Bytes(32) * "NodeId",
    "created_at" / Int64ub * "ms",
    "ttl" / Int32ub * "ms",
    "header_length" / Int16ub * "0 while the message is not encrypted yet",
    "header" / Bytes(this.header_length) * "the signed header",
    "signature" / Bytes(64) * "zeros while the message is not encrypted yet",
    "custodian_count" / Byte * "0 to 64",
    "custodians" / Array(this.custodian_count, HOLDER) * "nodes that said they keep a copy, in order",
    "content_length" / Int32ub * "length of the payload, or of the plaintext while not encrypted",
    "content" / Bytes(this.content_length) * "the payload, or the plaintext while not encrypted",
)

STORED_INBOX: Final = Struct(
    "version" / Byte * "1",
    "sequence" / Int64ub * "order of arrival",
    "sender" / Bytes(32) * "NodeId",
    "created_at" / Int64ub * "ms",
    "received_at" / Int64ub * "ms",
    "relay" / Bytes(32) * "the node that handed it over; zeros when it was the sender",
    "content_length" / Int32ub * "length of the content",
    "content" / Bytes(this.content_length) * "plaintext",
)

STORED_SEEN: Final = Struct(
    "version" / Byte * "1",
    "keep_until" / Int64ub * "ms; end of retention",
    "length" / Int16ub * "length of the receipt",
    "receipt" / Bytes(this.length) * "the receipt frame as it was sent",
)

STORED_CUSTODY: Final = Struct(
    "version" / Byte * "1",
    "deposited_by" / Bytes(32) * "the node that the copy came from",
    "arrived_at" / Int64ub * "ms",
    "named_count" / Byte * "0 to 8",
    "named" / Array(this.named_count, HOLDER) * "the custodians that the message's own record ranks first",
    "copied_count" / Byte * "0 to 64",
    "copied" / Array(this.copied_count, HOLDER) * "nodes that this one copied the message to, in order",
    "length" / Int32ub * "length of the envelope",
    "envelope" / Bytes(this.length) * "the envelope frame as it came",
)

STORED_TOMBSTONE: Final = Struct(
    "version" / Byte * "1",
    "keep_until" / Int64ub * "ms; end of retention",
    "handle" / Int64ub * "of this node's own message; 2^64 - 1 for another's",
    "untold_count" / Byte * "0 to 128",
    "untold" / Array(this.untold_count, HOLDER) * "holders that the receipt was not sent to yet",
    "length" / Int16ub * "length of the receipt",
    "receipt" / Bytes(this.length) * "the receipt frame as it came",
)

STORED_VERDICT: Final = Struct(
    "version" / Byte * "1",
    "state" / Byte * "4 delivered, 5 expired",
)

STORED_PREKEY: Final = Struct(
    "version" / Byte * "1",
    "prekey_id" / Int32ub * "names the prekey",
    "secret" / Bytes(32) * "X25519 secret",
    "valid_from" / Int64ub * "ms",
    "valid_until" / Int64ub * "ms",
)

STORED_BLOCK: Final = Struct(
    "length" / Int32ub * "length of the proposal",
    "proposal" / Bytes(this.length) * "the proposal frame",
)

STORED_TERM: Final = Struct(
    "version" / Byte * "1",
    "present" / Bytes(32) * "hash of the present record",
    "last_slot" / Int32ub * "the last slot voted in, 0 for none",
    "height" / Int32ub * "the greatest height of a parent voted for",
    "block_count" / Byte * "blocks of the chain voted on, from the first block to that parent",
    "blocks" / Array(this.block_count, STORED_BLOCK) * "in the order of the chain",
    "vote_count" / Byte * "votes for the last of them",
    "certificate" / Array(this.vote_count, BALLOT) * "ascending by index",
)

# --- stored session (owner: session) --------------------------------------------------------------------

STORED_LEFT_SUBNET: Final = Struct(
    "subnet" / Bytes(32) * "id of a subnet that this node has left by a move or a leave",
    "term" / Int64ub * "as of which; a listing admitted by then is void",
)

STORED_LEFT: Final = Struct(
    "version" / Byte * "1",
    "count" / Byte * "1 to 16",
    "left" / Array(this.count, STORED_LEFT_SUBNET) * "the latest last",
)

STORED_CONVERSATION: Final = Struct(
    "version" / Byte * "1",
    "last" / Int64ub * "ms; when something was sent in it last",
    "length" / Int16ub * "length of the frame",
    "frame" / Bytes(this.length) * "the conversation's frame, signed by all",
)

STORED_SKIPPED_KEY: Final = Struct(
    "ratchet_key" / Bytes(32) * "of the chain the message belongs to",
    "number" / Int32ub * "of the message in its chain",
    "key" / Bytes(32) * "the message key, secret",
    "until" / Int64ub * "ms; erased from then on",
)

STORED_SESSION: Final = Struct(
    "version" / Byte * "1",
    "suite" / Byte * "1",
    "flags" / Byte * "bit 0: begun by this node; bit 1: confirmed; bit 2: abandoned; the others 0",
    "session_id" / Bytes(16) * "names the session",
    "initiator_node" / Bytes(32) * "NodeId",
    "responder_node" / Bytes(32) * "NodeId",
    "initiator_key" / Bytes(32) * "X25519 public key, session identity",
    "responder_key" / Bytes(32) * "X25519 public key, session identity",
    "ephemeral" / Bytes(32) * "X25519 public key of the X3DH run",
    "prekey_id" / Int32ub * "the responder's prekey of the X3DH run",
    "prekey_until" / Int64ub * "ms; end of that prekey's validity",
    "begun_at" / Int64ub * "ms; when the initiator began the session",
    "used_at" / Int64ub * "ms; the latest use",
    "settled_at" / Int64ub * "ms; when it was settled, 0 for not yet",
    "sending_since" / Int64ub * "ms; first message of the sending chain, 0 for none",
    "root_key" / Bytes(32) * "secret",
    "ratchet_secret" / Bytes(32) * "X25519 secret of this end's ratchet key",
    "peer_ratchet_key" / Bytes(32) * "the other end's ratchet key",
    "sending_key" / Bytes(32) * "chain key, secret",
    "sending_number" / Int32ub * "of the next message sent",
    "previous_count" / Int32ub * "messages in the sending chain before",
    "receiving_key" / Bytes(32) * "chain key, secret; zeros when begun by this node and not confirmed",
    "receiving_number" / Int32ub * "of the next message received in order",
    "skipped_count" / Int16ub * "0 to 256",
    "skipped" / Array(this.skipped_count, STORED_SKIPPED_KEY) * "ascending by ratchet key and number",
)

STORED_CLOSED_SESSION: Final = Struct(
    "session_id" / Bytes(16) * "names a session begun by the peer and erased here",
    "until" / Int64ub * "ms; forgotten from then on, with the prekey's secret",
)

STORED_PEER_SESSIONS: Final = Struct(
    "version" / Byte * "1",
    "local_node" / Bytes(32) * "NodeId",
    "peer_node" / Bytes(32) * "NodeId",
    "session_count" / Byte * "0 to 8",
    "sessions"
    / Array(this.session_count, STORED_SESSION)
    * "latest begun first, then ascending by session id",
    "closed_count" / Byte * "0 to 64",
    "closed" / Array(this.closed_count, STORED_CLOSED_SESSION) * "ascending by session id",
)

# --- secret file (owner: identity; local: never on the wire) ---------------------------------------------

SECRET_FILE_PLAIN: Final = Struct(
    "magic" / Const(b"ToM key\n") * "names the format; the line feed shows damage by text transfer",
    "version" / Byte * "1",
    "protection" / Const(b"\x00") * "no passphrase",
    "secret" / Bytes(32) * "the node's secret",
    "checksum" / Bytes(32) * 'SHA-256 of labelled("ToM/1 secret file", all bytes before)',
)

SECRET_FILE_SEALED: Final = Struct(
    "magic" / Const(b"ToM key\n") * "names the format; the line feed shows damage by text transfer",
    "version" / Byte * "1",
    "protection" / Const(b"\x01") * "Argon2id and ChaCha20-Poly1305",
    "operations" / Int32ub * "Argon2id passes, 1 to 16",
    "memory" / Int32ub * "Argon2id memory in KiB, 8 to 1,048,576",
    "salt" / Bytes(16) * "Argon2id salt",
    "nonce" / Bytes(12) * "of the AEAD; its associated data are all bytes before the sealed secret",
    "sealed" / Bytes(48) * "the node's secret with its tag",
    "checksum" / Bytes(32) * 'SHA-256 of labelled("ToM/1 secret file", all bytes before)',
)

# --- for the byte tables --------------------------------------------------------------------------------

LAYOUTS: Final[dict[str, Struct[Any, Any]]] = {
    "extension": EXTENSION,
    "extensions": EXTENSIONS,
    "address": ADDRESS,
    "descriptor-body": DESCRIPTOR_BODY,
    "descriptor": DESCRIPTOR,
    "handshake-payload": HANDSHAKE_PAYLOAD,
    "record": RECORD,
    "record-chunk": RECORD_CHUNK,
    "record-window": RECORD_WINDOW,
    "record-ping": RECORD_PING,
    "record-pong": RECORD_PONG,
    "record-rekey": RECORD_REKEY,
    "record-close": RECORD_CLOSE,
    "header": HEADER,
    "stamp": STAMP,
    "envelope": ENVELOPE,
    "receipt-body": RECEIPT_BODY,
    "receipt": RECEIPT,
    "trail-report": TRAIL_REPORT,
    "refusal": REFUSAL,
    "descriptor-query": DESCRIPTOR_QUERY,
    "descriptor-answer": DESCRIPTOR_ANSWER,
    "holding-query": HOLDING_QUERY,
    "holding-answer": HOLDING_ANSWER,
    "member": MEMBER,
    "term-record": TERM_RECORD,
    "block-header": BLOCK_HEADER,
    "ballot": BALLOT,
    "indexed-signature": INDEXED_SIGNATURE,
    "join-body": JOIN_BODY,
    "delivery": DELIVERY,
    "vitals-counts": VITALS_COUNTS,
    "vitals-proof": VITALS_PROOF,
    "vitals": VITALS,
    "vitals-report": VITALS_REPORT,
    "evidence": EVIDENCE,
    "proposal": PROPOSAL,
    "vote": VOTE,
    "heartbeat-body": HEARTBEAT_BODY,
    "heartbeat": HEARTBEAT,
    "proven-block": PROVEN_BLOCK,
    "finality": FINALITY,
    "record-query": RECORD_QUERY,
    "record-answer": RECORD_ANSWER,
    "join": JOIN,
    "leave": LEAVE,
    "move-body": MOVE_BODY,
    "move": MOVE,
    "child": CHILD,
    "founding": FOUNDING,
    "genesis": GENESIS,
    "participant": PARTICIPANT,
    "conversation": CONVERSATION,
    "conversation-end": CONVERSATION_END,
    "signal": SIGNAL,
    "invitation-body": INVITATION_BODY,
    "invitation": INVITATION,
    "session-initial": SESSION_INITIAL,
    "session-regular": SESSION_REGULAR,
    "secret-file-plain": SECRET_FILE_PLAIN,
    "secret-file-sealed": SECRET_FILE_SEALED,
}
