-- made by `python -m tools.spec` from tom_ref/wire.py; never edit by hand
-- A Wireshark dissector for the frames and records of ToM/1, as they are inside a decrypted link.
-- In a capture of link type USER0 each packet is a frame, of USER1 the plaintext of a Noise message: records.
--   tshark -X lua_script:tom.lua -r frames.pcap -V

local structures = {
  extension = {
    { name = "type", note = "bit 15 set: critical", kind = "uint", size = 2 },
    { name = "length", note = "length of the value", kind = "uint", size = 2 },
    { name = "value", note = "the extension's own content", kind = "sized", length = "length" },
  },
  extensions = {
    { name = "count", note = "0 to 16", kind = "uint", size = 1 },
    { name = "items", note = "types strictly ascending", kind = "list", count = "count", of = "extension" },
  },
  address = {
    { name = "transport", note = "1 TCP, 2 WebSocket, 3 WebRTC, 4 memory", kind = "uint", size = 1 },
    { name = "length", note = "1 to 255", kind = "uint", size = 1 },
    { name = "text", note = "printable ASCII, for example 192.0.2.7:7700", kind = "sized", length = "length" },
  },
  descriptor_body = {
    { name = "version", note = "1", kind = "uint", size = 1 },
    { name = "node_id", note = "Ed25519 public key", kind = "bytes", size = 32 },
    { name = "vrf_key", note = "ECVRF public key", kind = "bytes", size = 32 },
    { name = "link_key", note = "X25519 public key, the Noise static key", kind = "bytes", size = 32 },
    { name = "session_key", note = "X25519 public key, the session identity", kind = "bytes", size = 32 },
    { name = "prekey_id", note = "names the signed prekey", kind = "uint", size = 4 },
    { name = "prekey", note = "X25519 public key", kind = "bytes", size = 32 },
    { name = "prekey_from", note = "ms; the prekey may be used from then", kind = "uint", size = 8 },
    { name = "prekey_until", note = "ms; and until then", kind = "uint", size = 8 },
    { name = "min_version", note = "lowest protocol version spoken", kind = "uint", size = 1 },
    { name = "max_version", note = "highest protocol version spoken", kind = "uint", size = 1 },
    { name = "created_at", note = "ms; the newest descriptor wins", kind = "uint", size = 8 },
    { name = "address_count", note = "0 to 8", kind = "uint", size = 1 },
    { name = "addresses", note = "where the node listens, in order of preference", kind = "list", count = "address_count", of = "address" },
    { name = "extensions", note = "list of extensions", kind = "nested", of = "extensions" },
  },
  descriptor = {
    { name = "body", note = "the signed fields", kind = "nested", of = "descriptor_body" },
    { name = "signature", note = "Ed25519 by node_id over labelled(\"ToM/1 descriptor\", body)", kind = "bytes", size = 64 },
  },
  handshake_payload = {
    { name = "version", note = "1", kind = "uint", size = 1 },
    { name = "length", note = "length of the descriptor", kind = "uint", size = 2 },
    { name = "descriptor", note = "the sender's descriptor", kind = "sized", length = "length", of = "descriptor" },
    { name = "extensions", note = "list of extensions", kind = "nested", of = "extensions" },
  },
  record = {
    { name = "type", note = "1 to 6 below; 0x80 and above are ignored when unknown", kind = "uint", size = 1 },
    { name = "length", note = "length of the body", kind = "uint", size = 2 },
    { name = "body", note = "by type", kind = "sized", length = "length", by = "type" },
  },
  record_chunk = {
    { name = "stream", note = "names the frame: 1 for the first of this direction, then 2, 3, ...", kind = "uint", size = 4 },
    { name = "total", note = "length of the whole frame", kind = "uint", size = 4 },
    { name = "offset", note = "where this data belongs", kind = "uint", size = 4 },
    { name = "data", note = "1 to 16,384 bytes", kind = "rest" },
  },
  record_window = {
    { name = "limit", note = "bytes of frames the peer may begin, counted from the start of the link", kind = "uint", size = 8 },
  },
  record_ping = {
    { name = "nonce", note = "repeated in the answer", kind = "uint", size = 8 },
    { name = "sent_at", note = "ms by the asking clock", kind = "uint", size = 8 },
  },
  record_pong = {
    { name = "nonce", note = "of the ping", kind = "uint", size = 8 },
    { name = "ping_sent_at", note = "of the ping", kind = "uint", size = 8 },
    { name = "received_at", note = "ms by the answering clock, when the ping came", kind = "uint", size = 8 },
    { name = "sent_at", note = "ms by the answering clock, when the answer left", kind = "uint", size = 8 },
  },
  record_rekey = {
    { name = "generation", note = "1 for the first new key of this direction, then 2, 3, ...", kind = "uint", size = 4 },
  },
  record_close = {
    { name = "reason", note = "a reason code in ASCII", kind = "rest" },
  },
  header = {
    { name = "version", note = "1", kind = "uint", size = 1 },
    { name = "kind", note = "1 application message", kind = "uint", size = 1 },
    { name = "subnet", note = "subnet id", kind = "bytes", size = 32 },
    { name = "term", note = "number of the term whose draft the route follows", kind = "uint", size = 8 },
    { name = "sender", note = "NodeId", kind = "bytes", size = 32 },
    { name = "recipient", note = "NodeId", kind = "bytes", size = 32 },
    { name = "created_at", note = "ms by the sender's clock", kind = "uint", size = 8 },
    { name = "ttl", note = "ms, 1 to 86,400,000", kind = "uint", size = 4 },
    { name = "hop_limit", note = "1 to 32: the most stamps the trail may hold", kind = "uint", size = 1 },
    { name = "extensions", note = "list of extensions", kind = "nested", of = "extensions" },
    { name = "payload_length", note = "length of the payload", kind = "uint", size = 4 },
    { name = "payload_hash", note = "SHA-256 of the payload", kind = "bytes", size = 32 },
  },
  stamp = {
    { name = "arrived_at", note = "ms by the stamping node's clock, when the message arrived there", kind = "uint", size = 8 },
    { name = "next_hop", note = "NodeId of the node this copy is handed to", kind = "bytes", size = 32 },
    { name = "signature", note = "Ed25519 by the node that the stamp before names", kind = "bytes", size = 64 },
  },
  envelope = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "header_length", note = "length of the header", kind = "uint", size = 2 },
    { name = "header", note = "the signed header", kind = "sized", length = "header_length", of = "header" },
    { name = "signature", note = "Ed25519 by the sender over labelled(\"ToM/1 header\", header)", kind = "bytes", size = 64 },
    { name = "work_nonce", note = "proof of work; 0 when none is asked for", kind = "uint", size = 8 },
    { name = "trail_count", note = "1 to hop_limit", kind = "uint", size = 1 },
    { name = "trail", note = "one stamp a hop, the sender's first", kind = "list", count = "trail_count", of = "stamp" },
    { name = "payload", note = "the ciphertext", kind = "rest" },
  },
  receipt_body = {
    { name = "version", note = "1", kind = "uint", size = 1 },
    { name = "message_id", note = "of the message received", kind = "bytes", size = 32 },
    { name = "subnet", note = "as in the header", kind = "bytes", size = 32 },
    { name = "term", note = "as in the header", kind = "uint", size = 8 },
    { name = "sender", note = "as in the header", kind = "bytes", size = 32 },
    { name = "recipient", note = "who signs", kind = "bytes", size = 32 },
    { name = "relay", note = "the node that handed the message over; zeros when it was the sender", kind = "bytes", size = 32 },
    { name = "created_at", note = "as in the header", kind = "uint", size = 8 },
    { name = "ttl", note = "as in the header", kind = "uint", size = 4 },
    { name = "received_at", note = "ms by the recipient's clock", kind = "uint", size = 8 },
    { name = "extensions", note = "list of extensions", kind = "nested", of = "extensions" },
  },
  receipt = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "body", note = "the signed fields", kind = "nested", of = "receipt_body" },
    { name = "signature", note = "Ed25519 by the recipient over labelled(\"ToM/1 receipt\", body)", kind = "bytes", size = 64 },
  },
  trail_report = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "message_id", note = "of the message on its way", kind = "bytes", size = 32 },
    { name = "trail_count", note = "1 to 32", kind = "uint", size = 1 },
    { name = "trail", note = "the trail as it left the reporting hop", kind = "list", count = "trail_count", of = "stamp" },
  },
  refusal = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "message_id", note = "of the envelope that was not taken", kind = "bytes", size = 32 },
    { name = "length", note = "1 to 40", kind = "uint", size = 1 },
    { name = "reason", note = "a reason code in ASCII", kind = "sized", length = "length" },
  },
  descriptor_query = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "node_id", note = "whose descriptor is wanted", kind = "bytes", size = 32 },
  },
  descriptor_answer = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "node_id", note = "whose descriptor follows", kind = "bytes", size = 32 },
    { name = "length", note = "length of the descriptor; 0: not known here", kind = "uint", size = 2 },
    { name = "descriptor", note = "the newest descriptor known", kind = "sized", length = "length", of = "descriptor" },
  },
  holding_query = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "message_id", note = "about which the asker wants to know", kind = "bytes", size = 32 },
  },
  holding_answer = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "message_id", note = "of the query", kind = "bytes", size = 32 },
    { name = "holding", note = "0 nothing, 1 a copy, 2 a receipt, 3 the way back of a message handed on", kind = "uint", size = 1 },
    { name = "until", note = "ms; when it is erased at the latest, 0 for nothing", kind = "uint", size = 8 },
  },
  member = {
    { name = "node", note = "NodeId", kind = "bytes", size = 32 },
    { name = "vrf_key", note = "ECVRF public key, the same as long as the member is listed", kind = "bytes", size = 32 },
    { name = "admitted", note = "term of the record that first listed it; 0 for a founder", kind = "uint", size = 8 },
    { name = "absent", note = "0 to 7: consecutive terms without proof of presence", kind = "uint", size = 1 },
    { name = "weight", note = "0 to 3 for the weights 1, 2, 4 and 8 in this record's draft of relays", kind = "uint", size = 1 },
    { name = "next_weight", note = "0 to 3: the same for the next record's draft", kind = "uint", size = 1 },
    { name = "balance", note = "balance plus 2^63", kind = "uint", size = 8 },
  },
  term_record = {
    { name = "version", note = "1", kind = "uint", size = 1 },
    { name = "subnet", note = "id of the subnet", kind = "bytes", size = 32 },
    { name = "term", note = "number of the term, 0 for a genesis", kind = "uint", size = 8 },
    { name = "previous", note = "hash of the previous record; zeros for a genesis", kind = "bytes", size = 32 },
    { name = "start", note = "ms; when slot 0 of the vote on the next record begins", kind = "uint", size = 8 },
    { name = "seed", note = "from which this record's roles are drawn", kind = "bytes", size = 32 },
    { name = "proposer", note = "whose VRF output entered the seed, or the founder; zeros in a first genesis", kind = "bytes", size = 32 },
    { name = "proof", note = "the proposer's VRF proof; zeros in a first genesis", kind = "bytes", size = 80 },
    { name = "slot_ms", note = "ms; length of a slot", kind = "uint", size = 4 },
    { name = "term_ms", note = "ms; from the slot of a record to slot 0 of the next vote", kind = "uint", size = 4 },
    { name = "fork_ms", note = "ms; fork time-out", kind = "uint", size = 4 },
    { name = "relay_share", note = "1 to 12: relays in twelfths of the pool", kind = "uint", size = 1 },
    { name = "custody", note = "1 to 8: copies of a message for an absent recipient", kind = "uint", size = 1 },
    { name = "pot", note = "what belongs to nobody, plus 2^63", kind = "uint", size = 8 },
    { name = "vitals_length", note = "0 or 23", kind = "uint", size = 2 },
    { name = "vitals", note = "vital signs, as soon as there are any", kind = "sized", length = "vitals_length", of = "vitals" },
    { name = "member_count", note = "1 to 64", kind = "uint", size = 1 },
    { name = "roster", note = "ascending by node id", kind = "list", count = "member_count", of = "member" },
    { name = "extensions", note = "list of extensions", kind = "nested", of = "extensions" },
  },
  block_header = {
    { name = "version", note = "1", kind = "uint", size = 1 },
    { name = "subnet", note = "id of the subnet", kind = "bytes", size = 32 },
    { name = "term", note = "the present record's term", kind = "uint", size = 8 },
    { name = "present", note = "hash of the present record", kind = "bytes", size = 32 },
    { name = "slot", note = "1 and above", kind = "uint", size = 4 },
    { name = "parent", note = "hash of the parent block; of the present record for a first block", kind = "bytes", size = 32 },
    { name = "record", note = "hash of the new record in a first block, zeros in a later one", kind = "bytes", size = 32 },
    { name = "evidence", note = "hash of the evidence in a first block, zeros in a later one", kind = "bytes", size = 32 },
  },
  ballot = {
    { name = "index", note = "the validator's place in the present record's roster, from 0", kind = "uint", size = 1 },
    { name = "signature", note = "its vote", kind = "bytes", size = 64 },
  },
  indexed_signature = {
    { name = "index", note = "the member's place in the present record's roster, from 0", kind = "uint", size = 1 },
    { name = "signature", note = "of the heartbeat or leave", kind = "bytes", size = 64 },
  },
  join_body = {
    { name = "subnet", note = "id of the subnet", kind = "bytes", size = 32 },
    { name = "term", note = "the present record's term", kind = "uint", size = 8 },
    { name = "work_nonce", note = "the newcomer's proof of work", kind = "uint", size = 8 },
    { name = "sponsor", note = "NodeId of the member that vouches", kind = "bytes", size = 32 },
    { name = "signature", note = "the sponsor's; zeros from the newcomer to its sponsor", kind = "bytes", size = 64 },
    { name = "descriptor_length", note = "length of the descriptor", kind = "uint", size = 2 },
    { name = "descriptor", note = "the newcomer's", kind = "sized", length = "descriptor_length", of = "descriptor" },
  },
  delivery = {
    { name = "header_length", note = "length of the header", kind = "uint", size = 2 },
    { name = "header", note = "as the sender signed it", kind = "sized", length = "header_length", of = "header" },
    { name = "signature", note = "the sender's", kind = "bytes", size = 64 },
    { name = "receipt_length", note = "length of the receipt", kind = "uint", size = 2 },
    { name = "receipt", note = "the recipient's receipt frame", kind = "sized", length = "receipt_length", of = "receipt" },
  },
  vitals_counts = {
    { name = "ended", note = "own messages that were delivered or expired since the last report", kind = "uint", size = 2 },
    { name = "delivered", note = "of these, delivered", kind = "uint", size = 2 },
    { name = "rerouted", note = "of these, those that had to be handed over more than once", kind = "uint", size = 2 },
    { name = "recovered", note = "of the rerouted ones, delivered", kind = "uint", size = 2 },
    { name = "within_100ms", note = "of the delivered ones, those whose receipt came within 100 ms", kind = "uint", size = 2 },
    { name = "within_300ms", note = "later, within 300 ms", kind = "uint", size = 2 },
    { name = "within_1s", note = "later, within 1 s", kind = "uint", size = 2 },
    { name = "within_3s", note = "later, within 3 s", kind = "uint", size = 2 },
    { name = "within_10s", note = "later, within 10 s", kind = "uint", size = 2 },
    { name = "within_30s", note = "later, within 30 s", kind = "uint", size = 2 },
    { name = "within_100s", note = "later, within 100 s", kind = "uint", size = 2 },
    { name = "beyond", note = "later than that", kind = "uint", size = 2 },
  },
  vitals_proof = {
    { name = "index", note = "the member's place in the present record's roster, from 0", kind = "uint", size = 1 },
    { name = "counts", note = "what it counted", kind = "nested", of = "vitals_counts" },
    { name = "signature", note = "of its report", kind = "bytes", size = 64 },
  },
  vitals = {
    { name = "delivery", note = "permille of messages delivered", kind = "uint", size = 2 },
    { name = "survival", note = "permille of rerouted messages delivered", kind = "uint", size = 2 },
    { name = "within_100ms", note = "permille of delivered messages, those within 100 ms", kind = "uint", size = 2 },
    { name = "within_300ms", note = "later, within 300 ms", kind = "uint", size = 2 },
    { name = "within_1s", note = "later, within 1 s", kind = "uint", size = 2 },
    { name = "within_3s", note = "later, within 3 s", kind = "uint", size = 2 },
    { name = "within_10s", note = "later, within 10 s", kind = "uint", size = 2 },
    { name = "within_30s", note = "later, within 30 s", kind = "uint", size = 2 },
    { name = "within_100s", note = "later, within 100 s", kind = "uint", size = 2 },
    { name = "beyond", note = "later than that", kind = "uint", size = 2 },
    { name = "reports", note = "0 to 64: reports of validators in the evidence", kind = "uint", size = 1 },
    { name = "forks", note = "forks in the lineage, 65,535 for as many or more", kind = "uint", size = 2 },
  },
  evidence = {
    { name = "heartbeat_count", note = "0 to 64", kind = "uint", size = 1 },
    { name = "heartbeats", note = "ascending by index", kind = "list", count = "heartbeat_count", of = "indexed_signature" },
    { name = "leave_count", note = "0 to 64", kind = "uint", size = 1 },
    { name = "leaves", note = "ascending by index", kind = "list", count = "leave_count", of = "indexed_signature" },
    { name = "join_count", note = "0 to 64", kind = "uint", size = 1 },
    { name = "joins", note = "in their drawn order, each newcomer once", kind = "list", count = "join_count", of = "join_body" },
    { name = "delivery_count", note = "0 to 1,024", kind = "uint", size = 2 },
    { name = "deliveries", note = "ascending by message id, each once", kind = "list", count = "delivery_count", of = "delivery" },
    { name = "report_count", note = "0 to 64", kind = "uint", size = 1 },
    { name = "reports", note = "ascending by index", kind = "list", count = "report_count", of = "vitals_proof" },
  },
  proposal = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "header", note = "the block", kind = "nested", of = "block_header" },
    { name = "signature", note = "the leader's, over labelled(\"ToM/1 block\", header)", kind = "bytes", size = 64 },
    { name = "vote_count", note = "0 to 64; 0 when the parent is the present record", kind = "uint", size = 1 },
    { name = "certificate", note = "the parent's votes, ascending by index", kind = "list", count = "vote_count", of = "ballot" },
    { name = "record_length", note = "0 in a later block", kind = "uint", size = 2 },
    { name = "record", note = "the new record", kind = "sized", length = "record_length", of = "term_record" },
    { name = "evidence_length", note = "0 in a later block", kind = "uint", size = 4 },
    { name = "evidence", note = "what the record was computed from", kind = "sized", length = "evidence_length", of = "evidence" },
  },
  vote = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "subnet", note = "id of the subnet", kind = "bytes", size = 32 },
    { name = "term", note = "the present record's term", kind = "uint", size = 8 },
    { name = "present", note = "hash of the present record", kind = "bytes", size = 32 },
    { name = "slot", note = "of the block, 1 or more", kind = "uint", size = 4 },
    { name = "block", note = "hash of the block", kind = "bytes", size = 32 },
    { name = "voter", note = "NodeId", kind = "bytes", size = 32 },
    { name = "signature", note = "over labelled(\"ToM/1 vote\", subnet, term, present, slot, block)", kind = "bytes", size = 64 },
  },
  heartbeat_body = {
    { name = "subnet", note = "id of the subnet", kind = "bytes", size = 32 },
    { name = "term", note = "of the record", kind = "uint", size = 8 },
    { name = "record", note = "hash of the record that the member holds as present", kind = "bytes", size = 32 },
    { name = "node", note = "NodeId", kind = "bytes", size = 32 },
    { name = "signature", note = "over labelled(\"ToM/1 heartbeat\", subnet, term, record)", kind = "bytes", size = 64 },
  },
  heartbeat = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "body", note = "the heartbeat", kind = "nested", of = "heartbeat_body" },
  },
  proven_block = {
    { name = "header", note = "a block of the final chain", kind = "nested", of = "block_header" },
    { name = "vote_count", note = "1 to 64", kind = "uint", size = 1 },
    { name = "certificate", note = "its votes, ascending by index", kind = "list", count = "vote_count", of = "ballot" },
  },
  finality = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "block_count", note = "2 to 200", kind = "uint", size = 1 },
    { name = "blocks", note = "from the first block to the child of the final one", kind = "list", count = "block_count", of = "proven_block" },
    { name = "record", note = "the new record", kind = "nested", of = "term_record" },
  },
  record_query = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "subnet", note = "id of the subnet; zeros for the asked node's home", kind = "bytes", size = 32 },
    { name = "term", note = "the asker's present term; 2^64 - 1 when it holds no record", kind = "uint", size = 8 },
  },
  record_answer = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "present_length", note = "length of the present record", kind = "uint", size = 2 },
    { name = "present", note = "the present record", kind = "sized", length = "present_length", of = "term_record" },
    { name = "previous_length", note = "0 when the answering node holds none", kind = "uint", size = 2 },
    { name = "previous", note = "the record before", kind = "sized", length = "previous_length", of = "term_record" },
    { name = "heartbeat_count", note = "0 to 64", kind = "uint", size = 1 },
    { name = "heartbeats", note = "for the present record, ascending by node", kind = "list", count = "heartbeat_count", of = "heartbeat_body" },
  },
  join = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "body", note = "the join", kind = "nested", of = "join_body" },
  },
  leave = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "subnet", note = "id of the subnet", kind = "bytes", size = 32 },
    { name = "term", note = "the present record's term", kind = "uint", size = 8 },
    { name = "node", note = "NodeId", kind = "bytes", size = 32 },
    { name = "signature", note = "over labelled(\"ToM/1 leave\", subnet, term)", kind = "bytes", size = 64 },
  },
  move_body = {
    { name = "subnet", note = "id of the parent", kind = "bytes", size = 32 },
    { name = "term", note = "of the parent's record", kind = "uint", size = 8 },
    { name = "record", note = "hash of the parent's record", kind = "bytes", size = 32 },
    { name = "attempt", note = "1 and above", kind = "uint", size = 4 },
    { name = "founder", note = "NodeId", kind = "bytes", size = 32 },
    { name = "node", note = "NodeId of the member that moves", kind = "bytes", size = 32 },
    { name = "signature", note = "over labelled(\"ToM/1 move\", subnet, term, record, attempt, founder)", kind = "bytes", size = 64 },
  },
  move = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "body", note = "the move", kind = "nested", of = "move_body" },
  },
  child = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "record_length", note = "length of the child's genesis", kind = "uint", size = 2 },
    { name = "record", note = "the child's genesis", kind = "sized", length = "record_length", of = "term_record" },
    { name = "signature", note = "the founder's, over labelled(\"ToM/1 genesis\", record)", kind = "bytes", size = 64 },
    { name = "parent_length", note = "length of the parent's record", kind = "uint", size = 2 },
    { name = "parent", note = "the parent's record that the moves name", kind = "sized", length = "parent_length", of = "term_record" },
    { name = "move_count", note = "1 to 64", kind = "uint", size = 1 },
    { name = "moves", note = "ascending by node", kind = "list", count = "move_count", of = "move_body" },
  },
  founding = {
    { name = "proof", note = "VRF proof for labelled(\"ToM/1 vrf genesis\", subnet)", kind = "bytes", size = 80 },
    { name = "signature", note = "over labelled(\"ToM/1 genesis\", record)", kind = "bytes", size = 64 },
  },
  genesis = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "nonce", note = "random, from the founder with the lowest id", kind = "bytes", size = 32 },
    { name = "record_length", note = "length of the record", kind = "uint", size = 2 },
    { name = "record", note = "the first record", kind = "sized", length = "record_length", of = "term_record" },
    { name = "founder_count", note = "as many as the roster", kind = "uint", size = 1 },
    { name = "founders", note = "in the order of the roster", kind = "list", count = "founder_count", of = "founding" },
  },
  participant = {
    { name = "node", note = "NodeId", kind = "bytes", size = 32 },
    { name = "signature", note = "over labelled(\"ToM/1 conversation\", home, term, participants, nonce)", kind = "bytes", size = 64 },
  },
  conversation = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "home", note = "id of the home subnet", kind = "bytes", size = 32 },
    { name = "term", note = "the home's present term", kind = "uint", size = 8 },
    { name = "nonce", note = "random, from the participant that opens it", kind = "bytes", size = 32 },
    { name = "count", note = "2 to 8", kind = "uint", size = 1 },
    { name = "participants", note = "ascending by node", kind = "list", count = "count", of = "participant" },
  },
  conversation_end = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "conversation", note = "id of the conversation subnet", kind = "bytes", size = 32 },
    { name = "node", note = "NodeId of a participant", kind = "bytes", size = 32 },
    { name = "signature", note = "over labelled(\"ToM/1 conversation end\", conversation)", kind = "bytes", size = 64 },
  },
  invitation_body = {
    { name = "version", note = "1", kind = "uint", size = 1 },
    { name = "inviter", note = "NodeId", kind = "bytes", size = 32 },
    { name = "subnet", note = "id of the inviter's home", kind = "bytes", size = 32 },
    { name = "term", note = "of the record that was present when it was made", kind = "uint", size = 8 },
    { name = "record", note = "hash of that record", kind = "bytes", size = 32 },
    { name = "token", note = "secret; shows the inviter that the newcomer was invited", kind = "bytes", size = 16 },
    { name = "expires_at", note = "ms; not accepted from then on", kind = "uint", size = 8 },
    { name = "address_count", note = "1 to 8", kind = "uint", size = 1 },
    { name = "addresses", note = "where the inviter listens", kind = "list", count = "address_count", of = "address" },
  },
  invitation = {
    { name = "body", note = "the signed fields", kind = "nested", of = "invitation_body" },
    { name = "signature", note = "Ed25519 by the inviter over labelled(\"ToM/1 invitation\", body)", kind = "bytes", size = 64 },
  },
  signal = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "sender", note = "NodeId", kind = "bytes", size = 32 },
    { name = "recipient", note = "NodeId", kind = "bytes", size = 32 },
    { name = "body", note = "0 to 16,384 bytes, for the two ends alone to understand", kind = "rest" },
  },
  vitals_report = {
    { name = "type", note = "frame type", kind = "bytes", size = 1 },
    { name = "subnet", note = "id of the subnet", kind = "bytes", size = 32 },
    { name = "term", note = "of the present record", kind = "uint", size = 8 },
    { name = "record", note = "hash of the present record", kind = "bytes", size = 32 },
    { name = "node", note = "NodeId of the member", kind = "bytes", size = 32 },
    { name = "counts", note = "what it counted since its last report", kind = "nested", of = "vitals_counts" },
    { name = "signature", note = "over labelled(\"ToM/1 vitals\", subnet, term, record, counts)", kind = "bytes", size = 64 },
  },
  session_regular = {
    { name = "suite", note = "1", kind = "uint", size = 1 },
    { name = "type", note = "regular message", kind = "bytes", size = 1 },
    { name = "session_id", note = "names the session", kind = "bytes", size = 16 },
    { name = "ratchet_key", note = "the sender's present ratchet key", kind = "bytes", size = 32 },
    { name = "previous_count", note = "messages in the sender's previous chain", kind = "uint", size = 4 },
    { name = "number", note = "of this message in its chain", kind = "uint", size = 4 },
    { name = "ciphertext", note = "ChaCha20-Poly1305, 16 bytes longer than the content", kind = "rest" },
  },
  session_initial = {
    { name = "suite", note = "1", kind = "uint", size = 1 },
    { name = "type", note = "initial message", kind = "bytes", size = 1 },
    { name = "session_id", note = "names the session", kind = "bytes", size = 16 },
    { name = "session_key", note = "the initiator's session identity", kind = "bytes", size = 32 },
    { name = "ephemeral", note = "the initiator's X3DH ephemeral key", kind = "bytes", size = 32 },
    { name = "prekey_id", note = "the recipient's signed prekey that was used", kind = "uint", size = 4 },
    { name = "begun_at", note = "ms; when the initiator began the session", kind = "uint", size = 8 },
    { name = "ratchet_key", note = "the sender's present ratchet key", kind = "bytes", size = 32 },
    { name = "previous_count", note = "messages in the sender's previous chain", kind = "uint", size = 4 },
    { name = "number", note = "of this message in its chain", kind = "uint", size = 4 },
    { name = "ciphertext", note = "ChaCha20-Poly1305, 16 bytes longer than the content", kind = "rest" },
  },
  holder = {
    { name = "node", note = "NodeId", kind = "bytes", size = 32 },
  },
}

local frames = {
  [1] = "envelope",
  [2] = "receipt",
  [3] = "trail_report",
  [4] = "refusal",
  [5] = "descriptor_query",
  [6] = "descriptor_answer",
  [7] = "proposal",
  [8] = "vote",
  [9] = "heartbeat",
  [10] = "finality",
  [11] = "record_query",
  [12] = "record_answer",
  [13] = "join",
  [14] = "leave",
  [15] = "move",
  [16] = "child",
  [17] = "genesis",
  [18] = "conversation",
  [19] = "conversation_end",
  [20] = "signal",
  [32] = "vitals_report",
  [33] = "holding_query",
  [34] = "holding_answer",
}

local records = {
  [1] = "record_chunk",
  [2] = "record_window",
  [3] = "record_ping",
  [4] = "record_pong",
  [5] = "record_rekey",
  [6] = "record_close",
}

local tom = Proto("tom", "ToM/1 frame")
local tom_records = Proto("tom_records", "ToM/1 records")
local uints = { [1] = ProtoField.uint8, [2] = ProtoField.uint16, [4] = ProtoField.uint32, [8] = ProtoField.uint64 }
local fields, all = {}, {}

for structure, members in pairs(structures) do
  fields[structure] = {}
  for _, member in ipairs(members) do
    local name = "tom." .. structure .. "." .. member.name
    local make = member.kind == "uint" and uints[member.size] or ProtoField.bytes
    local field
    if member.kind == "uint" then
      field = make(name, member.name, base.DEC, nil, nil, member.note)
    else
      field = make(name, member.name, base.NONE, member.note)
    end
    fields[structure][member.name] = field
    table.insert(all, field)
  end
end
tom.fields = all
local cut = ProtoExpert.new("tom.cut", "ends before the value does", expert.group.MALFORMED, expert.severity.ERROR)
local rest = ProtoExpert.new("tom.rest", "goes on after the value", expert.group.MALFORMED, expert.severity.ERROR)
tom.experts = { cut, rest }

local follow

-- Adds one structure to the tree; returns the position behind it, or nil when the bytes end before.
follow = function(structure, buffer, at, stop, tree)
  local values = {}
  for _, member in ipairs(structures[structure]) do
    local field = fields[structure][member.name]
    local size = member.size
    if member.kind == "uint" then
      if at + size > stop then return nil end
      local range = buffer(at, size)
      values[member.name] = size == 8 and 0 or range:uint()
      tree:add(field, range)
      at = at + size
    elseif member.kind == "bytes" then
      if at + size > stop then return nil end
      tree:add(field, buffer(at, size))
      at = at + size
    elseif member.kind == "rest" then
      if stop > at then tree:add(field, buffer(at, stop - at)) end
      at = stop
    elseif member.kind == "sized" then
      size = values[member.length]
      if at + size > stop then return nil end
      local inside = member.of or (member.by and records[values[member.by]])
      if size > 0 then
        local branch = tree:add(field, buffer(at, size))
        if inside and not follow(inside, buffer, at, at + size, branch) then return nil end
      end
      at = at + size
    elseif member.kind == "nested" then
      local branch = tree:add(structure .. "." .. member.name)
      at = follow(member.of, buffer, at, stop, branch)
      if not at then return nil end
    elseif member.kind == "list" then
      for index = 0, values[member.count] - 1 do
        if member.of then
          local branch = tree:add(member.of .. " " .. index)
          at = follow(member.of, buffer, at, stop, branch)
          if not at then return nil end
        else
          if at + size > stop then return nil end
          tree:add(field, buffer(at, size))
          at = at + size
        end
      end
    end
  end
  return at
end

function tom.dissector(buffer, packet, tree)
  local kind = buffer(0, 1):uint()
  local name = frames[kind]
  packet.cols.protocol = "ToM"
  packet.cols.info = name or string.format("unknown frame 0x%02x", kind)
  local branch = tree:add(tom, buffer(), "ToM/1 " .. (name or "unknown frame"))
  if not name then return end
  local at = follow(name, buffer, 0, buffer:len(), branch)
  if not at then
    branch:add_proto_expert_info(cut)
  elseif at < buffer:len() then
    branch:add_proto_expert_info(rest)
  end
end

function tom_records.dissector(buffer, packet, tree)
  local at = 0
  packet.cols.protocol = "ToM"
  while at and at < buffer:len() do
    local kind = buffer(at, 1):uint()
    packet.cols.info = records[kind] or string.format("unknown record 0x%02x", kind)
    local branch = tree:add(tom, buffer(at), "ToM/1 " .. (records[kind] or "unknown record"))
    at = follow("record", buffer, at, buffer:len(), branch)
    if not at then branch:add_proto_expert_info(cut) end
  end
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, tom)
DissectorTable.get("wtap_encap"):add(wtap.USER1, tom_records)
