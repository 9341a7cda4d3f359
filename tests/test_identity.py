"""Bech32m, identities, descriptors, prekeys and the secret file, as functions; the rules by id are in
``test_spec_identity.py``."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tom_ref import bech32m, codec, crypto, identity
from tom_ref.constants import EPS, PREKEY_ERASE_AFTER, PREKEY_INTERVAL, PREKEY_VALIDITY
from tom_ref.crypto import Secret32
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Address, Extension, Transport
from tom_ref.identity import Identity, Prekey
from tools.vectors import identity as identity_vectors

KEY = st.binary(min_size=32, max_size=32)
SECRET = Secret32(bytes(range(32)))


def refused(reason: Reason) -> pytest.RaisesExc[ProtocolError]:
    return pytest.raises(ProtocolError, check=lambda error: error.reason is reason)


def no_entropy(purpose: str, size: int) -> bytes:
    raise AssertionError(f"{size} bytes for {purpose} were not needed")


def zeros(purpose: str, size: int) -> bytes:
    return bytes(size)


# --- Bech32m ----------------------------------------------------------------------------------------------

# BIP-350, test vectors for Bech32m.
VALID = (
    "A1LQFN3A",
    "a1lqfn3a",
    "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
    "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
    "11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
    "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
    "?1v759aa",
)
INVALID = (
    " 1xj0phk",
    "\x7f1g6xzxy",
    "\x801vctc34",
    "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4",
    "qyrz8wqd2c9m",
    "1qyrz8wqd2c9m",
    "y1b0jsk6g",
    "lt1igcx5c0",
    "in1muywd",
    "mm1crxm3i",
    "au1s5cgom",
    "M1VUXWEZ",
    "16plkw9",
    "1p2gdwpf",
)


@pytest.mark.parametrize("text", VALID)
def test_bip_350_valid(text: str) -> None:
    """TOM-ID-006."""
    prefix, words = bech32m.decode_words(text)
    assert bech32m.encode_words(prefix, words) == text.lower()


@pytest.mark.parametrize("text", [*INVALID, "", "1", "a1lqFn3a"])
def test_bip_350_invalid(text: str) -> None:
    """TOM-ID-007."""
    with refused(Reason.BAD_TEXT):
        bech32m.decode_words(text)


@given(st.sampled_from(["tom", "x", "a1b"]), st.binary(max_size=40))
def test_bytes_and_back(prefix: str, data: bytes) -> None:
    text = bech32m.encode(prefix, data)
    assert bech32m.decode(prefix, text, len(data)) == data
    assert bech32m.decode(prefix, text.upper(), len(data)) == data


@given(st.text(max_size=100))
def test_decoding_is_total(text: str) -> None:
    """TOM-ID-007 for any text."""
    with refused(Reason.BAD_TEXT):
        bech32m.node_id_from_text(text)


LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@given(KEY, st.dictionaries(st.integers(4, 61), st.sampled_from(LETTERS), min_size=1, max_size=4))
def test_up_to_four_wrong_letters_are_noticed(node_id: bytes, changes: dict[int, str]) -> None:
    """TOM-ID-007: what the checksum promises."""
    text = bech32m.node_id_to_text(node_id)
    changed = "".join(changes.get(place, letter) for place, letter in enumerate(text))
    if changed == text:
        assert bech32m.node_id_from_text(changed) == node_id
    else:
        with refused(Reason.BAD_TEXT):
            bech32m.node_id_from_text(changed)


@pytest.mark.parametrize(
    ("prefix", "words"),
    [("", [1]), ("Tom", [1]), ("t m", [1]), ("tom", [32]), ("tom", [-1]), ("tom", [0] * 81)],
)
def test_what_has_no_text(prefix: str, words: list[int]) -> None:
    with pytest.raises(ValueError):
        bech32m.encode_words(prefix, words)
    with pytest.raises(ValueError):
        bech32m.node_id_to_text(bytes(31))


@pytest.mark.parametrize(
    "text",
    [
        bech32m.encode("tam", bytes(32)),
        bech32m.encode("tomm", bytes(32)),
        bech32m.encode("tom", bytes(31)),
        bech32m.encode("tom", bytes(33)),
        bech32m.encode_words("tom", [0] * 51 + [1]),
        bech32m.encode_words("tom", [0] * 51 + [8]),
    ],
)
def test_sound_texts_that_are_no_node_id(text: str) -> None:
    """TOM-ID-007: another prefix, another length, padding."""
    assert bech32m.decode_words(text)
    with refused(Reason.BAD_TEXT):
        bech32m.node_id_from_text(text)


# --- keys -------------------------------------------------------------------------------------------------


@given(KEY)
def test_an_identity_is_a_function_of_the_secret(secret: bytes) -> None:
    """TOM-ID-004, TOM-ID-005: the same keys each time, no two alike, none of them shown."""
    node = Identity.from_secret(Secret32(secret))
    again = Identity.from_secret(Secret32(secret))
    publics = (node.node_id, node.vrf_key, node.link_key, node.session_key)
    assert publics == (again.node_id, again.vrf_key, again.link_key, again.session_key)
    secrets = {one.reveal() for one in (node.vrf_secret, node.link_secret, node.session_secret)}
    assert len({*publics, *secrets, secret}) == 8
    assert not any(one.hex() in repr(node) or repr(one) in repr(node) for one in (*secrets, secret))


def test_an_identity_signs_under_a_label() -> None:
    """TOM-ID-009."""
    node = Identity.from_secret(SECRET)
    signature = node.sign("ToM/1 test", b"part", b"")
    crypto.verify(node.node_id, crypto.labelled("ToM/1 test", b"part", b""), signature)


# --- prekeys ----------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.integers(-30 * 3_600_000, 80 * 3_600_000), max_size=60), st.binary(min_size=1, max_size=8))
def test_any_history_of_clocks_keeps_the_promises(steps: list[int], seed: bytes) -> None:
    """TOM-ID-038 to 042: whatever the clock does, forwards and backwards, after each call.

    The newest prekey is less than a day old and valid, nothing outlives its time, nothing is dated ahead, the
    number is bounded, ids differ, and coming back at once changes nothing.
    """
    drawn = 0

    def entropy(purpose: str, size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        assert purpose == "identity/prekey"
        return crypto.sha256(seed + drawn.to_bytes(4, "big"))[:size]

    now = 10**12
    held: tuple[Prekey, ...] = ()
    for step in steps:
        now += step
        before = drawn
        rotation = identity.rotate_prekeys(held, now, entropy)
        assert drawn - before == rotation.issued
        assert rotation.held[-1] == rotation.current
        assert now - PREKEY_INTERVAL < rotation.current.valid_from <= now + 2 * EPS
        assert all(now < prekey.erase_at for prekey in rotation.held)
        assert all(prekey.valid_from <= now + 2 * EPS for prekey in rotation.held)
        assert len(rotation.held) <= 5
        ids = [prekey.prekey_id for prekey in rotation.held]
        assert len(set(ids)) == len(ids)
        assert {prekey.prekey_id for prekey in held} - {*ids} == set(rotation.erased)
        assert rotation.next_at > now
        again = identity.rotate_prekeys(rotation.held, now, no_entropy)
        assert (again.held, again.issued, again.erased, again.next_at) == (
            rotation.held,
            False,
            (),
            rotation.next_at,
        )
        held = rotation.held


def test_the_schedule_wakes_when_something_is_due() -> None:
    """TOM-ID-038, 041: over a month of steady clocks, exactly at ``next_at``, never without work."""
    now, held = 10**12, identity.rotate_prekeys((), 10**12, zeros).held
    issued = erased = 0
    rotation = identity.rotate_prekeys(held, now, no_entropy)
    while now < 10**12 + 30 * PREKEY_INTERVAL:
        early = identity.rotate_prekeys(rotation.held, rotation.next_at - 1, no_entropy)
        assert not early.issued
        assert not early.erased
        now = rotation.next_at
        rotation = identity.rotate_prekeys(rotation.held, now, zeros)
        assert rotation.issued or rotation.erased
        issued += rotation.issued
        erased += len(rotation.erased)
    assert issued == 30
    assert erased == 27


def test_a_prekey_does_not_show() -> None:
    """TOM-ID-050."""
    prekey = identity.make_prekey(1, SECRET, 0)
    assert "secret" not in repr(prekey)
    assert prekey.valid_until == PREKEY_VALIDITY
    assert prekey.erase_at == PREKEY_VALIDITY + PREKEY_ERASE_AFTER


# --- descriptors ------------------------------------------------------------------------------------------

ADDRESS = st.builds(
    Address,
    st.sampled_from(Transport),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
)
EXTENSION_LIST = st.dictionaries(st.integers(0, 0x7FFF), st.binary(max_size=20), max_size=4).map(
    lambda found: tuple(Extension(kind, found[kind]) for kind in sorted(found))
)


@given(KEY, st.integers(0, 2**60), st.lists(ADDRESS, max_size=8), EXTENSION_LIST)
def test_what_is_signed_verifies_and_survives_the_wire(
    secret: bytes, now: int, addresses: list[Address], extensions: tuple[Extension, ...]
) -> None:
    """TOM-ID-023, 024."""
    node = Identity.from_secret(Secret32(secret))
    prekey = identity.rotate_prekeys((), now, lambda _, size: crypto.sha256(secret)[:size]).current
    descriptor = identity.sign_descriptor(node, prekey, now, tuple(addresses), extensions)
    received = codec.decode_descriptor(codec.encode_descriptor(descriptor))
    assert received == descriptor
    identity.verify_descriptor(received, now, node.node_id)


@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """TOM-ID-024: either the decoder or the signature notices."""
    encoded = bytearray(codec.encode_descriptor(identity_vectors.the_descriptor()))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        identity.verify_descriptor(codec.decode_descriptor(bytes(encoded)), identity_vectors.CREATED_AT)


def test_no_descriptor_is_signed_that_others_refuse() -> None:
    node, prekey = Identity.from_secret(SECRET), identity.make_prekey(1, Secret32(b"\x07" * 32), 0)
    with refused(Reason.BAD_VALUE):
        identity.sign_descriptor(node, prekey, PREKEY_VALIDITY + 1)
    with refused(Reason.BAD_VALUE):
        identity.sign_descriptor(node, prekey, 0, min_version=2)
    with refused(Reason.BAD_KEY):
        identity.sign_descriptor(node, attrs.evolve(prekey, public=bytes(32)), 0)


def test_newest_of_two_nodes_is_a_mistake() -> None:
    one = identity_vectors.the_descriptor()
    other = attrs.evolve(one, node_id=bytes(32))
    with pytest.raises(ValueError):
        identity.newer(one, other)


@settings(max_examples=40)
@given(st.permutations(range(6)))
def test_all_nodes_end_with_the_same_descriptor(order: list[int]) -> None:
    """TOM-ID-033, 034: in whatever order they hear of several, some of one date."""
    base = identity_vectors.the_descriptor()
    offered = [
        identity_vectors.resigned(base, created_at=base.created_at + number // 2, max_version=1 + number % 2)
        for number in range(6)
    ]
    held = None
    for number in order:
        try:
            held = identity.newer(held, offered[number])
        except ProtocolError as error:
            assert error.reason is Reason.STALE  # noqa: PT017 - both outcomes are right
    assert held == max(offered, key=lambda descriptor: (descriptor.created_at, descriptor.signature))


# --- the secret file --------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(KEY, st.none() | st.text(min_size=1), st.integers(1, 3), st.integers(8, 64))
def test_a_secret_survives_its_file(
    secret: bytes, passphrase: str | None, operations: int, memory: int
) -> None:
    """TOM-ID-046 to 049."""
    data = identity.encode_secret_file(
        Secret32(secret), passphrase, zeros, operations=operations, memory=memory
    )
    assert identity.decode_secret_file(data, passphrase) == Secret32(secret)
    assert len(data) == (74 if passphrase is None else 126)
    assert (secret in data) == (passphrase is None)


@given(st.binary(max_size=200), st.none() | st.just("passphrase"))
def test_reading_is_total(data: bytes, passphrase: str | None) -> None:
    """TOM-ID-046 for any bytes."""
    with refused(Reason.BAD_SECRET_FILE):
        identity.decode_secret_file(data, passphrase)


@pytest.mark.parametrize("passphrase", ["", "\ud800"])
def test_what_is_no_passphrase(passphrase: str) -> None:
    """A mistake of the caller, that doesn't show what was typed."""
    sealed = identity.encode_secret_file(SECRET, "x", zeros, operations=1, memory=8)
    for call in (
        lambda: identity.encode_secret_file(SECRET, passphrase, no_entropy),
        lambda: identity.decode_secret_file(sealed, passphrase),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert caught.type is ValueError
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(("operations", "memory"), [(0, 8), (17, 8), (1, 7), (1, 1_048_577)])
def test_no_file_is_written_that_none_would_read(operations: int, memory: int) -> None:
    """TOM-ID-047 from the writer's side."""
    with pytest.raises(ValueError):
        identity.encode_secret_file(SECRET, "x", no_entropy, operations=operations, memory=memory)
