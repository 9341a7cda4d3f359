"""An invitation: what a newcomer is handed outside the network, as bytes and as text (TOM-ROLES-119 to 122).

The text is ``tom:`` and base32 without padding (RFC 4648), in small letters or in capitals: a QR code holds
capitals, digits and the colon in less space.  What was copied wrongly fails its signature.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from attrs import evolve

from tom_ref import constants, term_codec
from tom_ref.crypto import SigningKey, labelled, sha256, verify
from tom_ref.errors import ProtocolError, Reason
from tom_ref.term_frames import Invitation

_PREFIX: Final = "tom:"
_LABEL: Final = "ToM/1 invitation"
_MAX_TEXT: Final = len(_PREFIX) + -(-constants.MAX_INVITATION * 8 // 5)


def sign_invitation(invitation: Invitation, signing_key: SigningKey) -> Invitation:
    """The invitation with its inviter's signature (TOM-ROLES-119)."""
    body = term_codec.encode_invitation_body(invitation)
    return evolve(invitation, signature=signing_key.sign(labelled(_LABEL, body)))


def check_invitation(invitation: Invitation, now: int) -> None:
    """Accept an invitation at ``now`` ms or raise ``bad_signature``, ``bad_key`` or ``expired``."""
    body = term_codec.encode_invitation_body(invitation)
    verify(invitation.inviter, labelled(_LABEL, body), invitation.signature)
    if now >= invitation.expires_at:
        raise ProtocolError(Reason.EXPIRED, "invitation")


def invitation_to_text(invitation: Invitation) -> str:
    """The text of an invitation, in small letters (TOM-ROLES-120)."""
    data = term_codec.encode_invitation(invitation)
    return _PREFIX + base64.b32encode(data).decode("ascii").rstrip("=").lower()


def invitation_from_text(text: str) -> Invitation:
    """The invitation of a text; raises ``bad_text`` where it is none (TOM-ROLES-120).

    The signature is not verified here (see :func:`check_invitation`).
    """
    if len(text) > _MAX_TEXT:
        raise ProtocolError(Reason.BAD_TEXT, "an invitation is shorter")
    if text not in {text.lower(), text.upper()} or not text.lower().startswith(_PREFIX):
        raise ProtocolError(Reason.BAD_TEXT, "an invitation begins with tom: and doesn't mix cases")
    encoded = text[len(_PREFIX) :].upper()
    try:
        data = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
    except (binascii.Error, ValueError):
        raise ProtocolError(Reason.BAD_TEXT, "not the text of an invitation") from None
    if base64.b32encode(data).decode("ascii").rstrip("=") != encoded:
        raise ProtocolError(Reason.BAD_TEXT, "another way to write an invitation")
    return term_codec.decode_invitation(data)


def shown_token(token: bytes, subnet: bytes, term: int, node: bytes) -> bytes:
    """What a newcomer puts in place of its sponsor's signature to show its token (TOM-ROLES-121).

    64 bytes: only who knows the token can make them, and they are good for this newcomer and term only.
    """
    parts = (token, subnet, term.to_bytes(8, "big"), node)
    return sha256(labelled("ToM/1 invited", *parts)) + bytes(32)
