# made by `python -m tools.spec` from tom_ref/wire.py; never edit by hand
meta:
  id: "tom"
  title: "ToM/1, the frames of a link"
  license: "MIT"
  endian: "be"
doc: "One frame of ToM/1 and every structure in it. Ranges and signatures are not checked."
seq:
  - id: "frame"
    type:
      switch-on: "kind"
      cases:
        "1": "envelope"
        "2": "receipt"
        "3": "trail_report"
        "4": "refusal"
        "5": "descriptor_query"
        "6": "descriptor_answer"
        "7": "proposal"
        "8": "vote"
        "9": "heartbeat"
        "10": "finality"
        "11": "record_query"
        "12": "record_answer"
        "13": "join"
        "14": "leave"
        "15": "move"
        "16": "child"
        "17": "genesis"
        "18": "conversation"
        "19": "conversation_end"
        "20": "signal"
        "32": "vitals_report"
        "33": "holding_query"
        "34": "holding_answer"
        _: "unknown_frame"
instances:
  kind:
    pos: 0
    type: "u1"
    doc: "the first byte names the frame"
types:
  extension:
    seq:
      - id: "type"
        type: "u2"
        doc: "bit 15 set: critical"
      - id: "length"
        type: "u2"
        doc: "length of the value"
      - id: "value"
        size: "length"
        doc: "the extension's own content"
  extensions:
    seq:
      - id: "count"
        type: "u1"
        doc: "0 to 16"
      - id: "items"
        type: "extension"
        repeat: "expr"
        repeat-expr: "count"
        doc: "types strictly ascending"
  address:
    seq:
      - id: "transport"
        type: "u1"
        doc: "1 TCP, 2 WebSocket, 3 WebRTC, 4 memory"
      - id: "length"
        type: "u1"
        doc: "1 to 255"
      - id: "text"
        size: "length"
        doc: "printable ASCII, for example 192.0.2.7:7700"
  descriptor_body:
    seq:
      - id: "version"
        type: "u1"
        doc: "1"
      - id: "node_id"
        size: 32
        doc: "Ed25519 public key"
      - id: "vrf_key"
        size: 32
        doc: "ECVRF public key"
      - id: "link_key"
        size: 32
        doc: "X25519 public key, the Noise static key"
      - id: "session_key"
        size: 32
        doc: "X25519 public key, the session identity"
      - id: "prekey_id"
        type: "u4"
        doc: "names the signed prekey"
      - id: "prekey"
        size: 32
        doc: "X25519 public key"
      - id: "prekey_from"
        type: "u8"
        doc: "ms; the prekey may be used from then"
      - id: "prekey_until"
        type: "u8"
        doc: "ms; and until then"
      - id: "min_version"
        type: "u1"
        doc: "lowest protocol version spoken"
      - id: "max_version"
        type: "u1"
        doc: "highest protocol version spoken"
      - id: "created_at"
        type: "u8"
        doc: "ms; the newest descriptor wins"
      - id: "address_count"
        type: "u1"
        doc: "0 to 8"
      - id: "addresses"
        type: "address"
        repeat: "expr"
        repeat-expr: "address_count"
        doc: "where the node listens, in order of preference"
      - id: "extensions"
        type: "extensions"
        doc: "list of extensions"
  descriptor:
    seq:
      - id: "body"
        type: "descriptor_body"
        doc: "the signed fields"
      - id: "signature"
        size: 64
        doc: "Ed25519 by node_id over labelled(\"ToM/1 descriptor\", body)"
  handshake_payload:
    seq:
      - id: "version"
        type: "u1"
        doc: "1"
      - id: "length"
        type: "u2"
        doc: "length of the descriptor"
      - id: "descriptor"
        size: "length"
        type: "descriptor"
        if: "length != 0"
        doc: "the sender's descriptor"
      - id: "extensions"
        type: "extensions"
        doc: "list of extensions"
  record:
    seq:
      - id: "type"
        type: "u1"
        doc: "1 to 6 below; 0x80 and above are ignored when unknown"
      - id: "length"
        type: "u2"
        doc: "length of the body"
      - id: "body"
        size: "length"
        type:
          switch-on: "type"
          cases:
            "1": "record_chunk"
            "2": "record_window"
            "3": "record_ping"
            "4": "record_pong"
            "5": "record_rekey"
            "6": "record_close"
        doc: "by type"
  record_chunk:
    seq:
      - id: "stream"
        type: "u4"
        doc: "names the frame: 1 for the first of this direction, then 2, 3, ..."
      - id: "total"
        type: "u4"
        doc: "length of the whole frame"
      - id: "offset"
        type: "u4"
        doc: "where this data belongs"
      - id: "data"
        size-eos: true
        doc: "1 to 16,384 bytes"
  record_window:
    seq:
      - id: "limit"
        type: "u8"
        doc: "bytes of frames the peer may begin, counted from the start of the link"
  record_ping:
    seq:
      - id: "nonce"
        type: "u8"
        doc: "repeated in the answer"
      - id: "sent_at"
        type: "u8"
        doc: "ms by the asking clock"
  record_pong:
    seq:
      - id: "nonce"
        type: "u8"
        doc: "of the ping"
      - id: "ping_sent_at"
        type: "u8"
        doc: "of the ping"
      - id: "received_at"
        type: "u8"
        doc: "ms by the answering clock, when the ping came"
      - id: "sent_at"
        type: "u8"
        doc: "ms by the answering clock, when the answer left"
  record_rekey:
    seq:
      - id: "generation"
        type: "u4"
        doc: "1 for the first new key of this direction, then 2, 3, ..."
  record_close:
    seq:
      - id: "reason"
        size-eos: true
        doc: "a reason code in ASCII"
  header:
    seq:
      - id: "version"
        type: "u1"
        doc: "1"
      - id: "kind"
        type: "u1"
        doc: "1 application message"
      - id: "subnet"
        size: 32
        doc: "subnet id"
      - id: "term"
        type: "u8"
        doc: "number of the term whose draft the route follows"
      - id: "sender"
        size: 32
        doc: "NodeId"
      - id: "recipient"
        size: 32
        doc: "NodeId"
      - id: "created_at"
        type: "u8"
        doc: "ms by the sender's clock"
      - id: "ttl"
        type: "u4"
        doc: "ms, 1 to 86,400,000"
      - id: "hop_limit"
        type: "u1"
        doc: "1 to 32: the most stamps the trail may hold"
      - id: "extensions"
        type: "extensions"
        doc: "list of extensions"
      - id: "payload_length"
        type: "u4"
        doc: "length of the payload"
      - id: "payload_hash"
        size: 32
        doc: "SHA-256 of the payload"
  stamp:
    seq:
      - id: "arrived_at"
        type: "u8"
        doc: "ms by the stamping node's clock, when the message arrived there"
      - id: "next_hop"
        size: 32
        doc: "NodeId of the node this copy is handed to"
      - id: "signature"
        size: 64
        doc: "Ed25519 by the node that the stamp before names"
  envelope:
    seq:
      - id: "type"
        contents: [1]
        doc: "frame type"
      - id: "header_length"
        type: "u2"
        doc: "length of the header"
      - id: "header"
        size: "header_length"
        type: "header"
        if: "header_length != 0"
        doc: "the signed header"
      - id: "signature"
        size: 64
        doc: "Ed25519 by the sender over labelled(\"ToM/1 header\", header)"
      - id: "work_nonce"
        type: "u8"
        doc: "proof of work; 0 when none is asked for"
      - id: "trail_count"
        type: "u1"
        doc: "1 to hop_limit"
      - id: "trail"
        type: "stamp"
        repeat: "expr"
        repeat-expr: "trail_count"
        doc: "one stamp a hop, the sender's first"
      - id: "payload"
        size-eos: true
        doc: "the ciphertext"
  receipt_body:
    seq:
      - id: "version"
        type: "u1"
        doc: "1"
      - id: "message_id"
        size: 32
        doc: "of the message received"
      - id: "subnet"
        size: 32
        doc: "as in the header"
      - id: "term"
        type: "u8"
        doc: "as in the header"
      - id: "sender"
        size: 32
        doc: "as in the header"
      - id: "recipient"
        size: 32
        doc: "who signs"
      - id: "relay"
        size: 32
        doc: "the node that handed the message over; zeros when it was the sender"
      - id: "created_at"
        type: "u8"
        doc: "as in the header"
      - id: "ttl"
        type: "u4"
        doc: "as in the header"
      - id: "received_at"
        type: "u8"
        doc: "ms by the recipient's clock"
      - id: "extensions"
        type: "extensions"
        doc: "list of extensions"
  receipt:
    seq:
      - id: "type"
        contents: [2]
        doc: "frame type"
      - id: "body"
        type: "receipt_body"
        doc: "the signed fields"
      - id: "signature"
        size: 64
        doc: "Ed25519 by the recipient over labelled(\"ToM/1 receipt\", body)"
  trail_report:
    seq:
      - id: "type"
        contents: [3]
        doc: "frame type"
      - id: "message_id"
        size: 32
        doc: "of the message on its way"
      - id: "trail_count"
        type: "u1"
        doc: "1 to 32"
      - id: "trail"
        type: "stamp"
        repeat: "expr"
        repeat-expr: "trail_count"
        doc: "the trail as it left the reporting hop"
  refusal:
    seq:
      - id: "type"
        contents: [4]
        doc: "frame type"
      - id: "message_id"
        size: 32
        doc: "of the envelope that was not taken"
      - id: "length"
        type: "u1"
        doc: "1 to 40"
      - id: "reason"
        size: "length"
        doc: "a reason code in ASCII"
  descriptor_query:
    seq:
      - id: "type"
        contents: [5]
        doc: "frame type"
      - id: "node_id"
        size: 32
        doc: "whose descriptor is wanted"
  descriptor_answer:
    seq:
      - id: "type"
        contents: [6]
        doc: "frame type"
      - id: "node_id"
        size: 32
        doc: "whose descriptor follows"
      - id: "length"
        type: "u2"
        doc: "length of the descriptor; 0: not known here"
      - id: "descriptor"
        size: "length"
        type: "descriptor"
        if: "length != 0"
        doc: "the newest descriptor known"
  holding_query:
    seq:
      - id: "type"
        contents: [33]
        doc: "frame type"
      - id: "message_id"
        size: 32
        doc: "about which the asker wants to know"
  holding_answer:
    seq:
      - id: "type"
        contents: [34]
        doc: "frame type"
      - id: "message_id"
        size: 32
        doc: "of the query"
      - id: "holding"
        type: "u1"
        doc: "0 nothing, 1 a copy, 2 a receipt, 3 the way back of a message handed on"
      - id: "until"
        type: "u8"
        doc: "ms; when it is erased at the latest, 0 for nothing"
  member:
    seq:
      - id: "node"
        size: 32
        doc: "NodeId"
      - id: "vrf_key"
        size: 32
        doc: "ECVRF public key, the same as long as the member is listed"
      - id: "admitted"
        type: "u8"
        doc: "term of the record that first listed it; 0 for a founder"
      - id: "absent"
        type: "u1"
        doc: "0 to 7: consecutive terms without proof of presence"
      - id: "weight"
        type: "u1"
        doc: "0 to 3 for the weights 1, 2, 4 and 8 in this record's draft of relays"
      - id: "next_weight"
        type: "u1"
        doc: "0 to 3: the same for the next record's draft"
      - id: "balance"
        type: "u8"
        doc: "balance plus 2^63"
  term_record:
    seq:
      - id: "version"
        type: "u1"
        doc: "1"
      - id: "subnet"
        size: 32
        doc: "id of the subnet"
      - id: "term"
        type: "u8"
        doc: "number of the term, 0 for a genesis"
      - id: "previous"
        size: 32
        doc: "hash of the previous record; zeros for a genesis"
      - id: "start"
        type: "u8"
        doc: "ms; when slot 0 of the vote on the next record begins"
      - id: "seed"
        size: 32
        doc: "from which this record's roles are drawn"
      - id: "proposer"
        size: 32
        doc: "whose VRF output entered the seed, or the founder; zeros in a first genesis"
      - id: "proof"
        size: 80
        doc: "the proposer's VRF proof; zeros in a first genesis"
      - id: "slot_ms"
        type: "u4"
        doc: "ms; length of a slot"
      - id: "term_ms"
        type: "u4"
        doc: "ms; from the slot of a record to slot 0 of the next vote"
      - id: "fork_ms"
        type: "u4"
        doc: "ms; fork time-out"
      - id: "relay_share"
        type: "u1"
        doc: "1 to 12: relays in twelfths of the pool"
      - id: "custody"
        type: "u1"
        doc: "1 to 8: copies of a message for an absent recipient"
      - id: "pot"
        type: "u8"
        doc: "what belongs to nobody, plus 2^63"
      - id: "vitals_length"
        type: "u2"
        doc: "0 or 23"
      - id: "vitals"
        size: "vitals_length"
        type: "vitals"
        if: "vitals_length != 0"
        doc: "vital signs, as soon as there are any"
      - id: "member_count"
        type: "u1"
        doc: "1 to 64"
      - id: "roster"
        type: "member"
        repeat: "expr"
        repeat-expr: "member_count"
        doc: "ascending by node id"
      - id: "extensions"
        type: "extensions"
        doc: "list of extensions"
  block_header:
    seq:
      - id: "version"
        type: "u1"
        doc: "1"
      - id: "subnet"
        size: 32
        doc: "id of the subnet"
      - id: "term"
        type: "u8"
        doc: "the present record's term"
      - id: "present"
        size: 32
        doc: "hash of the present record"
      - id: "slot"
        type: "u4"
        doc: "1 and above"
      - id: "parent"
        size: 32
        doc: "hash of the parent block; of the present record for a first block"
      - id: "record"
        size: 32
        doc: "hash of the new record in a first block, zeros in a later one"
      - id: "evidence"
        size: 32
        doc: "hash of the evidence in a first block, zeros in a later one"
  ballot:
    seq:
      - id: "index"
        type: "u1"
        doc: "the validator's place in the present record's roster, from 0"
      - id: "signature"
        size: 64
        doc: "its vote"
  indexed_signature:
    seq:
      - id: "index"
        type: "u1"
        doc: "the member's place in the present record's roster, from 0"
      - id: "signature"
        size: 64
        doc: "of the heartbeat or leave"
  join_body:
    seq:
      - id: "subnet"
        size: 32
        doc: "id of the subnet"
      - id: "term"
        type: "u8"
        doc: "the present record's term"
      - id: "work_nonce"
        type: "u8"
        doc: "the newcomer's proof of work"
      - id: "sponsor"
        size: 32
        doc: "NodeId of the member that vouches"
      - id: "signature"
        size: 64
        doc: "the sponsor's; zeros from the newcomer to its sponsor"
      - id: "descriptor_length"
        type: "u2"
        doc: "length of the descriptor"
      - id: "descriptor"
        size: "descriptor_length"
        type: "descriptor"
        if: "descriptor_length != 0"
        doc: "the newcomer's"
  delivery:
    seq:
      - id: "header_length"
        type: "u2"
        doc: "length of the header"
      - id: "header"
        size: "header_length"
        type: "header"
        if: "header_length != 0"
        doc: "as the sender signed it"
      - id: "signature"
        size: 64
        doc: "the sender's"
      - id: "receipt_length"
        type: "u2"
        doc: "length of the receipt"
      - id: "receipt"
        size: "receipt_length"
        type: "receipt"
        if: "receipt_length != 0"
        doc: "the recipient's receipt frame"
  vitals_counts:
    seq:
      - id: "ended"
        type: "u2"
        doc: "own messages that were delivered or expired since the last report"
      - id: "delivered"
        type: "u2"
        doc: "of these, delivered"
      - id: "rerouted"
        type: "u2"
        doc: "of these, those that had to be handed over more than once"
      - id: "recovered"
        type: "u2"
        doc: "of the rerouted ones, delivered"
      - id: "within_100ms"
        type: "u2"
        doc: "of the delivered ones, those whose receipt came within 100 ms"
      - id: "within_300ms"
        type: "u2"
        doc: "later, within 300 ms"
      - id: "within_1s"
        type: "u2"
        doc: "later, within 1 s"
      - id: "within_3s"
        type: "u2"
        doc: "later, within 3 s"
      - id: "within_10s"
        type: "u2"
        doc: "later, within 10 s"
      - id: "within_30s"
        type: "u2"
        doc: "later, within 30 s"
      - id: "within_100s"
        type: "u2"
        doc: "later, within 100 s"
      - id: "beyond"
        type: "u2"
        doc: "later than that"
  vitals_proof:
    seq:
      - id: "index"
        type: "u1"
        doc: "the member's place in the present record's roster, from 0"
      - id: "counts"
        type: "vitals_counts"
        doc: "what it counted"
      - id: "signature"
        size: 64
        doc: "of its report"
  vitals:
    seq:
      - id: "delivery"
        type: "u2"
        doc: "permille of messages delivered"
      - id: "survival"
        type: "u2"
        doc: "permille of rerouted messages delivered"
      - id: "within_100ms"
        type: "u2"
        doc: "permille of delivered messages, those within 100 ms"
      - id: "within_300ms"
        type: "u2"
        doc: "later, within 300 ms"
      - id: "within_1s"
        type: "u2"
        doc: "later, within 1 s"
      - id: "within_3s"
        type: "u2"
        doc: "later, within 3 s"
      - id: "within_10s"
        type: "u2"
        doc: "later, within 10 s"
      - id: "within_30s"
        type: "u2"
        doc: "later, within 30 s"
      - id: "within_100s"
        type: "u2"
        doc: "later, within 100 s"
      - id: "beyond"
        type: "u2"
        doc: "later than that"
      - id: "reports"
        type: "u1"
        doc: "0 to 64: reports of validators in the evidence"
      - id: "forks"
        type: "u2"
        doc: "forks in the lineage, 65,535 for as many or more"
  evidence:
    seq:
      - id: "heartbeat_count"
        type: "u1"
        doc: "0 to 64"
      - id: "heartbeats"
        type: "indexed_signature"
        repeat: "expr"
        repeat-expr: "heartbeat_count"
        doc: "ascending by index"
      - id: "leave_count"
        type: "u1"
        doc: "0 to 64"
      - id: "leaves"
        type: "indexed_signature"
        repeat: "expr"
        repeat-expr: "leave_count"
        doc: "ascending by index"
      - id: "join_count"
        type: "u1"
        doc: "0 to 64"
      - id: "joins"
        type: "join_body"
        repeat: "expr"
        repeat-expr: "join_count"
        doc: "in their drawn order, each newcomer once"
      - id: "delivery_count"
        type: "u2"
        doc: "0 to 1,024"
      - id: "deliveries"
        type: "delivery"
        repeat: "expr"
        repeat-expr: "delivery_count"
        doc: "ascending by message id, each once"
      - id: "report_count"
        type: "u1"
        doc: "0 to 64"
      - id: "reports"
        type: "vitals_proof"
        repeat: "expr"
        repeat-expr: "report_count"
        doc: "ascending by index"
  proposal:
    seq:
      - id: "type"
        contents: [7]
        doc: "frame type"
      - id: "header"
        type: "block_header"
        doc: "the block"
      - id: "signature"
        size: 64
        doc: "the leader's, over labelled(\"ToM/1 block\", header)"
      - id: "vote_count"
        type: "u1"
        doc: "0 to 64; 0 when the parent is the present record"
      - id: "certificate"
        type: "ballot"
        repeat: "expr"
        repeat-expr: "vote_count"
        doc: "the parent's votes, ascending by index"
      - id: "record_length"
        type: "u2"
        doc: "0 in a later block"
      - id: "record"
        size: "record_length"
        type: "term_record"
        if: "record_length != 0"
        doc: "the new record"
      - id: "evidence_length"
        type: "u4"
        doc: "0 in a later block"
      - id: "evidence"
        size: "evidence_length"
        type: "evidence"
        if: "evidence_length != 0"
        doc: "what the record was computed from"
  vote:
    seq:
      - id: "type"
        contents: [8]
        doc: "frame type"
      - id: "subnet"
        size: 32
        doc: "id of the subnet"
      - id: "term"
        type: "u8"
        doc: "the present record's term"
      - id: "present"
        size: 32
        doc: "hash of the present record"
      - id: "slot"
        type: "u4"
        doc: "of the block, 1 or more"
      - id: "block"
        size: 32
        doc: "hash of the block"
      - id: "voter"
        size: 32
        doc: "NodeId"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 vote\", subnet, term, present, slot, block)"
  heartbeat_body:
    seq:
      - id: "subnet"
        size: 32
        doc: "id of the subnet"
      - id: "term"
        type: "u8"
        doc: "of the record"
      - id: "record"
        size: 32
        doc: "hash of the record that the member holds as present"
      - id: "node"
        size: 32
        doc: "NodeId"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 heartbeat\", subnet, term, record)"
  heartbeat:
    seq:
      - id: "type"
        contents: [9]
        doc: "frame type"
      - id: "body"
        type: "heartbeat_body"
        doc: "the heartbeat"
  proven_block:
    seq:
      - id: "header"
        type: "block_header"
        doc: "a block of the final chain"
      - id: "vote_count"
        type: "u1"
        doc: "1 to 64"
      - id: "certificate"
        type: "ballot"
        repeat: "expr"
        repeat-expr: "vote_count"
        doc: "its votes, ascending by index"
  finality:
    seq:
      - id: "type"
        contents: [10]
        doc: "frame type"
      - id: "block_count"
        type: "u1"
        doc: "2 to 200"
      - id: "blocks"
        type: "proven_block"
        repeat: "expr"
        repeat-expr: "block_count"
        doc: "from the first block to the child of the final one"
      - id: "record"
        type: "term_record"
        doc: "the new record"
  record_query:
    seq:
      - id: "type"
        contents: [11]
        doc: "frame type"
      - id: "subnet"
        size: 32
        doc: "id of the subnet; zeros for the asked node's home"
      - id: "term"
        type: "u8"
        doc: "the asker's present term; 2^64 - 1 when it holds no record"
  record_answer:
    seq:
      - id: "type"
        contents: [12]
        doc: "frame type"
      - id: "present_length"
        type: "u2"
        doc: "length of the present record"
      - id: "present"
        size: "present_length"
        type: "term_record"
        if: "present_length != 0"
        doc: "the present record"
      - id: "previous_length"
        type: "u2"
        doc: "0 when the answering node holds none"
      - id: "previous"
        size: "previous_length"
        type: "term_record"
        if: "previous_length != 0"
        doc: "the record before"
      - id: "heartbeat_count"
        type: "u1"
        doc: "0 to 64"
      - id: "heartbeats"
        type: "heartbeat_body"
        repeat: "expr"
        repeat-expr: "heartbeat_count"
        doc: "for the present record, ascending by node"
  join:
    seq:
      - id: "type"
        contents: [13]
        doc: "frame type"
      - id: "body"
        type: "join_body"
        doc: "the join"
  leave:
    seq:
      - id: "type"
        contents: [14]
        doc: "frame type"
      - id: "subnet"
        size: 32
        doc: "id of the subnet"
      - id: "term"
        type: "u8"
        doc: "the present record's term"
      - id: "node"
        size: 32
        doc: "NodeId"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 leave\", subnet, term)"
  move_body:
    seq:
      - id: "subnet"
        size: 32
        doc: "id of the parent"
      - id: "term"
        type: "u8"
        doc: "of the parent's record"
      - id: "record"
        size: 32
        doc: "hash of the parent's record"
      - id: "attempt"
        type: "u4"
        doc: "1 and above"
      - id: "founder"
        size: 32
        doc: "NodeId"
      - id: "node"
        size: 32
        doc: "NodeId of the member that moves"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 move\", subnet, term, record, attempt, founder)"
  move:
    seq:
      - id: "type"
        contents: [15]
        doc: "frame type"
      - id: "body"
        type: "move_body"
        doc: "the move"
  child:
    seq:
      - id: "type"
        contents: [16]
        doc: "frame type"
      - id: "record_length"
        type: "u2"
        doc: "length of the child's genesis"
      - id: "record"
        size: "record_length"
        type: "term_record"
        if: "record_length != 0"
        doc: "the child's genesis"
      - id: "signature"
        size: 64
        doc: "the founder's, over labelled(\"ToM/1 genesis\", record)"
      - id: "parent_length"
        type: "u2"
        doc: "length of the parent's record"
      - id: "parent"
        size: "parent_length"
        type: "term_record"
        if: "parent_length != 0"
        doc: "the parent's record that the moves name"
      - id: "move_count"
        type: "u1"
        doc: "1 to 64"
      - id: "moves"
        type: "move_body"
        repeat: "expr"
        repeat-expr: "move_count"
        doc: "ascending by node"
  founding:
    seq:
      - id: "proof"
        size: 80
        doc: "VRF proof for labelled(\"ToM/1 vrf genesis\", subnet)"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 genesis\", record)"
  genesis:
    seq:
      - id: "type"
        contents: [17]
        doc: "frame type"
      - id: "nonce"
        size: 32
        doc: "random, from the founder with the lowest id"
      - id: "record_length"
        type: "u2"
        doc: "length of the record"
      - id: "record"
        size: "record_length"
        type: "term_record"
        if: "record_length != 0"
        doc: "the first record"
      - id: "founder_count"
        type: "u1"
        doc: "as many as the roster"
      - id: "founders"
        type: "founding"
        repeat: "expr"
        repeat-expr: "founder_count"
        doc: "in the order of the roster"
  participant:
    seq:
      - id: "node"
        size: 32
        doc: "NodeId"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 conversation\", home, term, participants, nonce)"
  conversation:
    seq:
      - id: "type"
        contents: [18]
        doc: "frame type"
      - id: "home"
        size: 32
        doc: "id of the home subnet"
      - id: "term"
        type: "u8"
        doc: "the home's present term"
      - id: "nonce"
        size: 32
        doc: "random, from the participant that opens it"
      - id: "count"
        type: "u1"
        doc: "2 to 8"
      - id: "participants"
        type: "participant"
        repeat: "expr"
        repeat-expr: "count"
        doc: "ascending by node"
  conversation_end:
    seq:
      - id: "type"
        contents: [19]
        doc: "frame type"
      - id: "conversation"
        size: 32
        doc: "id of the conversation subnet"
      - id: "node"
        size: 32
        doc: "NodeId of a participant"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 conversation end\", conversation)"
  invitation_body:
    seq:
      - id: "version"
        type: "u1"
        doc: "1"
      - id: "inviter"
        size: 32
        doc: "NodeId"
      - id: "subnet"
        size: 32
        doc: "id of the inviter's home"
      - id: "term"
        type: "u8"
        doc: "of the record that was present when it was made"
      - id: "record"
        size: 32
        doc: "hash of that record"
      - id: "token"
        size: 16
        doc: "secret; shows the inviter that the newcomer was invited"
      - id: "expires_at"
        type: "u8"
        doc: "ms; not accepted from then on"
      - id: "address_count"
        type: "u1"
        doc: "1 to 8"
      - id: "addresses"
        type: "address"
        repeat: "expr"
        repeat-expr: "address_count"
        doc: "where the inviter listens"
  invitation:
    seq:
      - id: "body"
        type: "invitation_body"
        doc: "the signed fields"
      - id: "signature"
        size: 64
        doc: "Ed25519 by the inviter over labelled(\"ToM/1 invitation\", body)"
  signal:
    seq:
      - id: "type"
        contents: [20]
        doc: "frame type"
      - id: "sender"
        size: 32
        doc: "NodeId"
      - id: "recipient"
        size: 32
        doc: "NodeId"
      - id: "body"
        size-eos: true
        doc: "0 to 16,384 bytes, for the two ends alone to understand"
  vitals_report:
    seq:
      - id: "type"
        contents: [32]
        doc: "frame type"
      - id: "subnet"
        size: 32
        doc: "id of the subnet"
      - id: "term"
        type: "u8"
        doc: "of the present record"
      - id: "record"
        size: 32
        doc: "hash of the present record"
      - id: "node"
        size: 32
        doc: "NodeId of the member"
      - id: "counts"
        type: "vitals_counts"
        doc: "what it counted since its last report"
      - id: "signature"
        size: 64
        doc: "over labelled(\"ToM/1 vitals\", subnet, term, record, counts)"
  session_regular:
    seq:
      - id: "suite"
        type: "u1"
        doc: "1"
      - id: "type"
        contents: [2]
        doc: "regular message"
      - id: "session_id"
        size: 16
        doc: "names the session"
      - id: "ratchet_key"
        size: 32
        doc: "the sender's present ratchet key"
      - id: "previous_count"
        type: "u4"
        doc: "messages in the sender's previous chain"
      - id: "number"
        type: "u4"
        doc: "of this message in its chain"
      - id: "ciphertext"
        size-eos: true
        doc: "ChaCha20-Poly1305, 16 bytes longer than the content"
  session_initial:
    seq:
      - id: "suite"
        type: "u1"
        doc: "1"
      - id: "type"
        contents: [1]
        doc: "initial message"
      - id: "session_id"
        size: 16
        doc: "names the session"
      - id: "session_key"
        size: 32
        doc: "the initiator's session identity"
      - id: "ephemeral"
        size: 32
        doc: "the initiator's X3DH ephemeral key"
      - id: "prekey_id"
        type: "u4"
        doc: "the recipient's signed prekey that was used"
      - id: "begun_at"
        type: "u8"
        doc: "ms; when the initiator began the session"
      - id: "ratchet_key"
        size: 32
        doc: "the sender's present ratchet key"
      - id: "previous_count"
        type: "u4"
        doc: "messages in the sender's previous chain"
      - id: "number"
        type: "u4"
        doc: "of this message in its chain"
      - id: "ciphertext"
        size-eos: true
        doc: "ChaCha20-Poly1305, 16 bytes longer than the content"
  holder:
    seq:
      - id: "node"
        size: 32
        doc: "NodeId"
  records:
    seq:
      - id: "items"
        type: "record"
        repeat: "eos"
  unknown_frame:
    seq:
      - id: "type"
        type: "u1"
      - id: "body"
        size-eos: true
        doc: "to be ignored"
