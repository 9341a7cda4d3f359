"""Boundary sweeps: every field of every declared format at its limits, cut, extended, miscounted.

The bytes follow from the seed of the run, the ids of the cases don't.  What a changed value means is asked of
``tom_ref``, and the answer has to be one of those that the kind of change allows, else the suite is at fault.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from conformance.adapters.python import FORMATS
from conformance.case import Case, Polarity, Step, ok, reject
from conformance.declared import DECLARED, Span, frame_types, spans
from conformance.plain import plain
from tom_ref import codec, constants, term_codec, term_frames
from tom_ref.crypto import sha256
from tom_ref.errors import ProtocolError
from tom_ref.frames import (
    Address,
    Chunk,
    Close,
    Descriptor,
    DescriptorAnswer,
    DescriptorQuery,
    Envelope,
    Extension,
    HandshakePayload,
    Header,
    Holding,
    HoldingAnswer,
    HoldingQuery,
    Kind,
    Ping,
    Pong,
    Receipt,
    Record,
    Refusal,
    Rekey,
    SessionInitial,
    SessionRegular,
    Stamp,
    TrailReport,
    Transport,
    Window,
)
from tom_ref.term_frames import (
    Ballot,
    BlockHeader,
    Child,
    Conversation,
    ConversationEnd,
    Counts,
    Delivery,
    Evidence,
    FinalityProof,
    Genesis,
    Heartbeat,
    HeartbeatProof,
    Invitation,
    Join,
    Leave,
    LeaveProof,
    Member,
    Move,
    Proposal,
    ProvenBlock,
    RecordAnswer,
    RecordQuery,
    Signal,
    TermRecord,
    Vitals,
    VitalsProof,
    VitalsReport,
    Vote,
)

COUNTS: Final = Counts(10, 8, 4, 3, (1,) * 8)
CANONICAL: Final = ("TOM-WIRE-001", "TOM-WIRE-002")
LOOSE: Final = frozenset(
    {
        "bad_chunk",
        "bad_lifetime",
        "bad_record",
        "bad_signature",
        "bad_text",
        "bad_value",
        "node_mismatch",
        "non_canonical",
        "path_too_long",
        "payload_mismatch",
        "too_large",
        "trailing_bytes",
        "truncated",
        "unknown_critical_extension",
        "unknown_kind",
        "unknown_version",
    }
)
"""What a decoder may say when a length or count lies: all that follows is read askew."""

RULE_OF_CODE: Final[Mapping[str, str]] = {
    "truncated": "TOM-WIRE-005",
    "trailing_bytes": "TOM-WIRE-004",
    "too_large": "TOM-WIRE-003",
    "non_canonical": "TOM-WIRE-002",
    "unknown_version": "TOM-WIRE-006",
    "bad_value": "TOM-WIRE-007",
    "unknown_frame": "TOM-WIRE-021",
    "unknown_record": "TOM-WIRE-050",
    "bad_lifetime": "TOM-WIRE-032",
    "path_too_long": "TOM-WIRE-040",
    "payload_mismatch": "TOM-WIRE-038",
    "unknown_critical_extension": "TOM-WIRE-012",
    "bad_chunk": "TOM-WIRE-052",
    "bad_text": "TOM-WIRE-015",
    "node_mismatch": "TOM-WIRE-043",
    "bad_record": "TOM-ROLES-006",
}
RULE_OF_FIELD: Final[Mapping[tuple[str, str, str], str]] = {
    ("header", "kind", "unknown_kind"): "TOM-WIRE-031",
    ("header", "hop_limit", "bad_value"): "TOM-WIRE-034",
    ("header", "created_at", "bad_value"): "TOM-WIRE-033",
    ("receipt_body", "created_at", "bad_value"): "TOM-WIRE-033",
    ("header", "payload_length", "too_large"): "TOM-WIRE-037",
    ("address", "transport", "unknown_kind"): "TOM-WIRE-016",
    ("session_regular", "suite", "unknown_kind"): "TOM-WIRE-060",
    ("session_initial", "suite", "unknown_kind"): "TOM-WIRE-060",
    ("holding_answer", "holding", "bad_value"): "TOM-PURGE-046",
    ("holding_answer", "until", "bad_value"): "TOM-PURGE-046",
    ("block_header", "record", "bad_value"): "TOM-ROLES-125",
    ("block_header", "evidence", "bad_value"): "TOM-ROLES-125",
    **{
        ("vitals_counts", field.name, "bad_value"): "TOM-VITALS-003"
        for field in DECLARED["vitals_counts"].subcons
    },
    ("member", "absent", "bad_value"): "TOM-ROLES-005",
    ("member", "weight", "bad_value"): "TOM-ROLES-005",
    ("member", "next_weight", "bad_value"): "TOM-ROLES-005",
    ("term_record", "relay_share", "bad_value"): "TOM-ROLES-005",
    ("term_record", "custody", "bad_value"): "TOM-ROLES-005",
}
"""More exact rules than those of the code alone."""


class _Made:
    """Values whose free fields follow from a seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible test values, no secrets

    def octets(self, size: int = 32) -> bytes:
        return self._random.randbytes(size)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def moment(self) -> int:
        return self.number(1_700_000_000_000, 2_000_000_000_000)

    def nodes(self, count: int) -> list[bytes]:
        return sorted(self.octets() for _ in range(count))

    def header(self, payload: bytes) -> Header:
        return Header(
            Kind.MESSAGE,
            self.octets(),
            self.number(0, 2**50),
            self.octets(),
            self.octets(),
            self.moment(),
            self.number(1, constants.MAX_TTL),
            self.number(4, 32),
            (Extension(self.number(1, 0x7FFF), self.octets(3)),),
            len(payload),
            sha256(payload),
        )

    def stamp(self) -> Stamp:
        return Stamp(self.moment(), self.octets(), self.octets(64))

    def envelope(self) -> Envelope:
        payload = self.octets(self.number(17, 60))
        header = self.header(payload)
        return Envelope(
            header,
            codec.encode_header(header),
            self.octets(64),
            self.number(0, 2**60),
            (self.stamp(), self.stamp()),
            payload,
        )

    def receipt(self) -> Receipt:
        return Receipt(
            self.octets(),
            self.octets(),
            self.number(0, 2**50),
            self.octets(),
            self.octets(),
            self.octets(),
            self.moment(),
            self.number(1, constants.MAX_TTL),
            self.moment(),
            (),
            self.octets(64),
        )

    def descriptor(self) -> Descriptor:
        return Descriptor(
            self.octets(),
            self.octets(),
            self.octets(),
            self.octets(),
            self.number(0, 2**32 - 1),
            self.octets(),
            self.moment(),
            self.moment(),
            1,
            1,
            self.moment(),
            (Address(Transport.TCP, f"192.0.2.{self.number(1, 254)}:{self.number(1, 65535)}"),),
            (Extension(0x1A1A, self.octets(2)),),
            self.octets(64),
        )

    def record(self) -> TermRecord:
        balance = self.number(-(2**40), 2**40)
        members = tuple(
            Member(node, self.octets(), self.number(0, 9), self.number(0, 7), self.number(0, 3), 1, amount)
            for node, amount in zip(self.nodes(3), (balance, -balance, 5), strict=True)
        )
        return TermRecord(
            self.octets(),
            self.number(1, 2**40),
            self.octets(),
            self.moment(),
            self.octets(),
            self.octets(),
            self.octets(80),
            12_000,
            600_000,
            1_800_000,
            self.number(1, 12),
            self.number(1, 8),
            members,
            -5,
            Vitals(reports=3, forks=1),
        )

    def first_block(self) -> BlockHeader:
        return BlockHeader(
            self.octets(),
            self.number(0, 2**40),
            self.octets(),
            self.number(1, 2**31),
            self.octets(),
            self.octets(),
            self.octets(),
        )

    def later_block(self) -> BlockHeader:
        return evolve(self.first_block(), record=term_frames.NO_HASH, evidence=term_frames.NO_HASH)

    def ballots(self) -> tuple[Ballot, ...]:
        return tuple(Ballot(index, self.octets(64)) for index in (0, 2, 5))

    def heartbeats(self) -> tuple[Heartbeat, ...]:
        return tuple(
            Heartbeat(self.octets(), self.number(0, 2**40), self.octets(), node, self.octets(64))
            for node in self.nodes(2)
        )

    def join(self) -> Join:
        return Join(
            self.octets(),
            self.number(0, 2**40),
            self.descriptor(),
            self.number(0, 2**60),
            self.octets(),
            self.octets(64),
        )

    def delivery(self) -> Delivery:
        return Delivery(codec.encode_header(self.header(b"x")), self.octets(64), self.receipt())

    def evidence(self) -> Evidence:
        return Evidence(
            (HeartbeatProof(0, self.octets(64)), HeartbeatProof(3, self.octets(64))),
            (LeaveProof(1, self.octets(64)),),
            (self.join(),),
            (self.delivery(),),
            (VitalsProof(2, COUNTS, self.octets(64)),),
        )

    def move(self) -> Move:
        return Move(
            self.octets(),
            self.number(0, 2**40),
            self.octets(),
            self.number(1, 2**31),
            self.octets(),
            self.octets(),
            self.octets(64),
        )

    def genesis(self) -> Genesis:
        record = self.record()
        count = len(record.roster)
        return Genesis(
            record,
            self.octets(),
            tuple(self.octets(80) for _ in range(count)),
            tuple(self.octets(64) for _ in range(count)),
        )

    def descriptor_answer(self) -> DescriptorAnswer:
        descriptor = self.descriptor()
        return DescriptorAnswer(descriptor.node_id, descriptor)


def _frames(made: _Made) -> dict[str, Any]:
    """One value of each frame, by the name of its structure."""
    octets, number = made.octets, made.number
    return {
        "envelope": made.envelope(),
        "receipt": made.receipt(),
        "trail_report": TrailReport(octets(), (made.stamp(), made.stamp())),
        "refusal": Refusal(octets(), "no_route"),
        "descriptor_query": DescriptorQuery(octets()),
        "descriptor_answer": made.descriptor_answer(),
        "proposal": Proposal(made.first_block(), octets(64), made.ballots(), made.record(), made.evidence()),
        "vote": Vote(octets(), number(0, 2**40), octets(), number(1, 2**31), octets(), octets(), octets(64)),
        "heartbeat": made.heartbeats()[0],
        "finality": FinalityProof(
            made.record(),
            (
                ProvenBlock(made.first_block(), made.ballots()),
                ProvenBlock(made.later_block(), made.ballots()),
            ),
        ),
        "record_query": RecordQuery(octets(), number(0, 2**40)),
        "record_answer": RecordAnswer(made.record(), made.record(), made.heartbeats()),
        "join": made.join(),
        "leave": Leave(octets(), number(0, 2**40), octets(), octets(64)),
        "move": made.move(),
        "child": Child(made.record(), octets(64), made.record(), (made.move(),)),
        "genesis": made.genesis(),
        "conversation": Conversation(
            octets(), number(0, 2**40), tuple(made.nodes(2)), octets(), (octets(64), octets(64))
        ),
        "conversation_end": ConversationEnd(octets(), octets(), octets(64)),
        "signal": Signal(octets(), octets(), octets(20)),
        "holding_query": HoldingQuery(octets()),
        "holding_answer": HoldingAnswer(octets(), Holding.COPY, made.moment()),
        "vitals_report": VitalsReport(octets(), number(0, 2**40), octets(), octets(), COUNTS, octets(64)),
    }


@frozen
class Base:
    """One valid value of a format."""

    name: str
    """What the ids of its cases begin with."""
    format: str
    """For ``codec.decode``."""
    structure: str
    data: bytes


def bases(seed: str) -> Iterator[Base]:
    """A value of every format, from the seed."""
    made = _Made(f"{seed}/sweeps")
    for structure, frame in _frames(made).items():
        yield Base(structure.replace("_", "-"), "frame", structure, codec.encode_frame(frame))
    header = made.header(b"payload")
    yield Base("header", "header", "header", codec.encode_header(header))
    descriptor = made.descriptor()
    yield Base("descriptor", "descriptor", "descriptor", codec.encode_descriptor(descriptor))
    payload = codec.encode_handshake_payload(HandshakePayload(descriptor))
    yield Base("handshake-payload", "handshake-payload", "handshake_payload", payload)
    extensions = (Extension(1, made.octets(4)), Extension(0x2A2A, b""))
    yield Base("extensions", "extensions", "extensions", codec.encode_extensions(extensions))
    records: dict[str, Record] = {
        "chunk": Chunk(made.number(1, 2**30), 100, 90, made.octets(10)),
        "window": Window(made.number(0, 2**63)),
        "ping": Ping(made.number(0, 2**63), made.moment()),
        "pong": Pong(made.number(0, 2**63), made.moment(), made.moment(), made.moment()),
        "rekey": Rekey(made.number(1, 2**30)),
        "close": Close("idle_timeout"),
    }
    for name, record in records.items():
        yield Base(f"record-{name}", "records", "record", codec.encode_record(record))
    initial = SessionInitial(
        made.octets(16), made.octets(), made.octets(), 9, made.moment(), made.octets(), 0, 3, made.octets(20)
    )
    yield Base("session-initial", "session-message", "session_initial", codec.encode_session_message(initial))
    regular = SessionRegular(made.octets(16), made.octets(), 3, 4, made.octets(20))
    yield Base("session-regular", "session-message", "session_regular", codec.encode_session_message(regular))
    yield Base("term-record", "term-record", "term_record", term_codec.encode_record(made.record()))
    yield Base("block", "block-header", "block_header", term_codec.encode_block_header(made.first_block()))
    yield Base("evidence", "evidence", "evidence", term_codec.encode_evidence(made.evidence()))
    invitation = Invitation(
        made.octets(),
        made.octets(),
        made.number(0, 2**40),
        made.octets(),
        made.octets(16),
        made.moment(),
        (Address(Transport.TCP, "192.0.2.7:7700"),),
        made.octets(64),
    )
    yield Base("invitation", "invitation", "invitation", term_codec.encode_invitation(invitation))


@frozen
class Change:
    """A value changed in one place."""

    name: str
    about: str
    data: bytes
    allowed: Callable[[str], bool]
    """Which codes may follow."""
    span: Span | None = None
    loose: bool = False


def _changes(base: Base) -> Iterator[Change]:
    data = base.data
    fields = list(spans(base.structure, data))
    yield from _cuts(data, fields)
    yield from _extensions(data)
    yield from _integers(data, fields)
    yield from _named(data, fields)


def _cuts(data: bytes, fields: list[Span]) -> Iterator[Change]:
    def allowed(code: str) -> bool:
        return code in {"truncated", "payload_mismatch", "bad_text", "bad_chunk"}

    for span in fields:
        if span.size:
            yield Change(
                f"cut-before-{_slug(span)}", f"ends before {span.path}", data[: span.offset], allowed
            )
        if span.size > 1:
            middle = span.offset + span.size // 2
            yield Change(f"cut-in-{_slug(span)}", f"ends inside {span.path}", data[:middle], allowed)


def _extensions(data: bytes) -> Iterator[Change]:
    for count in (1, 2, 255):
        yield Change(f"longer-by-{count}", f"{count} bytes too many", data + bytes(count), _after_an_end)


def _after_an_end(code: str) -> bool:
    """A list of records may go on: then what follows is taken for one."""
    return code in LOOSE or code == "unknown_record"


def _integers(data: bytes, fields: list[Span]) -> Iterator[Change]:
    for span in fields:
        if span.kind != "integer":
            continue
        most = (1 << 8 * span.size) - 1
        at = span.offset
        value = int.from_bytes(data[at : at + span.size], "big")
        wanted = {"0": 0, "max": most}
        if span.bounds:
            low, high = span.bounds
            wanted |= {"low-1": low - 1, "low": low, "high": high, "high+1": high + 1}
        if span.measures:
            wanted |= {"less": value - 1, "more": value + 1}
        # A value drawn from the seed may be one of these by chance: the case stays, so that ids don't vary.
        fixed = {value} if span.measures or span.bounds == (1, 1) else set()
        for number, name in {number: name for name, number in reversed(wanted.items())}.items():
            if 0 <= number <= most and number not in fixed:
                changed = data[:at] + number.to_bytes(span.size, "big") + data[at + span.size :]
                yield Change(
                    f"{_slug(span)}-{name}".replace("+", "-plus-"),
                    f"{span.path} is {number:,}",
                    changed,
                    lambda code: code in LOOSE or code.startswith(("unknown_", "flow")),
                    span,
                    loose=span.measures,
                )


def _named(data: bytes, fields: list[Span]) -> Iterator[Change]:
    """A block that names only one of record and evidence."""
    for span in fields:
        if span.structure == "block_header" and span.field in {"record", "evidence"}:
            raw = data[span.offset : span.offset + span.size]
            other = bytes(span.size) if any(raw) else b"\x01" * span.size
            changed = data[: span.offset] + other + data[span.offset + span.size :]
            about = f"{span.path} is named alone" if any(other) else f"{span.path} isn't named"
            yield Change(f"{_slug(span)}-alone", about, changed, lambda code: code == "bad_value", span)


def _slug(span: Span) -> str:
    return span.path.replace(".", "-").replace("_", "-").replace("[", "-").replace("]", "")


class SuiteError(Exception):
    """The suite contradicts itself: no port can be judged by it."""


def cases(seed: str) -> Iterator[Case]:
    """Every sweep."""
    for base in bases(seed):
        parent = f"sweep-{base.name}"
        yield _positive(parent, base, base.data, "a value as it should be", (*CANONICAL, "TOM-WIRE-008"))
        for change in _changes(base):
            yield _judged(parent, base, change)


def _positive(name: str, base: Base, data: bytes, about: str, rules: tuple[str, ...]) -> Case:
    value = plain(FORMATS[base.format][0](data))
    steps = (
        Step("codec.decode", {"format": base.format, "bytes": data.hex()}, ok({"value": value})),
        Step("codec.encode", {"format": base.format, "value": value}, ok({"bytes": data.hex()})),
    )
    return Case(name, _level(base), rules, Polarity.POSITIVE, about, steps, source="sweep", derived=True)


def _level(base: Base) -> int:
    del base
    return 1


def _judged(parent: str, base: Base, change: Change) -> Case:
    name = f"{parent}-{change.name}"
    try:
        FORMATS[base.format][0](change.data)
    except ProtocolError as error:
        code = error.reason.value
    else:
        return _positive(name, base, change.data, change.about, (*CANONICAL, "TOM-WIRE-007"))
    if not change.allowed(code):
        raise SuiteError(f"{name}: {code} follows from nothing that was changed")
    codes = LOOSE if change.loose else {code}
    rule = RULE_OF_CODE.get(code, "TOM-WIRE-007")
    if change.loose:
        rule = "TOM-WIRE-002"  # which more exact rule is broken depends on what follows
    elif change.span is not None:
        rule = RULE_OF_FIELD.get((change.span.structure, change.span.field, code), rule)
    step = Step("codec.decode", {"format": base.format, "bytes": change.data.hex()}, reject(*codes))
    return Case(
        name,
        _level(base),
        (rule, "TOM-WIRE-008"),
        Polarity.NEGATIVE,
        change.about,
        (step,),
        pair=parent,
        source="sweep",
        derived=True,
    )


def unswept() -> list[str]:
    """Frames of the specification that no sweep makes yet."""
    return sorted(set(frame_types().values()) - set(_frames(_Made("")).keys()))
