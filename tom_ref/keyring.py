"""This node's own signed prekeys and descriptor, renewed on schedule."""

from __future__ import annotations

from attrs import define, field

from tom_ref import codec, session
from tom_ref.crypto import Entropy, Secret32
from tom_ref.effects import Table
from tom_ref.frames import Address, Descriptor
from tom_ref.identity import (
    Identity,
    Prekey,
    make_prekey,
    next_created_at,
    rotate_prekeys,
    sign_descriptor,
)
from tom_ref.step import Step
from tom_ref.timers import Timer, Timers


@define
class Keyring:
    """The prekeys held, the newest of them in the descriptor (TOM-ID)."""

    identity: Identity = field(repr=False)
    entropy: Entropy = field(repr=False)
    timers: Timers = field(repr=False)
    addresses: tuple[Address, ...] = ()
    _held: tuple[Prekey, ...] = field(default=(), repr=False)
    _descriptor: Descriptor | None = None
    _published: tuple[int, tuple[Address, ...]] | None = None

    @property
    def descriptor(self) -> Descriptor:
        """The newest own descriptor; raises ``RuntimeError`` before the node was started."""
        if self._descriptor is None:
            raise RuntimeError("the node has not been started")
        return self._descriptor

    def restore(self, record: bytes) -> None:
        """Take a stored prekey back."""
        stored = codec.PREKEY.decode(record)
        self._held = (*self._held, make_prekey(stored.prekey_id, Secret32(stored.secret), stored.valid_from))

    def renew(self, step: Step) -> bool:
        """Apply the prekey schedule; ``True`` when there is a new descriptor to announce."""
        rotation = rotate_prekeys(self._held, step.now, self.entropy)
        self._held = rotation.held
        for erased in rotation.erased:
            step.erase(Table.PREKEY, erased.to_bytes(4, "big"))
        current = rotation.current
        if rotation.issued:
            step.put(
                Table.PREKEY,
                current.prekey_id.to_bytes(4, "big"),
                codec.PREKEY.encode(
                    prekey_id=current.prekey_id,
                    secret=current.secret.reveal(),
                    valid_from=current.valid_from,
                    valid_until=current.valid_until,
                ),
            )
        self.timers.set(Timer.PREKEY, b"", rotation.next_at)
        wanted = (current.prekey_id, self.addresses)
        if self._published == wanted:
            return False
        dated = next_created_at(self._descriptor, step.now)
        self._descriptor = sign_descriptor(self.identity, current, dated, self.addresses)
        self._published = wanted
        return True

    def redate(self) -> None:
        """The time is known only now: the next renewal makes a descriptor with its date."""
        self._published = None

    def prekeys(self) -> dict[int, session.Prekey]:
        """The secrets that initial messages may name, by prekey id."""
        return {
            prekey.prekey_id: session.Prekey(prekey.secret, prekey.public, prekey.valid_until)
            for prekey in self._held
        }
