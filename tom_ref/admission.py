"""How newcomers come in: a member's open invitations, and the joins that wait for the next record.

A member vouches only for whom it invited: the newcomer shows the invitation's token to its sponsor, and the
sponsor's signature takes the token's place before anybody else sees the join (TOM-ROLES-121).
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, evolve, field

from tom_ref import constants, records
from tom_ref.crypto import Entropy, SigningKey, draw, equal
from tom_ref.draft import Roles
from tom_ref.effects import Invited, Table
from tom_ref.errors import ProtocolError, Reason
from tom_ref.frames import Address, Descriptor
from tom_ref.inputs import CommandError
from tom_ref.invitation import shown_token, sign_invitation
from tom_ref.step import Step
from tom_ref.term_frames import Invitation, Join, TermRecord
from tom_ref.timers import Timer, Timers

_UNSIGNED_TAIL = bytes(32)
"""A sponsor's signature never ends like this: its last half is below 2^253 and not zero."""

_TOKEN_BYTES = 16
_TIME_BYTES = 8


def is_request(join: Join) -> bool:
    """Whether a join is on its way from a newcomer to its sponsor, not signed yet."""
    return join.signature[32:] == _UNSIGNED_TAIL


def request(record: TermRecord, descriptor: Descriptor, sponsor: bytes, token: bytes | None) -> Join:
    """What a newcomer sends to its sponsor; ``token`` is ``None`` for one that was a member before."""
    node = descriptor.node_id
    shown = bytes(64) if token is None else shown_token(token, record.subnet, record.term, node)
    nonce = records.find_join_work(record.subnet, record.term, node)
    return Join(record.subnet, record.term, descriptor, nonce, sponsor, shown)


@define
class Admission:
    """Open invitations, at most ``MAX_INVITATIONS``, and the signed joins of the present term."""

    own_id: bytes
    signing_key: SigningKey = field(repr=False)
    entropy: Entropy = field(repr=False)
    timers: Timers = field(repr=False)
    _tokens: dict[bytes, int] = field(factory=dict, repr=False)
    """When each invitation expires, ms."""
    _joins: dict[bytes, Join] = field(factory=dict)
    """By newcomer."""

    # --- invitations ------------------------------------------------------------------------------------

    def invite(self, step: Step, record: TermRecord, addresses: tuple[Address, ...], expires_at: int) -> None:
        """Make an invitation; raises ``CommandError`` when too many are open or there is no address."""
        if not addresses:
            raise CommandError(Reason.BAD_VALUE, "a node that listens nowhere can't invite")
        if expires_at <= step.now:
            raise CommandError(Reason.EXPIRED, "an invitation that has expired already")
        if len(self._tokens) >= constants.MAX_INVITATIONS:
            raise CommandError(Reason.OVERLOADED, f"{len(self._tokens)} invitations are open")
        token = draw(self.entropy, constants.Purpose.INVITATION_TOKEN, _TOKEN_BYTES)
        invitation = Invitation(
            self.own_id,
            record.subnet,
            record.term,
            records.record_hash(record),
            token,
            expires_at,
            addresses[: constants.MAX_ADDRESSES],
        )
        self._tokens[token] = expires_at
        self.timers.set(Timer.INVITATION_EXPIRY, token, expires_at)
        step.put(Table.INVITATION, token, expires_at.to_bytes(_TIME_BYTES, "big"))
        step.emit(Invited(sign_invitation(invitation, self.signing_key)))

    def restore(self, token: bytes, value: bytes) -> None:
        """Take a stored invitation back; raises ``bad_value`` when it is corrupt."""
        if len(token) != _TOKEN_BYTES or len(value) != _TIME_BYTES:
            raise ProtocolError(Reason.BAD_VALUE, "a stored invitation")
        self._tokens[token] = int.from_bytes(value, "big")
        self.timers.set(Timer.INVITATION_EXPIRY, token, self._tokens[token])

    def expire(self, step: Step, token: bytes) -> None:
        """An invitation's time is over."""
        del self._tokens[token]
        step.erase(Table.INVITATION, token)

    # --- joins ------------------------------------------------------------------------------------------

    @property
    def joins(self) -> tuple[Join, ...]:
        """The signed joins that wait."""
        return tuple(self._joins.values())

    def sponsor(self, join: Join, roles: Roles, *, former: bool) -> Join:
        """Vouch for a newcomer that was invited here, or was a member until lately.

        Raises ``ProtocolError``: ``node_mismatch`` for one that wasn't, and what the join deserves.
        """
        if join.sponsor != self.own_id:
            raise ProtocolError(Reason.NODE_MISMATCH, "a request to another sponsor")
        if not former and not any(self._shown(join)):
            raise ProtocolError(Reason.NODE_MISMATCH, "not invited")
        records.check_newcomer(join, roles)
        self._check_room(join, roles)
        descriptor = join.descriptor
        signed = records.signed_join(join.subnet, join.term, descriptor.node_id, descriptor.vrf_key)
        sponsored = evolve(join, signature=self.signing_key.sign(signed))
        self._joins[descriptor.node_id] = sponsored
        return sponsored

    def _shown(self, join: Join) -> Iterator[bool]:
        node = join.descriptor.node_id
        for token in self._tokens:
            yield equal(shown_token(token, join.subnet, join.term, node), join.signature)

    def take(self, join: Join, roles: Roles) -> bool:
        """Keep a signed join for the next record; ``False`` when one of this newcomer is held.

        Raises ``overloaded`` for a sponsor that brings more than a record admits (TOM-ROLES-123), so that
        nobody fills the table alone, and what the join deserves.
        """
        if join.descriptor.node_id in self._joins:
            return False
        self._check_room(join, roles)
        records.check_join(join, roles)
        self._joins[join.descriptor.node_id] = join
        return True

    def _check_room(self, join: Join, roles: Roles) -> None:
        most = records.admissions(len(roles.record.roster))
        brought = sum(1 for held in self._joins.values() if held.sponsor == join.sponsor)
        if brought >= most or len(self._joins) >= constants.MAX_JOINS:
            raise ProtocolError(Reason.OVERLOADED, "too many joins")

    def new_term(self) -> None:
        """Joins belong to a term: who wasn't admitted asks again."""
        self._joins.clear()
