"""Every number of ToM/1, once, with its unit and its reason.

A constant's docstring is its "why" in the specification's table of parameters, which is generated from
this file.  Units are in the names' docstrings: ``ms`` are milliseconds, ``bytes`` are octets.
"""

from __future__ import annotations

import enum
from typing import Final

# --- versions and clocks ------------------------------------------------------------------------------

VERSION: Final = 1
"""number: the protocol version this document describes; one byte in every signed structure."""

EPS: Final = 5_000
"""ms: the most by which an honest node's clock may differ from true time; estimated from link offsets."""

MAX_TTL: Final = 24 * 3_600_000
"""ms: the longest lifetime of a message: the network remembers nothing for longer than a day."""

DEFAULT_TTL: Final = MAX_TTL
"""ms: the lifetime of a message whose sender names none."""

# --- sizes --------------------------------------------------------------------------------------------

KEY_BYTES: Final = 32
"""bytes: a NodeId, a public key, a hash, a message id."""

MAX_CONTENT: Final = 1_048_576
"""bytes: the largest content an application may send as one message (1 MiB)."""

MAX_PAYLOAD: Final = MAX_CONTENT + 256
"""bytes: the largest ciphertext of an envelope: content, session header and authentication tag."""

MAX_EXTENSIONS: Final = 16
"""count: the most extensions in one list; enough to negotiate with, too few to flood with."""

MAX_EXTENSION_BYTES: Final = 4_096
"""bytes: the most that one list of extensions may occupy, its count included."""

MAX_HEADER: Final = 512 + MAX_EXTENSION_BYTES
"""bytes: the largest envelope header."""

MAX_HOPS: Final = 32
"""count: the highest hop limit an envelope may carry; a trail holds one stamp a hop."""

MAX_FRAME: Final = MAX_PAYLOAD + 16_384
"""bytes: the largest frame a link carries; the largest envelope with its header and a full trail fits."""

MAX_ADDRESSES: Final = 8
"""count: the most addresses in one descriptor."""

MAX_ADDRESS_BYTES: Final = 255
"""bytes: the longest address text; its length is one byte."""

MAX_DESCRIPTOR: Final = 8_192
"""bytes: the largest descriptor, addresses, extensions and signature included."""

MAX_REASON_BYTES: Final = 40
"""bytes: the longest reason code on the wire."""

# --- identity -----------------------------------------------------------------------------------------

PREKEY_INTERVAL: Final = 24 * 3_600_000
"""ms: a new signed prekey is published this often."""

PREKEY_VALIDITY: Final = 24 * 3_600_000 + MAX_TTL
"""ms: how long a signed prekey may be used after it was published: one interval and one lifetime, so that
an initial message written on the last moment can still be opened when it arrives."""

PREKEY_ERASE_AFTER: Final = MAX_TTL + 2 * EPS
"""ms: the prekey's secret is erased this long after its validity ended."""

PASSPHRASE_OPERATIONS: Final = 3
"""count: Argon2id passes when a secret file is sealed (libsodium's "moderate", about a second)."""

PASSPHRASE_MEMORY: Final = 262_144
"""KiB: Argon2id memory when a secret file is sealed (256 MiB, libsodium's "moderate")."""

MAX_PASSPHRASE_OPERATIONS: Final = 16
"""count: the most Argon2id passes a secret file may ask for, so that a hostile file can't stall a node."""

MAX_PASSPHRASE_MEMORY: Final = 1_048_576
"""KiB: the most Argon2id memory a secret file may ask for (1 GiB), for the same reason."""

# --- link ---------------------------------------------------------------------------------------------

MAX_NOISE_MESSAGE: Final = 65_535
"""bytes: the largest Noise message, by the Noise specification."""

MAX_HANDSHAKE_MESSAGE: Final = 32 + 48 + 3 + MAX_DESCRIPTOR + MAX_EXTENSION_BYTES + 16
"""bytes: the largest message of a handshake: two keys, the largest payload and its tag."""

LINK_WINDOW: Final = 4 * 1_048_576
"""bytes: how much a link may send before its peer grants more; holds three of the largest frames."""

LARGE_FRAME_RESERVE: Final = 262_144
"""bytes: a sender leaves this much of the window free of frames larger than a chunk, for the small ones."""

LARGE_FRAME_PATIENCE: Final = 1_048_576
"""bytes: so much in small frames may overtake a large one that waits for the window; then they wait, too."""

LINK_GRANT_STEP: Final = 65_536
"""bytes: this implementation grants more whenever so much came in as whole frames; well below what a sender
keeps for small frames, so that they flow on while large ones are in transit."""

MAX_STREAMS: Final = 16
"""count: the most frames that may be in transit at once in one direction of a link."""

CHUNK_SIZE: Final = 16_384
"""bytes: the most data in one chunk, so that a small frame never waits long behind a large one."""

SEND_QUEUE_HIGH: Final = 2 * 1_048_576
"""bytes: above this much queued data a link says it is not writable."""

SEND_QUEUE_LOW: Final = 524_288
"""bytes: once not writable, a link is writable again below this much."""

SEND_QUEUE_CAP: Final = 8 * 1_048_576
"""bytes: a link refuses frames beyond this much queued data."""

SEND_QUEUE_FRAME_COST: Final = 64
"""bytes: what a queued frame counts beyond its length, so that many tiny ones are bounded as well."""

LINK_INPUT_CAP: Final = 4 * (MAX_NOISE_MESSAGE + 2)
"""bytes: the most received data a link buffers while its events are not taken."""

HANDSHAKE_TIMEOUT: Final = 10_000
"""ms: a handshake that is not complete by then is given up."""

REKEY_MESSAGES: Final = 65_536
"""count: a sender replaces its link key after this many Noise messages."""

REKEY_INTERVAL: Final = 900_000
"""ms: a sender replaces its link key after this long, when it has anything to send."""

REKEY_GRACE: Final = 2
"""factor: a receiver refuses a key used for more than this many times the sender's limits."""

PING_INTERVAL: Final = 20_000
"""ms: a link that heard nothing for this long sends a ping."""

IDLE_TIMEOUT: Final = 60_000
"""ms: a link that heard nothing for this long is closed."""

DUPLICATE_LINK_AGE: Final = HANDSHAKE_TIMEOUT
"""ms: two links younger than this may come from a simultaneous dial; an older one gives way to a new link."""

# --- session ------------------------------------------------------------------------------------------

MAX_SKIPPED_KEYS: Final = 256
"""count: the most message keys a session keeps for messages that have not arrived."""

MAX_SESSIONS_PER_PEER: Final = 8
"""count: the most sessions kept with one peer: one in use, and for each end as many beginnings without an
answer as prekeys live at once (three), with one to spare."""

MAX_MESSAGE_NUMBER: Final = 2**32 - 2
"""number: the highest number of a message in its chain, so that the count of messages still fits 32 bits."""

SESSION_ERASE_AFTER: Final = MAX_TTL + 2 * EPS
"""ms: no message of a session can be alive this long after the last one that its sender could have sent."""

SESSION_WORN_AFTER: Final = MAX_TTL + 2 * EPS
"""ms: when nothing has been heard on a confirmed session for this long since something was said on it, a new
one is begun if possible: the peer may have lost it, and only a new one heals a one-way conversation."""

SESSION_IDLE: Final = 28 * 24 * 3_600_000
"""ms: a session unused for this long is not sent on any more; it is erased two message lifetimes later."""

MAX_CLOSED_SESSIONS: Final = 64
"""count: the most sessions begun by one peer, held or erased, that are remembered for as long as their
prekey's secret lives, so that a replayed initial message opens nothing twice; a further one is
refused."""

# --- delivery -----------------------------------------------------------------------------------------

RETRY_FIRST: Final = 2_000
"""ms: a sender that saw no receipt for this long tries the next way."""

RETRY_MAX: Final = 15_000
"""ms: the pause between attempts doubles up to this."""

MAX_PENDING: Final = 4_096
"""count: the most messages a node keeps for which no receipt has come; more are refused."""

MAX_PENDING_BYTES: Final = 64 * 1_048_576
"""bytes: the most payload a node keeps for which no receipt has come; more is refused."""

MAX_VERDICTS: Final = 65_536
"""count: the most final states of its own messages that a node keeps for an application that has not taken
them; it takes no more messages then."""

MAX_IN_FLIGHT: Final = 65_536
"""count: the most messages a relay remembers the way back for; more are refused."""

MAX_INBOX: Final = 4_096
"""count: the most messages kept for an application that has not acknowledged them; more are refused."""

MAX_INBOX_BYTES: Final = 64 * 1_048_576
"""bytes: the most plaintext kept for an application that has not acknowledged it; more is refused."""

MAX_SEEN: Final = 262_144
"""count: the most receipts a recipient remembers, so that nothing is shown twice; more are refused."""

MAX_DESCRIPTORS: Final = 4_096
"""count: the most descriptors of other nodes that a node keeps."""

MAX_QUERIES: Final = 1_024
"""count: the most nodes whose descriptor is being asked for at once."""


# --- roles --------------------------------------------------------------------------------------------

MAX_MEMBERS: Final = 64
"""count: the most members of a home subnet; beyond it agreement among all would cost too much."""

SLOT_MARGIN: Final = 2_000
"""ms: what a slot has beyond 2 EPS, so that a proposal and its votes travel within it."""

SLOT: Final = 12_000
"""ms: the length of a slot in a genesis that has no reason for another."""

TERM: Final = 600_000
"""ms: from the slot of a record to slot 0 of the next vote."""

TERM_SLOTS: Final = 8
"""count: a term is at least this many slots long, so that votes end before the next ones begin."""

FORK_TIMEOUT: Final = 1_800_000
"""ms: a due change of membership waits this long without a quorum before a member moves."""

FORK_SLOTS: Final = 32
"""count: and at least this many slots, so that a slow term isn't taken for a dead one."""

FOUNDER_WAIT_SLOTS: Final = 4
"""count: a founder waits this many slots for the moves of others before it issues a child's genesis."""

MOVE_WAIT_SLOTS: Final = 8
"""count: a member waits this many slots for the genesis of its attempt before it signs the next one."""

CHILD_WAIT_SLOTS: Final = 32
"""count: a child whose first own record isn't final after this many slots has no live quorum; four times the
wait for a genesis, since all turns of its leaders pass in them."""

MAX_ATTEMPT_LEAP: Final = 64
"""count: moves of attempts further than this beyond a node's own are refused, so that nobody uses them up."""

FORMER_MEMORY: Final = MAX_TTL
"""ms: who was left out for absence comes back without an invitation for this long."""

MAX_EVIDENCE: Final = 262_144
"""bytes: the most evidence that a block may carry."""

MAX_JOINS: Final = 64
"""count: the most joins that the evidence of a block may carry; the record admits fewer."""

MAX_DELIVERIES: Final = 1_024
"""count: the most deliveries that the evidence of a block may carry."""

MAX_DELIVERIES_PER_RELAY: Final = 64
"""count: the most deliveries in the evidence of one block that credit one relay."""

MAX_TERM_RECORD: Final = 16_384
"""bytes: the largest term record."""

MAX_PROOF_BLOCKS: Final = 200
"""count: the most blocks in a proof of finality, so that one fits a frame; a chain that grew so long without
three consecutive slots is given up, and the members fork."""

MAX_BLOCKS: Final = 512
"""count: the most blocks of one term that a node keeps; old ones that nothing was built on go first."""

SLOT_MEMORY: Final = 64
"""count: blocks and votes of slots older than this many are forgotten unless they are notarized."""

JOIN_WORK_BITS: Final = 16
"""bits: leading zero bits of the hash that a newcomer has to find; a second of work, more as a nuisance to
those who want many ids than as a wall."""

ABSENT_LIMIT: Final = 8
"""count: a member without proof of presence for this many terms in a row is left out."""

WAIT_TERMS: Final = 2
"""count: a newcomer holds no role in the record that admits it and in the one after."""

DUTY_CREDITS: Final = 8
"""count: deliveries credited to a relay in one term after which its weight rises."""

MAX_WEIGHT: Final = 3
"""number: the highest weight step; a member of step w counts 2^w times in the draft of relays."""

RELAY_SHARE: Final = 4
"""twelfths: the part of the pool that a genesis drafts as relays."""

CUSTODY_COPIES: Final = 2
"""count: the custodians of a message for an absent recipient in a genesis."""

MAX_INVITATION: Final = 4_096
"""bytes: the largest invitation; one address of ordinary length makes about 230."""

MAX_INVITATIONS: Final = 64
"""count: the most invitations of one node that are open at once."""

INVITATION_VALIDITY: Final = 24 * 3_600_000
"""ms: how long an invitation is good for when its maker names nothing else."""

MAX_HEARD: Final = 8_192
"""count: the most hashes of frames that a node remembers so that gossip ends."""

MAX_OFFERED: Final = 8
"""count: the most records of later terms that a node that fell behind weighs at once."""

LINK_IDLE: Final = 120_000
"""ms: a link outside the mesh that carried nothing for this long is closed."""

MAX_LINKS: Final = 128
"""count: the most links that a node keeps; a further one replaces the one idle for longest."""

MAX_SIGNAL: Final = 16_384
"""bytes: the longest body of a signal between two members without a link."""

MAX_SIGNALS: Final = 64
"""count: the most signals that a member passes on for one neighbour in one slot."""

CONVERSATION_NEED: Final = 16
"""count: so many messages between two members within the idle time, in both directions, open a conversation
subnet; fewer don't outlive the cost of opening and erasing it."""

CONVERSATION_IDLE: Final = 600_000
"""ms: a conversation subnet in which nothing was sent for this long is erased."""

CONVERSATION_FRESH: Final = 60_000
"""ms: a message names a conversation subnet only if the other end was heard of within this time."""

MAX_CONVERSATIONS: Final = 64
"""count: the most conversation subnets that a node takes part in at once: one with each other member."""

MAX_CARRIED_CONVERSATIONS: Final = 1_024
"""count: the most conversation subnets that a node knows at once; half of all pairs of a full subnet."""

MAX_PARTICIPANTS: Final = 8
"""count: the most participants of a conversation subnet."""

# --- custody ------------------------------------------------------------------------------------------

CUSTODY_SILENCE: Final = 60_000
"""ms: a holder to which there was no link and no way for this long is silent, and another is found for it:
long enough for a link to be made again, short against any lifetime."""

MAX_EARLY_LINK: Final = 2_097_152
"""bytes: what a node keeps of a link while it waits to know the time; more ends the link."""

MAX_EARLY: Final = 33_554_432
"""bytes: the same of all its links together."""

EARLY_FRAME_COST: Final = 64
"""bytes: what each frame counts for beside its length while it waits so."""

MAX_CUSTODY: Final = 4_096
"""count: the most messages that a node keeps for absent recipients; more are refused."""

MAX_CUSTODY_BYTES: Final = 64 * 1_048_576
"""bytes: the most that a node keeps for absent recipients; more is refused."""

MAX_CUSTODY_SHARE: Final = 512
"""count: the most of them that are for one recipient, or that came from one neighbour."""

MAX_CUSTODY_SHARE_BYTES: Final = 16 * 1_048_576
"""bytes: the most of them that is for one recipient, or that came from one neighbour."""

MAX_TOMBSTONES: Final = 262_144
"""count: the most receipts that a node keeps as a sender or custodian, so that nothing comes back; at this
number it takes no new message, neither into custody nor from its own application."""

MAX_HOLDERS: Final = 64
"""count: the most nodes that one holder copies a message to."""

# --- balance ------------------------------------------------------------------------------------------

ALLOWANCE: Final = 16 * 1_048_576
"""bytes: the most credit that one sender's messages earn their relays in one term, and the debt at which they
earn nothing more; an id that sends for an accomplice's sake moves this much and no more."""

DECAY: Final = 872_541_000
"""ms: the time constant with which balances fade; half of a balance is gone after 7 days, which are ln 2
times this."""

LOAD_UNIT: Final = 1_048_576
"""bytes: the debt that costs the first additional bit of work; each further bit takes twice the debt."""

WORK_FIRST_BITS: Final = 8
"""bits: leading zero bits that the smallest debt asks for; a fraction of a millisecond."""

WORK_MOST_BITS: Final = 24
"""bits: the most work that is ever asked for one message, so that no debt shuts anybody out."""

MAX_QUEUED_BYTES: Final = 4 * 1_048_576
"""bytes: the most that waits in a relay for one busy link; more is refused."""

MAX_QUEUED: Final = 4_096
"""count: the most messages that wait in a relay for one busy link; more are refused."""

DRAIN_BURST: Final = 262_144
"""bytes: what leaves a relay's queue for one link in one step, before it hears if the link takes more."""

GUEST_BYTES: Final = 4 * 1_048_576
"""bytes: what a member carries in one term for one guest; some thousands of texts, or a few pictures."""

GUESTS_BYTES: Final = 16 * 1_048_576
"""bytes: what a member carries in one term for all its guests together; ids are free, this is not."""

MAX_GUESTS: Final = 256
"""count: the most guests that a member counts in one term; what comes from more is refused."""

HAND_OVER_BURST: Final = 1_048_576
"""bytes: what a node hands over of its own messages in one step, before it hears if a link takes more."""

WORK_PART: Final = 16_384
"""count: the most nonces tried in one step of a node, so that it goes on with its other business."""

# --- vital signs --------------------------------------------------------------------------------------

PERMILLE: Final = 1_000
"""count: the parts in which shares are given."""

VITALS_LOW: Final = 950
"""permille: below this share of delivered messages the subnet drafts more relays and keeps more copies."""

VITALS_HIGH: Final = 990
"""permille: from this share on it goes back, step by step; between the marks it stays as it is, so that it
doesn't swing."""

RELAY_SHARE_MOST: Final = 12
"""twelfths: the part of the pool that serves as relays when it goes badly: everybody."""

CUSTODY_COPIES_MOST: Final = 4
"""count: the custodians of a message for an absent recipient when it goes badly; more cost more than they
help."""


class Purpose(enum.StrEnum):
    """The named draws of entropy.  A name, not a position in a stream: a port is free in its order."""

    IDENTITY_SECRET = "identity/secret"
    """32 bytes: the node's one secret."""
    IDENTITY_SALT = "identity/salt"
    """16 bytes: the salt of a passphrase."""
    IDENTITY_NONCE = "identity/nonce"
    """12 bytes: the nonce that seals the secret under a passphrase."""
    IDENTITY_PREKEY = "identity/prekey"
    """32 bytes: the secret of a signed prekey."""
    LINK_EPHEMERAL = "link/ephemeral"
    """32 bytes: the Noise ephemeral key of one handshake."""
    LINK_PING = "link/ping"
    """8 bytes: the nonce of a ping."""
    SESSION_EPHEMERAL = "session/ephemeral"
    """32 bytes: the X3DH ephemeral key of an initiated session."""
    SESSION_RATCHET = "session/ratchet"
    """32 bytes: a ratchet key pair."""
    INVITATION_TOKEN = "invitation/token"
    """16 bytes: what an invited newcomer shows to its inviter."""
    SUBNET_NONCE = "subnet/nonce"
    """32 bytes: what makes the id of a founded subnet new."""
    CONVERSATION_NONCE = "conversation/nonce"
    """32 bytes: what makes the id of a conversation subnet new."""
    GREASE = "grease"
    """Reserved values sent to keep ports tolerant (RFC 8701)."""
