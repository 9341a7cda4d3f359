"""Deliberately broken ports: ``python -m conformance.broken NAME``.

Each is the Python adapter with one thing wrong, from a process that says nothing to a rule of the protocol
that is off by one.  ``tom-conformance selftest`` demands that the suite catches every one of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final

from attrs import evolve, frozen

from conformance.adapters.nodes import Held
from conformance.adapters.python import Adapter, private_stdout
from conformance.protocol import Kind, Reply, reply_line
from tom_ref import (
    bech32m,
    codec,
    constants,
    crypto,
    delivery_codec,
    handshake,
    identity,
    layout,
    link,
    term_codec,
    validate,
    vrf,
    x3dh,
)
from tom_ref.errors import ProtocolError, Reason

Talk = Callable[[int, Any, Reply], bytes]
"""From the request's number, its id and the right reply to the bytes that are written."""


@frozen
class Broken:
    """One broken port."""

    name: str
    about: str
    names: str = ""
    """What the report must say of it, besides that cases fail."""
    talk: Talk | None = None
    """How it misbehaves as a process."""
    twist: Callable[[Adapter], None] | None = None
    """How its answers are wrong."""
    patch: Callable[[], Iterator[None]] | None = None
    """Which rule of the library is broken: a context in which it is."""


BROKEN: Final[dict[str, Broken]] = {}


def _add(broken: Broken) -> None:
    if broken.name in BROKEN:
        raise ValueError(f"{broken.name} twice")
    BROKEN[broken.name] = broken


# --- processes that misbehave ---------------------------------------------------------------------------


def _process(name: str, about: str, names: str) -> Callable[[Talk], Talk]:
    def register(talk: Talk) -> Talk:
        _add(Broken(name, about, names, talk=talk))
        return talk

    return register


NTH: Final = 30


def _hang() -> bytes:
    time.sleep(3600)
    return b""


@_process("echo", "sends each request back", "noise")
def _echo(_: int, number: Any, __: Reply) -> bytes:
    return json.dumps({"id": number, "cmd": "hello", "p": {}}).encode() + b"\n"


@_process("silent", "never says anything", "timeout")
def _silent(_: int, __: Any, ___: Reply) -> bytes:
    return _hang()


@_process("hangs", "falls silent after a while", "timeout")
def _hangs(count: int, number: Any, reply: Reply) -> bytes:
    return _hang() if count == NTH else reply_line(number, reply)


@_process("dies-at-once", "is gone before the first answer", "died")
def _dies_at_once(_: int, __: Any, ___: Reply) -> bytes:
    sys.exit(3)


@_process("dies", "is gone after a while", "died")
def _dies(count: int, number: Any, reply: Reply) -> bytes:
    if count == NTH:
        os.abort()
    return reply_line(number, reply)


@_process("leaves-politely", "ends with exit code 0 in the middle", "died")
def _leaves(count: int, number: Any, reply: Reply) -> bytes:
    if count == NTH:
        sys.exit(0)
    return reply_line(number, reply)


@_process("noisy", "prints a line of its log before each reply", "noise")
def _noisy(_: int, number: Any, reply: Reply) -> bytes:
    return b"INFO: answering\n" + reply_line(number, reply)


@_process("noisy-once", "prints one stray line", "noise")
def _noisy_once(count: int, number: Any, reply: Reply) -> bytes:
    return (b"debug\n" if count == NTH else b"") + reply_line(number, reply)


@_process("wrong-id", "answers with the id of another request", "wrong_id")
def _wrong_id(count: int, number: Any, reply: Reply) -> bytes:
    return reply_line("0" if count == NTH else number, reply)


@_process("number-id", "turns the id into a number", "wrong_id")
def _number_id(_: int, number: Any, reply: Reply) -> bytes:
    return reply_line(int(number, 16), reply)


@_process("two-replies", "answers twice", "out_of_turn")
def _two_replies(count: int, number: Any, reply: Reply) -> bytes:
    return reply_line(number, reply) * (2 if count == NTH else 1)


@_process("speaks-first", "adds something behind its reply", "out_of_turn")
def _speaks_first(count: int, number: Any, reply: Reply) -> bytes:
    return reply_line(number, reply) + (b"ready\n" if count == NTH else b"")


@_process("huge-line", "answers with a line of 100 MB", "line_too_long")
def _huge_line(count: int, number: Any, reply: Reply) -> bytes:
    return b'{"id":"' + b"a" * 100_000_000 if count == NTH else reply_line(number, reply)


@_process("endless-line", "answers with a line that never ends", "line_too_long")
def _endless_line(count: int, number: Any, reply: Reply) -> bytes:
    if count == NTH:
        while True:
            os.write(_Stream.replies, b" " * 65_536)
    return reply_line(number, reply)


@_process("stderr-flood", "fills standard error and never answers", "flood")
def _stderr_flood(count: int, number: Any, reply: Reply) -> bytes:
    if count == NTH:
        while True:
            os.write(2, b"x" * 65_536)
    return reply_line(number, reply)


@_process("half-line", "forgets the end of the line", "timeout")
def _half_line(count: int, number: Any, reply: Reply) -> bytes:
    line = reply_line(number, reply)
    return line[:-1] if count == NTH else line


@_process("not-utf-8", "writes Latin-1", "noise")
def _latin(count: int, number: Any, reply: Reply) -> bytes:
    return b'{"id":"\xe9","ok":{}}\n' if count == NTH else reply_line(number, reply)


@_process("not-a-number", "answers NaN", "noise")
def _nan(count: int, number: Any, reply: Reply) -> bytes:
    return b'{"id":"1","ok":{"value":NaN}}\n' if count == NTH else reply_line(number, reply)


@_process("deep", "answers with a hundred thousand brackets", "noise")
def _deep(count: int, number: Any, reply: Reply) -> bytes:
    return b'{"id":"1","ok":' + b"[" * 100_000 + b"\n" if count == NTH else reply_line(number, reply)


@_process("twice-in-object", "has a member twice", "noise")
def _twice(count: int, number: Any, reply: Reply) -> bytes:
    return b'{"id":"1","ok":{},"ok":{}}\n' if count == NTH else reply_line(number, reply)


@_process("two-verdicts", "accepts and rejects in one reply", "noise")
def _two_verdicts(count: int, number: Any, reply: Reply) -> bytes:
    return b'{"id":"1","ok":{},"ignore":true}\n' if count == NTH else reply_line(number, reply)


@_process("empty-reply", "answers without a verdict", "noise")
def _empty(_: int, number: Any, __: Reply) -> bytes:
    return json.dumps({"id": number}).encode() + b"\n"


class _Stream:
    replies = 1


def serve(broken: Broken, requests: BinaryIO, replies: BinaryIO) -> None:
    """What the process does."""
    adapter = Adapter()
    _Stream.replies = replies.fileno()
    if broken.twist:
        broken.twist(adapter)
    with contextlib.ExitStack() as stack:
        if broken.patch:
            stack.enter_context(contextlib.contextmanager(broken.patch)())
        for count, line in enumerate(requests, 1):
            request = json.loads(line)
            reply = adapter.handle(request["cmd"], request["p"])
            talk = broken.talk or (lambda _, number, right: reply_line(number, right))
            replies.write(talk(count, request["id"], reply))
            replies.flush()


# --- answers that are wrong -------------------------------------------------------------------------------


def _twisted(
    name: str, about: str, names: str = ""
) -> Callable[[Callable[[Adapter], None]], Callable[[Adapter], None]]:
    def register(twist: Callable[[Adapter], None]) -> Callable[[Adapter], None]:
        _add(Broken(name, about, names, twist=twist))
        return twist

    return register


def _answers(adapter: Adapter, change: Callable[[str, Any, Reply], Reply]) -> None:
    """Change every answer but those that say who the port is."""
    right = adapter.handle

    def handle(command: str, given: Any) -> Reply:
        reply = right(command, given)
        return reply if command in {"hello", "reset", "bye"} else change(command, given, reply)

    adapter.handle = handle  # type: ignore[method-assign]


def _hello(adapter: Adapter, **changes: Any) -> None:
    right = adapter.hello
    adapter.hello = lambda: right() | changes  # type: ignore[method-assign]


def _everywhere(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _everywhere(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_everywhere(item, change) for item in value]
    return change(value)


@_twisted("always-accepts", "accepts whatever comes")
def _always_accepts(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, ___: Reply(Kind.OK, {}))


@_twisted("accepts-the-refused", "answers right, and accepts what it should refuse")
def _accepts_refused(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, r: Reply(Kind.OK, {}) if r.kind is Kind.REJECT else r)


@_twisted("always-rejects", "refuses whatever comes")
def _always_rejects(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, ___: Reply(Kind.REJECT, "truncated"))


@_twisted("always-unsupported", "claims everything and supports nothing", "unsupported")
def _always_unsupported(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, ___: Reply(Kind.UNSUPPORTED, "not yet"))


@_twisted("claims-nothing", "claims nothing and supports nothing", "doesn't claim")
def _claims_nothing(adapter: Adapter) -> None:
    adapter.features = ()
    _answers(adapter, lambda _, __, ___: Reply(Kind.UNSUPPORTED, "not yet"))


@_twisted("hides-features", "supports more than it claims", "lies_about_features")
def _hides_features(adapter: Adapter) -> None:
    adapter.features = ("codec.*", "crypto.*", "hello", "identity.*", "reset")


@_twisted("always-ignores", "ignores whatever comes")
def _always_ignores(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, ___: Reply(Kind.IGNORE))


@_twisted("always-errs", "fails at everything")
def _always_errs(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, ___: Reply(Kind.ERROR, "something"))


@_twisted("one-code", "refuses everything with the same code")
def _one_code(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, r: Reply(Kind.REJECT, "bad_value") if r.kind is Kind.REJECT else r)


@_twisted("unknown-code", "refuses with a code of its own")
def _unknown_code(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, r: Reply(Kind.REJECT, "invalid") if r.kind is Kind.REJECT else r)


@_twisted("swaps-verdicts", "rejects what is right with a code, now and then", "")
def _swaps(adapter: Adapter) -> None:
    seen = [0]

    def change(_: str, __: Any, reply: Reply) -> Reply:
        seen[0] += 1
        return Reply(Kind.REJECT, "bad_value") if seen[0] % 97 == 0 and reply.kind is Kind.OK else reply

    _answers(adapter, change)


@_twisted("forgetful", "answers the same question differently the second time", "not_repeatable")
def _forgetful(adapter: Adapter) -> None:
    asked: set[str] = set()

    def change(command: str, given: Any, reply: Reply) -> Reply:
        question = command + json.dumps(given, sort_keys=True)
        if question in asked and reply.kind is Kind.REJECT:
            return Reply(Kind.REJECT, "overloaded")
        asked.add(question)
        return reply

    _answers(adapter, change)


@_twisted("late", "answers each request with the reply to the one before")
def _late(adapter: Adapter) -> None:
    held = [Reply(Kind.OK, {})]

    def change(_: str, __: Any, reply: Reply) -> Reply:
        held.append(reply)
        return held.pop(0)

    _answers(adapter, change)


@_twisted("guesses", "accepts or refuses by chance")
def _guesses(adapter: Adapter) -> None:
    chance = random.Random(1)  # noqa: S311 - a broken port
    _answers(adapter, lambda _, __, r: r if chance.random() < 0.9 else Reply(Kind.REJECT, "truncated"))


@_twisted("knows-everything", "accepts commands that nobody knows")
def _knows_everything(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, r: Reply(Kind.OK, {}) if r.kind is Kind.UNSUPPORTED else r)


@_twisted("remembers", "keeps its nodes through a reset")
def _remembers(adapter: Adapter) -> None:
    right = adapter.answer

    def answer(command: str, given: Any) -> Any:
        return {"nodes": 1} if command == "reset" else right(command, given)

    adapter.answer = answer  # type: ignore[method-assign]


def _keeping(adapter: Adapter, **methods: Any) -> None:
    class Other(Held):
        pass

    for name, method in methods.items():
        setattr(Other, name, method)
    adapter.nodes.make = Other


@_twisted("erases-nothing", "a purge is forgotten at the next start")
def _erases_nothing(adapter: Adapter) -> None:
    right = Held.step

    def step(self: Held, what: Any, now: int) -> dict[str, Any]:
        before = dict(self.disk)
        try:
            return right(self, what, now)
        finally:
            self.disk = before | self.disk

    _keeping(adapter, step=step)


@_twisted("writes-nothing", "keeps nothing through a restart")
def _writes_nothing(adapter: Adapter) -> None:
    right = Held.step

    def step(self: Held, what: Any, now: int) -> dict[str, Any]:
        made = right(self, what, now)
        self.disk.clear()
        return made

    _keeping(adapter, step=step)


@_twisted("own-clock", "has a clock of its own, a second ahead")
def _own_clock(adapter: Adapter) -> None:
    right = Held.step
    _keeping(adapter, step=lambda self, what, now: right(self, what, now + 1_000))


@_twisted("one-stream", "draws from one stream instead of by name")
def _one_stream(adapter: Adapter) -> None:
    right = Held.__init__

    class OneCount(dict[str, int]):
        def get(self, _: str, __: Any = None) -> int:
            return len(self)

        def __setitem__(self, _: str, value: int) -> None:
            super().__setitem__(str(value), value)

    def init(self: Held, given: Mapping[str, Any], disk: Any) -> None:
        right(self, given, disk)
        self.entropy.counts = OneCount()

    _keeping(adapter, __init__=init)


@_twisted("ignores-draws", "takes its own draws where some are handed in")
def _ignores_draws(adapter: Adapter) -> None:
    right = Held.step

    def step(self: Held, what: Any, now: int) -> dict[str, Any]:
        self.entropy.given = {}
        return right(self, what, now)

    _keeping(adapter, step=step)


@_twisted("other-version", "speaks another version", "hello")
def _other_version(adapter: Adapter) -> None:
    _hello(adapter, spec="ToM/2")


@_twisted("nameless", "doesn't say who it is", "hello")
def _nameless(adapter: Adapter) -> None:
    _hello(adapter, port={})


@_twisted("boastful-hello", "says more than it is asked", "hello")
def _boastful(adapter: Adapter) -> None:
    _hello(adapter, conformant=True)


@_twisted("upper-case", "writes bytes in upper case")
def _upper_case(adapter: Adapter) -> None:
    _change_values(adapter, lambda v: v.upper() if isinstance(v, str) and len(v) > 8 else v)


@_twisted("big-numbers", "writes large integers as numbers", "noise")
def _big_numbers(adapter: Adapter) -> None:
    # A u64 has at most 20 digits: what is longer and all digits is hexadecimal text, not a number.
    _change_values(
        adapter, lambda v: int(v) if isinstance(v, str) and v.isdecimal() and 16 < len(v) <= 20 else v
    )


@_twisted("off-by-one", "is one off in every number")
def _off_by_one(adapter: Adapter) -> None:
    _change_values(adapter, lambda v: v + 1 if isinstance(v, int) and not isinstance(v, bool) else v)


@_twisted("extra-member", "adds a member to every result")
def _extra_member(adapter: Adapter) -> None:
    _answers(adapter, lambda _, __, r: Reply(r.kind, r.value | {"more": 1}) if r.kind is Kind.OK else r)


@_twisted("lost-member", "leaves one member out of every result")
def _lost_member(adapter: Adapter) -> None:
    def change(_: str, __: Any, reply: Reply) -> Reply:
        return Reply(Kind.OK, dict(list(reply.value.items())[1:])) if reply.kind is Kind.OK else reply

    _answers(adapter, change)


def _change_values(adapter: Adapter, change: Callable[[Any], Any]) -> None:
    _answers(
        adapter, lambda _, __, r: Reply(r.kind, _everywhere(r.value, change)) if r.kind is Kind.OK else r
    )


# --- rules that are broken --------------------------------------------------------------------------------


def _patched(name: str, about: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    def register(patch: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        _add(Broken(name, about, patch=patch))
        return patch

    return register


@contextlib.contextmanager
def replaced(old: Any, new: Any) -> Iterator[None]:
    """Put ``new`` wherever a module holds the function or value ``old``."""
    places = [
        (module, name)
        for key, module in list(sys.modules.items())
        if key.startswith(("tom_ref", "tools.vectors", "conformance.adapters", "tests.vector_replay"))
        for name, value in list(vars(module).items())
        if value is old
    ]
    if not places:
        raise ValueError(f"nobody holds {old!r}")
    for module, name in places:
        setattr(module, name, new)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, old)


@contextlib.contextmanager
def attribute(owner: Any, name: str, new: Any) -> Iterator[None]:
    """Set an attribute for a while."""
    old = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, old)


@contextlib.contextmanager
def constant(name: str, value: Any) -> Iterator[None]:
    """Give a parameter another value wherever it is held under its name."""
    with contextlib.ExitStack() as stack:
        held = getattr(constants, name)
        for key, module in list(sys.modules.items()):
            if key.startswith(("tom_ref", "tools.vectors")) and getattr(module, name, None) is held:
                stack.enter_context(attribute(module, name, value))
        yield


def lenient(reason: Reason) -> Callable[[Reason, str], None]:
    """A ``refuse`` that lets one reason pass."""
    right = delivery_codec.refuse

    def refuse(given: Reason, detail: str) -> None:
        if given is not reason:
            right(given, detail)

    return refuse


def _nothing(*_: Any, **__: Any) -> None:
    """Check nothing."""


for _reason, _about in (
    (Reason.NON_CANONICAL, "takes lists in any order"),
    (Reason.UNKNOWN_CRITICAL_EXTENSION, "takes critical extensions that it doesn't know"),
    (Reason.UNKNOWN_VERSION, "takes any version"),
    (Reason.BAD_LIFETIME, "takes any lifetime"),
    (Reason.TOO_LARGE, "has no caps"),
    (Reason.BAD_VALUE, "has no ranges"),
    (Reason.PATH_TOO_LONG, "takes a trail of any length"),
    (Reason.PAYLOAD_MISMATCH, "takes a payload of another length"),
    (Reason.BAD_CHUNK, "takes chunks that lie beside their frame"),
    (Reason.BAD_RECORD, "takes balances that don't sum to zero"),
):

    def _lenient(reason: Reason = _reason) -> Iterator[None]:
        with replaced(delivery_codec.refuse, lenient(reason)):
            yield

    _add(Broken(f"no-{_reason.value.replace('_', '-')}", _about, patch=_lenient))


@_patched("trailing-bytes", "takes what goes on after the value")
def _trailing_bytes() -> Iterator[None]:
    def parse(self: layout.Layout, data: bytes) -> Any:
        return self.read(data, 0)[0]

    with attribute(layout.Layout, "parse", parse):
        yield


@_patched("pads", "completes what is too short")
def _pads() -> Iterator[None]:
    right = layout.Layout.parse

    def parse(self: layout.Layout, data: bytes) -> Any:
        try:
            return right(self, data)
        except ProtocolError as error:
            if error.reason is not Reason.TRUNCATED:
                raise
            return self.read(data + bytes(4096), 0)[0]

    with attribute(layout.Layout, "parse", parse):
        yield


@_patched("signature-unchecked", "takes every signature")
def _signature_unchecked() -> Iterator[None]:
    with replaced(crypto.verify, _nothing):
        yield


@_patched("low-order-point", "computes with points of small order")
def _low_order_point() -> Iterator[None]:
    with replaced(crypto.validate_x25519_public, _nothing):
        yield


@_patched("tag-unchecked", "opens what doesn't authenticate")
def _tag_unchecked() -> Iterator[None]:
    right = crypto.open_sealed

    def open_sealed(key: Any, nonce: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
        try:
            return right(key, nonce, sealed, associated)
        except ProtocolError:
            return sealed[:-16]

    with replaced(right, open_sealed):
        yield


@_patched("nonce-reuse", "never moves the nonce")
def _nonce_reuse() -> Iterator[None]:
    right = handshake.CipherState.encrypt

    def encrypt(self: Any, *given: Any) -> bytes:
        held = self.nonce
        try:
            return right(self, *given)
        finally:
            self.nonce = held

    with attribute(handshake.CipherState, "encrypt", encrypt):
        yield


@_patched("rekey-forgotten", "keeps its link key for ever")
def _rekey_forgotten() -> Iterator[None]:
    with attribute(handshake.CipherState, "rekey", _nothing):
        yield


@_patched("label-forgotten", "hashes without labels")
def _label_forgotten() -> Iterator[None]:
    with replaced(crypto.labelled, lambda _, *parts: b"".join(parts)):
        yield


@_patched("proof-unchecked", "takes every VRF proof")
def _proof_unchecked() -> Iterator[None]:
    with replaced(vrf.verify, lambda _, __, proof: vrf.proof_to_hash(proof)):
        yield


@_patched("checksum-unchecked", "takes a NodeId with a wrong checksum")
def _checksum_unchecked() -> Iterator[None]:
    right = bech32m._remainder  # noqa: SLF001 - a broken port

    def remainder(words: Iterable[int]) -> int:
        held = list(words)
        return right(held) if held[-6:] == [0] * 6 else 0x2BC830A3

    with replaced(right, remainder):
        yield


@_patched("descriptor-unverified", "takes descriptors as they come")
def _descriptor_unverified() -> Iterator[None]:
    with replaced(identity.verify_descriptor, _nothing):
        yield


@_patched("oldest-descriptor", "keeps the first descriptor it sees")
def _oldest_descriptor() -> Iterator[None]:
    with replaced(identity.newer, lambda held, offered: held or offered):
        yield


@_patched("envelope-unchecked", "relays whatever it is handed")
def _envelope_unchecked() -> Iterator[None]:
    def check(envelope: Any, *_: Any) -> bytes:
        return validate.message_id(envelope.header_bytes)

    with replaced(validate.check_envelope, check):
        yield


@_patched("receipt-unverified", "takes every receipt for delivery")
def _receipt_unverified() -> Iterator[None]:
    with replaced(validate.check_receipt, _nothing):
        yield


@_patched("expiry-off-by-one", "takes a message one millisecond too long")
def _expiry() -> Iterator[None]:
    right = validate.check_envelope

    def check(envelope: Any, own: bytes, peer: bytes, subnet: bytes, now: int) -> bytes:
        if now == envelope.header.expires_at:
            now -= 1
        return right(envelope, own, peer, subnet, now)

    with replaced(right, check):
        yield


@_patched("future-off-by-one", "refuses what is dated exactly 2 EPS ahead")
def _future() -> Iterator[None]:
    right = validate.check_envelope

    def check(envelope: Any, own: bytes, peer: bytes, subnet: bytes, now: int) -> bytes:
        if envelope.header.created_at == now + 2 * constants.EPS:
            raise ProtocolError(Reason.FUTURE_DATE)
        return right(envelope, own, peer, subnet, now)

    with replaced(right, check):
        yield


@_patched("eps-doubled", "believes clocks twice as far off")
def _eps_doubled() -> Iterator[None]:
    with constant("EPS", 2 * constants.EPS):
        yield


@_patched("replay-window", "keeps one message key fewer than it must")
def _replay_window() -> Iterator[None]:
    with constant("MAX_SKIPPED_KEYS", constants.MAX_SKIPPED_KEYS - 1):
        yield


@_patched("too-many-keys", "keeps any number of message keys")
def _too_many_keys() -> Iterator[None]:
    with constant("MAX_SKIPPED_KEYS", 10**6):
        yield


@_patched("prekey-kept", "keeps prekey secrets a day too long")
def _prekey_kept() -> Iterator[None]:
    with constant("PREKEY_ERASE_AFTER", constants.PREKEY_ERASE_AFTER + 1):
        yield


@_patched("prekey-late", "publishes prekeys a millisecond late")
def _prekey_late() -> Iterator[None]:
    with constant("PREKEY_INTERVAL", constants.PREKEY_INTERVAL + 1):
        yield


@_patched("x3dh-swapped", "mixes the Diffie-Hellman results in another order")
def _x3dh_swapped() -> Iterator[None]:
    right = x3dh.initiator_secret
    with replaced(right, lambda own, ephemeral, peer, prekey: right(ephemeral, own, peer, prekey)):
        yield


@_patched("session-name", "names a session after the responder first")
def _session_name() -> Iterator[None]:
    right = x3dh.session_id
    with replaced(right, lambda one, other, *rest: right(other, one, *rest)):
        yield


@_patched("window-ignored", "lets a peer send more than it was granted")
def _window_ignored() -> Iterator[None]:
    with constant("LINK_WINDOW", 1 << 40):
        yield


@_patched("higher-id-wins", "keeps the other one of two links")
def _higher_id_wins() -> Iterator[None]:
    right = link.keep_new_link
    with replaced(right, lambda *given: not right(*given)):
        yield


@_patched("little-endian", "writes integers the wrong way round")
def _little_endian() -> Iterator[None]:
    codec_records = codec.decode_records

    def records(data: bytes) -> list[Any]:
        made = []
        for record in codec_records(data):
            changes: dict[str, Any] = {}
            if hasattr(record, "nonce"):
                changes["nonce"] = int.from_bytes(record.nonce.to_bytes(8, "big"), "little")
            made.append(evolve(record, **changes))
        return made

    with replaced(codec.decode_records, records):
        yield


@_patched("roster-unsorted", "doesn't look at a roster")
def _roster_unsorted() -> Iterator[None]:
    with replaced(term_codec._check_record, _nothing):  # noqa: SLF001 - a broken port
        yield


def main() -> int:
    """Be the broken port that the argument names."""
    if len(sys.argv) != 2 or sys.argv[1] not in BROKEN:
        print("\n".join(f"{one.name:24} {one.about}" for one in BROKEN.values()), file=sys.stderr)
        return 2
    serve(BROKEN[sys.argv[1]], sys.stdin.buffer, private_stdout())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
