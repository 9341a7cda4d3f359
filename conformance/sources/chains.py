"""The longest chain that a vote may have: 200 blocks, none of them final, and nothing behind the last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from conformance.case import Case, Polarity, Step, ok
from conformance.sources.sweeps import SuiteError
from tom_ref import codec, constants, term_codec
from tom_ref.errors import Reason
from tom_ref.term_frames import Evidence, Proposal
from tools.vectors import _roles


@cache
def _made(seed: str) -> tuple[Case, ...]:
    home = _roles.founded(1, hashlib.sha256(f"{seed}/chains".encode()).digest())
    evidence = Evidence(_roles.heartbeat_proofs(home.nodes, home.record))
    chain: list[Proposal] = [_roles.first_block(home, 2, evidence)]
    while len(chain) <= constants.MAX_PROOF_BLOCKS:
        # Every second slot is empty, so that no three blocks in a row make the first one final.
        chain.append(_roles.later_block(home, 2 * len(chain) + 2, chain[-1].header, home.nodes))
    frames = [codec.encode_frame(block).hex() for block in chain]

    def heard(count: int) -> dict[str, Any]:
        return {
            "present": term_codec.encode_record(home.record).hex(),
            "secret": _roles.secret(99).hex(),
            "evidence": term_codec.encode_evidence(Evidence()).hex(),
            "steps": [
                {"what": "frame", "frame": frame, "now": _roles.at(2 * place + 2)}
                for place, frame in enumerate(frames[:count])
            ],
        }

    def case(name: str, polarity: Polarity, about: str, count: int, pair: str = "") -> Case:
        given = heard(count)
        step = Step("roles.streamlet", given, ok(_roles.scripted(given)))
        rules = ("TOM-ROLES-128", "TOM-ROLES-026")
        return Case(name, 5, rules, polarity, about, (step,), pair=pair, source="script", derived=True)

    longest = constants.MAX_PROOF_BLOCKS
    made = case("chain-of-200-blocks", Polarity.POSITIVE, "the two hundredth block of a chain", longest)
    more = case("chain-of-201-blocks", Polarity.NEGATIVE, "one more", longest + 1, "chain-of-200-blocks")
    refused = [step["refused"] for step in more.steps[0].expect.value["steps"]]
    if refused != [None] * longest + [Reason.TOO_LARGE.value]:
        raise SuiteError("the two hundred and first block isn't refused")
    return made, more


def cases(seed: str) -> Iterator[Case]:
    """Both, for one seed."""
    yield from _made(seed)
