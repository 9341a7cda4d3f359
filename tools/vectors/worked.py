"""Worked examples of the chapter *Roles and terms*: a draft, the next seed and a vote, step by step."""

from __future__ import annotations

from typing import Final

from tom_ref import codec, records, vrf
from tom_ref.crypto import labelled, sha256
from tom_ref.draft import draft, draft_key
from tom_ref.term_frames import Vote
from tools.vectors import Content
from tools.vectors.delivery import NODES

SEED: Final = sha256(b"seed")
"""The present record's seed in all three."""
WEIGHTS: Final = {"A": 1, "B": 2, "C": 1}
SUBNET: Final = sha256(b"subnet")
PRESENT: Final = sha256(b"present record")
TERM: Final = 7
SLOT: Final = 3
BLOCK: Final = sha256(b"block")


def files() -> dict[str, Content]:
    """None: the vectors of the chapter are made elsewhere."""
    return {}


def examples() -> dict[str, str]:
    """The three examples by name."""
    return {"draft": _draft(), "seed": _seed(), "vote": _vote()}


def _draft() -> str:
    label = b"relay"
    node = NODES["B"].node_id
    hashed = labelled("ToM/1 draft", SEED, label, node, (0).to_bytes(4, "big"))
    rows = []
    for name, weight in WEIGHTS.items():
        for number in range(weight):
            part = number.to_bytes(4, "big")
            digest = sha256(labelled("ToM/1 draft", SEED, label, NODES[name].node_id, part)).hex()
            kept = "its key" if digest == draft_key(SEED, label, NODES[name].node_id, weight).hex() else ""
            rows.append(f"| {name} | {weight} | {number} | `{digest}` | {kept} |")
    names = {identity.node_id: name for name, identity in NODES.items()}
    order = draft(SEED, label, [(NODES[name].node_id, weight) for name, weight in WEIGHTS.items()])
    return "\n".join(
        [
            "A worked example. The secrets of A, B and C are 32 bytes of 0x01, 0x02 and 0x03; their weights",
            "in this draft of relays are 1, 2 and 1. The seed is SHA-256 of the four bytes `seed`:",
            "",
            _block(SEED),
            "",
            'What is hashed for B and j = 0 is labelled("ToM/1 draft", seed, label, node, u32 j):',
            "",
            _block(hashed),
            "",
            "and the hashes, of which the least is a member's key:",
            "",
            "| member | weight | j | SHA-256 | |",
            "|---|---:|---:|---|---|",
            *rows,
            "",
            f"In ascending order of their keys: {', '.join(names[one] for one in order)}.",
        ]
    )


def _seed() -> str:
    proposer = NODES["A"]
    alpha = records.seed_alpha(TERM, SEED)
    proof = vrf.prove(proposer.vrf_secret, alpha)
    output = vrf.proof_to_hash(proof)
    following = records.next_seed(TERM, SEED, output)
    steps = (
        (f'alpha, labelled("ToM/1 vrf seed", u64 {TERM}, seed)', alpha),
        ("the proof, 80 bytes, made with the secret of A's VRF key", proof),
        ("beta, the 64-byte output of that proof", output),
        (
            f'labelled("ToM/1 seed", u64 {TERM + 1}, seed, beta)',
            labelled("ToM/1 seed", (TERM + 1).to_bytes(8, "big"), SEED, output),
        ),
        ("its SHA-256, the next record's seed", following),
    )
    intro = (
        f"A worked example. The present record is of term {TERM} and has the seed that is SHA-256 of the "
        "four bytes `seed`;\nthe proposer of the next is A, whose secret is 32 bytes of 0x01."
    )
    return "\n\n".join([intro, *(f"{name}:\n\n{_block(data)}" for name, data in steps)])


def _vote() -> str:
    voter = NODES["A"]
    signed = records.signed_vote(SUBNET, TERM, PRESENT, SLOT, BLOCK)
    signature = voter.signing_key.sign(signed)
    vote = Vote(SUBNET, TERM, PRESENT, SLOT, BLOCK, voter.node_id, signature)
    intro = (
        f"A worked example: A, whose secret is 32 bytes of 0x01, votes in term {TERM} for a block of slot "
        f"{SLOT}.\nThe subnet, the present record's hash and the block's are SHA-256 of `subnet`, "
        "`present record` and `block`."
    )
    steps = (
        ("What is signed", signed),
        ("The signature", signature),
        (f"The frame, {len(codec.encode_frame(vote))} bytes", codec.encode_frame(vote)),
    )
    return "\n\n".join([intro, *(f"{name}:\n\n{_block(data)}" for name, data in steps)])


def _block(data: bytes) -> str:
    lines = "\n".join(data[at : at + 32].hex(" ") for at in range(0, len(data), 32))
    return f"```text\n{lines}\n```"
