"""Chapter *Identity* of the specification, rule by rule."""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tom_ref import bech32m, codec, constants, crypto, identity, vrf
from tom_ref.constants import EPS, MAX_TTL, Purpose
from tom_ref.crypto import Secret32
from tom_ref.drivers import secret_file
from tom_ref.effects import Persist, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Descriptor
from tom_ref.identity import Identity
from tom_ref.inputs import Start
from tom_ref.node import Node
from tools.vectors import crypto as crypto_vectors
from tools.vectors import identity as vectors
from tools.vectors import vrf as vrf_vectors

SECRET = bytes(range(32))
NOW = vectors.CREATED_AT
DAY = 86_400_000


def refused(reason: Reason) -> pytest.RaisesExc[ProtocolError]:
    return pytest.raises(ProtocolError, check=lambda error: error.reason is reason)


def zeros(purpose: str, size: int) -> bytes:
    return bytes(size)


def verify(now: int = NOW, expected: bytes | None = None, **changes: Any) -> None:
    """Check the example's descriptor with changed fields, signed again."""
    identity.verify_descriptor(vectors.resigned(vectors.the_descriptor(), **changes), now, expected)


# --- domain separation, secret, keys ----------------------------------------------------------------------


def test_labelled() -> None:
    """TOM-ID-001, by hand."""
    expected = bytes((16,)) + b"ToM/1 descriptor" + bytes((0, 0, 0, 2)) + b"ab" + bytes(4)
    assert crypto.labelled("ToM/1 descriptor", b"ab", b"") == expected


def test_every_label_is_of_the_form_and_stands_once() -> None:
    """TOM-ID-002: over all strings of the reference implementation that begin like a label."""
    found: list[str] = []
    for path in sorted(Path(crypto.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        found.extend(text for text in strings if isinstance(text, str) and text.startswith("ToM/1"))
    found.remove(crypto.LABEL_PREFIX)
    assert {"ToM/1 descriptor", "ToM/1 header", "ToM/1 key vrf"} <= set(found)
    assert len(set(found)) == len(found)
    for label in found:
        assert crypto.labelled(label)[1:] == label.encode("ascii")


def test_a_new_secret_is_thirty_two_drawn_bytes() -> None:
    """TOM-ID-003."""
    drawn = []

    def entropy(purpose: str, size: int) -> bytes:
        drawn.append((purpose, size))
        return SECRET

    assert identity.new_secret(entropy) == Secret32(SECRET)
    assert drawn == [(Purpose.IDENTITY_SECRET, 32)]


def test_four_keys() -> None:
    """TOM-ID-004, TOM-ID-005: computed again with another library, from the table in the chapter."""
    node = Identity.from_secret(Secret32(SECRET))

    def derived(label: str) -> bytes:
        info = bytes((len(label),)) + label.encode()
        return HKDF(hashes.SHA256(), 32, None, info).derive(SECRET)

    signing = Ed25519PrivateKey.from_private_bytes(derived("ToM/1 key identity")).public_key()
    proving = Ed25519PrivateKey.from_private_bytes(derived("ToM/1 key vrf")).public_key()
    linking = X25519PrivateKey.from_private_bytes(derived("ToM/1 key link")).public_key()
    talking = X25519PrivateKey.from_private_bytes(derived("ToM/1 key session")).public_key()
    assert node.node_id == signing.public_bytes_raw()
    assert node.vrf_key == proving.public_bytes_raw()
    assert node.link_key == linking.public_bytes_raw()
    assert node.session_key == talking.public_bytes_raw()


# --- NodeId -----------------------------------------------------------------------------------------------


def test_node_id_text() -> None:
    """TOM-ID-006, 008: 62 small letters that begin with tom1; capitals are read too."""
    node_id = vectors.the_identity().node_id
    text = bech32m.node_id_to_text(node_id)
    assert text.startswith("tom1")
    assert text == text.lower()
    assert len(text) == 62
    assert bech32m.node_id_from_text(text) == bech32m.node_id_from_text(text.upper()) == node_id


def test_other_texts_are_refused() -> None:
    """TOM-ID-007: each single change of a text."""
    text = bech32m.node_id_to_text(vectors.the_identity().node_id)
    wrong = [text[:place] + letter + text[place + 1 :] for place in range(62) for letter in "qp1bT"]
    wrong += [text[:place] + text[place + 1 :] for place in range(62)]
    wrong += [text[:place] + letter + text[place:] for place in range(63) for letter in "qp1 "]
    for changed in set(wrong) - {text}:
        with refused(Reason.BAD_TEXT):
            bech32m.node_id_from_text(changed)


# --- signatures, key agreement, VRF -----------------------------------------------------------------------


def test_signatures_are_rfc_8032() -> None:
    """TOM-ID-009."""
    key = vectors.the_identity()
    body = codec.encode_descriptor_body(vectors.the_descriptor())
    seed = HKDF(hashes.SHA256(), 32, None, b"\x12ToM/1 key identity").derive(SECRET)
    expected = Ed25519PrivateKey.from_private_bytes(seed).sign(crypto.labelled("ToM/1 descriptor", body))
    assert key.sign("ToM/1 descriptor", body) == expected == vectors.the_descriptor().signature


@pytest.mark.parametrize("rule", ["TOM-ID-010", "TOM-ID-011", "TOM-ID-012", "TOM-ID-013"])
def test_the_strict_rule(rule: str) -> None:
    """TOM-ID-010, TOM-ID-011, TOM-ID-012, TOM-ID-013: every rule has cases that it refuses."""
    cases = [case for case in crypto_vectors.strict_refusals() if rule in case[0]]
    assert cases
    for _, _, public, message, signature, reason in cases:
        with refused(reason):
            crypto.verify(public, message, signature)


def test_published_exchange_keys() -> None:
    """TOM-ID-015: reduced, and none of the five of low order."""
    good = vectors.the_identity().link_key
    crypto.validate_x25519_public(good)
    low = (
        0,
        1,
        2**255 - 20,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
    for number in (*low, 2**255 - 19, 2**256 - 1, int.from_bytes(good, "little") | 1 << 255):
        with refused(Reason.BAD_KEY):
            crypto.validate_x25519_public(number.to_bytes(32, "little"))


def test_an_agreement_on_zero_is_refused() -> None:
    """TOM-ID-016: also for encodings of low order that aren't canonical."""
    for number in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 1 << 255):
        with refused(Reason.BAD_KEY):
            crypto.x25519(SECRET, number.to_bytes(32, "little"))


@pytest.mark.parametrize("example", vrf_vectors.RFC_9381)
def test_the_vrf_is_rfc_9381(example: tuple[str, ...]) -> None:
    """TOM-ID-017, 022."""
    secret, public, alpha, proof, output = map(bytes.fromhex, example[1:])
    assert vrf.prove(secret, alpha) == proof
    assert vrf.verify(public, alpha, proof) == output
    assert len(output) == 64


@pytest.mark.parametrize("rule", ["TOM-ID-018", "TOM-ID-019", "TOM-ID-020", "TOM-ID-021"])
def test_what_the_vrf_refuses(rule: str) -> None:
    """TOM-ID-018 to 021."""
    cases = [case for case in vrf_vectors.refusals() if rule in case[0]]
    assert cases
    for _, _, public, alpha, proof, reason in cases:
        with refused(reason):
            vrf.verify(public, alpha, proof)


# --- descriptors ------------------------------------------------------------------------------------------


def test_a_descriptor_is_signed_under_its_label() -> None:
    """TOM-ID-023, 024."""
    descriptor = vectors.the_descriptor()
    body = codec.encode_descriptor_body(descriptor)
    crypto.verify(descriptor.node_id, crypto.labelled("ToM/1 descriptor", body), descriptor.signature)
    identity.verify_descriptor(descriptor, NOW)
    for content in (body, crypto.labelled("ToM/1 header", body)):
        signature = vectors.the_identity().signing_key.sign(content)
        with refused(Reason.BAD_SIGNATURE):
            identity.verify_descriptor(attrs.evolve(descriptor, signature=signature), NOW)


def test_the_expected_node() -> None:
    """TOM-ID-025."""
    verify(expected=vectors.the_identity().node_id)
    with refused(Reason.NODE_MISMATCH):
        verify(expected=vectors.the_identity(vectors.OTHER_SECRET).node_id)


def test_a_descriptor_from_the_future() -> None:
    """TOM-ID-026: the bound itself is accepted."""
    verify(now=NOW - 2 * EPS)
    with refused(Reason.FUTURE_DATE):
        verify(now=NOW - 2 * EPS - 1)


@pytest.mark.parametrize(
    ("low", "high", "reason"),
    [
        (1, 1, None),
        (1, 255, None),
        (0, 1, Reason.BAD_VALUE),
        (0, 0, Reason.BAD_VALUE),
        (2, 1, Reason.BAD_VALUE),
        (2, 2, Reason.UNKNOWN_VERSION),
        (2, 255, Reason.UNKNOWN_VERSION),
    ],
)
def test_versions(low: int, high: int, reason: Reason | None) -> None:
    """TOM-ID-027, 028."""
    if reason is None:
        verify(min_version=low, max_version=high)
    else:
        with refused(reason):
            verify(min_version=low, max_version=high)


@pytest.mark.parametrize(
    ("begin", "end", "good"),
    [
        (NOW, NOW + 2 * DAY, True),
        (NOW, NOW + 1, True),
        (NOW, NOW + 2 * DAY + 1, False),
        (NOW, NOW, False),
        (NOW + 1, NOW, False),
        (NOW - 2 * DAY, NOW, True),
        (NOW - 2 * DAY - 1, NOW - 1, False),
        (NOW + 2 * EPS, NOW + DAY, True),
        (NOW + 2 * EPS + 1, NOW + DAY, False),
    ],
)
def test_prekey_dates(begin: int, end: int, *, good: bool) -> None:
    """TOM-ID-029, 030."""
    if good:
        verify(prekey_from=begin, prekey_until=end)
    else:
        with refused(Reason.BAD_VALUE):
            verify(prekey_from=begin, prekey_until=end)


@pytest.mark.parametrize("field", ["vrf_key", "link_key", "session_key", "prekey"])
def test_keys_of_a_descriptor(field: str) -> None:
    """TOM-ID-031, 032: none of low order, none not canonical, no two equal."""
    low = (1).to_bytes(32, "little")
    high = b"\xff" * 32
    good = vectors.the_descriptor()
    others = [
        getattr(good, name) for name in ("node_id", "link_key", "session_key", "prekey") if name != field
    ]
    for key in (low, high, *others):
        with refused(Reason.BAD_KEY):
            verify(**{field: key})


@pytest.mark.parametrize("case", vectors.descriptor_refusals(), ids=lambda case: case[1])
def test_refused_descriptors(case: tuple[list[str], str, bytes, int, bytes | None, Reason]) -> None:
    """TOM-ID-023 to 032."""
    _, _, encoded, now, expected, reason = case
    with refused(reason):
        identity.verify_descriptor(codec.decode_descriptor(encoded), now, expected)


def test_the_newest_wins() -> None:
    """TOM-ID-033, 034: by date, then by signature."""
    first, later = vectors.the_descriptor(), vectors.the_descriptor(NOW + 1)
    assert identity.newer(None, first) is first
    assert identity.newer(first, later) is later
    with refused(Reason.STALE):
        identity.newer(later, first)
    with refused(Reason.STALE):
        identity.newer(first, first)
    twin = vectors.resigned(first, addresses=())
    low, high = sorted((first, twin), key=lambda descriptor: descriptor.signature)
    assert identity.newer(low, high) is high
    with refused(Reason.STALE):
        identity.newer(high, low)


@pytest.mark.parametrize("field", ["vrf_key", "link_key", "session_key"])
def test_derived_keys_never_change(field: str) -> None:
    """TOM-ID-035."""
    first, later = vectors.the_descriptor(), vectors.the_descriptor(NOW + 1)
    other = getattr(vectors.the_identity(vectors.OTHER_SECRET), field)
    with refused(Reason.BAD_KEY):
        identity.newer(first, vectors.resigned(later, **{field: other}))


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        (None, NOW),
        (NOW - 1000, NOW),
        (NOW, NOW + 1),
        (NOW + 2 * EPS - 1, NOW + 2 * EPS),
        (NOW + 2 * EPS, NOW),
        (NOW + 10**9, NOW),
    ],
)
def test_own_dates_rise(previous: int | None, expected: int) -> None:
    """TOM-ID-036; what is given out is never too far ahead for this node itself (TOM-ID-026)."""
    held: Descriptor | None = (
        None if previous is None else attrs.evolve(vectors.the_descriptor(), created_at=previous)
    )
    assert identity.next_created_at(held, NOW) == expected
    assert expected <= NOW + 2 * EPS


def test_an_old_descriptor_is_still_good() -> None:
    """TOM-ID-037: ten years after its prekey."""
    verify(now=NOW + 3650 * DAY)


# --- prekeys ----------------------------------------------------------------------------------------------


def test_a_prekey_a_day() -> None:
    """TOM-ID-038, 039, 040."""
    first = identity.rotate_prekeys((), NOW, lambda _, size: b"\x01" * size)
    assert first.issued
    assert first.current.valid_from == NOW
    assert first.current.valid_until == NOW + 172_800_000 == NOW + DAY + MAX_TTL
    assert first.current.prekey_id == NOW // 1000 % 2**32
    same = identity.rotate_prekeys(first.held, NOW + DAY - 1, zeros)
    assert not same.issued
    assert same.current == first.current
    second = identity.rotate_prekeys(first.held, NOW + DAY, lambda _, size: b"\x02" * size)
    assert second.issued
    assert [prekey.valid_from for prekey in second.held] == [NOW, NOW + DAY]
    assert second.current.public == crypto.x25519_public(b"\x02" * 32)


def test_ids_are_not_used_twice() -> None:
    """TOM-ID-039: seconds that are taken are passed over, round the end of 32 bits too."""
    wrapping = (2**32 - 1) * 1000
    held = [identity.make_prekey(2**32 - 1, Secret32(SECRET), wrapping - DAY)]
    assert identity.rotate_prekeys(held, wrapping, zeros).current.prekey_id == 0
    held.append(identity.make_prekey(0, Secret32(SECRET), wrapping - DAY))
    assert identity.rotate_prekeys(held, wrapping, zeros).current.prekey_id == 1


def test_prekeys_are_erased_in_time() -> None:
    """TOM-ID-041: to the millisecond."""
    held = [identity.make_prekey(1, Secret32(SECRET), NOW)]
    end = NOW + 172_800_000 + 86_400_000 + 2 * EPS
    before = identity.rotate_prekeys(held, end - 1, zeros)
    assert before.erased == ()
    assert before.held[0] == held[0]
    assert before.next_at == end
    after = identity.rotate_prekeys(held, end, zeros)
    assert after.erased == (1,)
    assert len(after.held) == 1
    assert after.issued


def test_prekeys_from_a_clock_that_ran_ahead() -> None:
    """TOM-ID-042."""
    near = identity.make_prekey(1, Secret32(SECRET), NOW + 2 * EPS)
    far = identity.make_prekey(2, Secret32(SECRET), NOW + 2 * EPS + 1)
    rotation = identity.rotate_prekeys([near, far], NOW, zeros)
    assert rotation.erased == (2,)
    assert rotation.current == near
    assert not rotation.issued
    alone = identity.rotate_prekeys([far], NOW, zeros)
    assert alone.issued
    assert alone.current.valid_from == NOW


def test_a_prekey_is_stored_before_it_is_published() -> None:
    """TOM-ID-043: the first thing a new node asks for is to store the prekey its descriptor names."""
    node = Node(Identity.from_secret(Secret32(SECRET)), subnet=bytes(32), entropy=zeros, now=NOW)
    effects = node.step(Start(), NOW)
    assert isinstance(effects[0], Persist)
    stored = {change.key: change.value for change in effects[0].changes if change.table is Table.PREKEY}
    record = stored[node.descriptor.prekey_id.to_bytes(4, "big")]
    assert record is not None
    parsed = codec.PREKEY.decode(record)
    assert crypto.x25519_public(parsed.secret) == node.descriptor.prekey
    assert not any(isinstance(effect, Persist) for effect in effects[1:])


# --- one process, sealing, the secret file ----------------------------------------------------------------


def test_one_secret_one_process(tmp_path: Path) -> None:
    """TOM-ID-044; the driver's own tests try it across processes."""
    path = tmp_path / "node.tom"
    secret_file.create(path, Secret32(SECRET), None, zeros)
    with secret_file.load(path), refused(Reason.IDENTITY_IN_USE):
        secret_file.load(path)
    secret_file.load(path).close()


def test_sealing() -> None:
    """TOM-ID-045: RFC 8439 section 2.8.2, and shorter than a tag."""
    key, nonce, associated, sealed = map(
        bytes.fromhex,
        (
            crypto_vectors.AEAD_KEY,
            crypto_vectors.AEAD_NONCE,
            crypto_vectors.AEAD_ASSOCIATED,
            crypto_vectors.AEAD_SEALED,
        ),
    )
    assert crypto.open_sealed(key, nonce, sealed, associated).hex() == crypto_vectors.AEAD_PLAINTEXT
    for size in range(len(sealed)):
        with refused(Reason.BAD_SEAL):
            crypto.open_sealed(key, nonce, sealed[:size], associated)


def sealed_file(passphrase: str = "Grüße") -> bytes:
    return identity.encode_secret_file(Secret32(SECRET), passphrase, zeros, operations=1, memory=8)


@pytest.mark.parametrize("passphrase", [None, "Grüße"])
def test_a_damaged_file_is_not_a_wrong_passphrase(passphrase: str | None) -> None:
    """TOM-ID-046: each byte changed, each length."""
    data = sealed_file() if passphrase else identity.encode_secret_file(Secret32(SECRET), None, zeros)
    damaged = [data[:place] + bytes((data[place] ^ 0x40,)) + data[place + 1 :] for place in range(len(data))]
    damaged += [data[:size] for size in range(len(data))]
    damaged.append(data + b"\x00")
    for changed in damaged:
        with refused(Reason.BAD_SECRET_FILE):
            identity.decode_secret_file(changed, passphrase)


def rechecked(content: bytes) -> bytes:
    return content + crypto.sha256(crypto.labelled("ToM/1 secret file", content))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"tom key\n" + data[8:],
        lambda data: data[:8] + b"\x02" + data[9:],
        lambda data: data[:9] + b"\x02" + data[10:],
        lambda data: data + b"\x00",
        lambda data: data[:-1],
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_files_of_another_kind(change: Callable[[bytes], bytes], *, plain: bool) -> None:
    """TOM-ID-046: with a checksum that fits."""
    data = identity.encode_secret_file(Secret32(SECRET), None, zeros) if plain else sealed_file()
    assert rechecked(data[:-32]) == data
    with refused(Reason.BAD_SECRET_FILE):
        identity.decode_secret_file(rechecked(change(data[:-32])), None if plain else "Grüße")


@pytest.mark.parametrize(
    ("operations", "memory"), [(0, 8), (17, 8), (2**32 - 1, 8), (1, 7), (1, 1_048_577), (1, 2**32 - 1)]
)
def test_a_hostile_file_costs_nothing(monkeypatch: pytest.MonkeyPatch, operations: int, memory: int) -> None:
    """TOM-ID-047: refused before Argon2id is called."""
    monkeypatch.setattr(crypto, "argon2id", None)
    data = sealed_content_with(operations, memory)
    with refused(Reason.BAD_SECRET_FILE):
        identity.decode_secret_file(data, "Grüße")
    assert operations > constants.MAX_PASSPHRASE_OPERATIONS or operations < 1 or not 8 <= memory <= 1_048_576


SEALED_CONTENT = sealed_file()[:-32]


def sealed_content_with(operations: int, memory: int) -> bytes:
    cost = operations.to_bytes(4, "big") + memory.to_bytes(4, "big")
    return rechecked(SEALED_CONTENT[:10] + cost + SEALED_CONTENT[18:])


def test_wrong_passphrases() -> None:
    """TOM-ID-048."""
    plain = identity.encode_secret_file(Secret32(SECRET), None, zeros)
    for data, passphrase in ((sealed_file(), "grüße"), (sealed_file(), None), (plain, "Grüße")):
        with refused(Reason.WRONG_PASSPHRASE):
            identity.decode_secret_file(data, passphrase)


def test_passphrases_are_normalized() -> None:
    """TOM-ID-049: typed composed or with combining marks, it is the same."""
    decomposed = unicodedata.normalize("NFD", "Grüße")
    assert decomposed != "Grüße"
    assert identity.decode_secret_file(sealed_file(), decomposed) == Secret32(SECRET)
    assert sealed_file(decomposed) == sealed_file()


def test_exceptions_show_no_secret() -> None:
    """TOM-ID-050: neither the secret nor the passphrase, in a refusal and its context."""
    for passphrase in ("wrong horse", None):
        with pytest.raises(ProtocolError) as caught:
            identity.decode_secret_file(sealed_file("right horse"), passphrase)
        shown = repr(caught.value) + str(caught.value) + caught.value.detail
        assert "horse" not in shown
        assert caught.value.__context__ is None or caught.value.__suppress_context__
