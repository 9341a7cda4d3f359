"""The one secret of a node on disk: created once, readable by its owner only, used by one process at a time.

The lock is TOM-ID-044's.  The format is :mod:`tom_ref.identity`'s; this module only moves its bytes.  What is
wrong with the *contents* raises ``ProtocolError`` (``bad_secret_file``, ``wrong_passphrase``,
``identity_in_use``); what is wrong with the *file* raises :class:`SecretFileError`.  In every case it is left
as it was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tom_ref.constants import Purpose
from tom_ref.crypto import Entropy, Secret32, draw_secret
from tom_ref.drivers.errors import SecretFileError
from tom_ref.drivers.files import sync_folder
from tom_ref.errors import ProtocolError, Reason
from tom_ref.identity import decode_secret_file, encode_secret_file

MAX_FILE: Final = 4_096
"""bytes: more than any secret file has; so much is read at most."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class LockedSecret:
    """A node's secret, and the lock that keeps every other process from using it until :meth:`close`.

    The lock is an advisory ``flock`` on the file itself, so it holds whatever the path by which the file is
    reached, and the system drops it when the process ends, however it ends.  A *copy* of the file is another
    file: nothing on this computer can keep two copies from being used at once.
    """

    def __init__(self, path: Path, secret: Secret32, descriptor: int) -> None:
        self.path = path
        self.secret = secret
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Release the lock.  Harmless when it is released already."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LockedSecret({str(self.path)!r})"


def create(path: str | os.PathLike[str], secret: Secret32, passphrase: str | None, entropy: Entropy) -> None:
    """Write a new secret file, complete or not at all; it is on disk when this returns.

    The file has mode 0600 from its first moment.  Raises :class:`SecretFileError` when something of that name
    exists (it is never overwritten) or the file can't be written.
    """
    target = Path(path)
    if not target.name:
        raise SecretFileError(f"{target} is a folder; name the file to be made in it.")
    data = encode_secret_file(secret, passphrase, entropy)
    draft = target.with_name(f".{target.name}.{os.urandom(6).hex()}.new")
    try:
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A hard link, not a rename: it is as atomic and fails where a rename would overwrite a secret.
            os.link(draft, target)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
        sync_folder(target.parent)
    except FileExistsError:
        raise SecretFileError(f"{target} exists already; it was left as it is.") from None
    except OSError as error:
        raise SecretFileError(
            f"The secret file {target} can't be created: {error.strerror}. Use a folder on the "
            "computer's own disk that you may write to."
        ) from error


def load(path: str | os.PathLike[str], passphrase: str | None = None) -> LockedSecret:
    """Lock and read a secret file.

    Raises :class:`SecretFileError` when the file is missing, no plain file, of another owner or accessible
    to others than its owner; ``ProtocolError`` with ``identity_in_use`` while another process (or another
    node of this one) holds it, ``bad_secret_file`` or ``wrong_passphrase``.
    """
    target = Path(path)
    secret, descriptor = _read(target, passphrase, lock=True)
    return LockedSecret(target, secret, descriptor)


def look(path: str | os.PathLike[str], passphrase: str | None = None) -> Secret32:
    """Read a secret file without locking it, to show what follows from it; a node may be running with it.

    Raises as :func:`load`, but for ``identity_in_use``.
    """
    secret, descriptor = _read(Path(path), passphrase, lock=False)
    os.close(descriptor)
    return secret


def _read(target: Path, passphrase: str | None, *, lock: bool) -> tuple[Secret32, int]:
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise SecretFileError(f"There is no secret file {target}.") from None
    except OSError as error:
        raise SecretFileError(f"The secret file {target} can't be opened: {error.strerror}.") from error
    try:
        _check_access(target, os.fstat(descriptor))
        if lock:
            _lock(target, descriptor)
        data = os.read(descriptor, MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ProtocolError(Reason.BAD_SECRET_FILE, f"{target} is far larger than a secret file")
        return decode_secret_file(data, passphrase), descriptor
    except OSError as error:
        os.close(descriptor)
        raise SecretFileError(f"The secret file {target} can't be read: {error.strerror}.") from error
    except BaseException:
        os.close(descriptor)
        raise


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether a file can be a secret file, sealed or not; ``True`` as well for what can't be read."""
    try:
        with Path(path).open("rb") as file:
            decode_secret_file(file.read(MAX_FILE + 1), None)
    except ProtocolError as error:
        return error.reason is not Reason.BAD_SECRET_FILE
    except OSError:
        pass
    return True


def load_or_create(
    path: str | os.PathLike[str], passphrase: str | None, entropy: Entropy
) -> tuple[LockedSecret, bool]:
    """Load the secret file, or create it with a fresh secret where there is none; whether it was created."""
    created = False
    if not Path(path).exists():
        # Should another process win the race, both go on with its file, and the lock decides.
        try:
            create(path, draw_secret(entropy, Purpose.IDENTITY_SECRET), passphrase, entropy)
            created = True
        except SecretFileError:
            if not Path(path).exists():
                raise
    return load(path, passphrase), created


def _check_access(target: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileError(f"{target} is not a plain file.")
    if status.st_uid != os.geteuid():
        raise SecretFileError(f"The secret file {target} belongs to another user of this computer.")
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        raise SecretFileError(
            f"The secret file {target} is open to other users of this computer (mode "
            f"{stat.S_IMODE(status.st_mode):04o}). If nobody else has read it, run: chmod 600 '{target}'"
        )


def _lock(target: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise
        raise ProtocolError(
            Reason.IDENTITY_IN_USE,
            f"a running node already uses {target}. Stop that one, or start this one with another file: "
            "two nodes with one secret would break each other's keys",
        ) from None
    try:
        same = os.path.samestat(os.stat(target), os.fstat(descriptor))  # noqa: PTH116 - a descriptor
    except FileNotFoundError:
        same = False
    if not same:
        raise SecretFileError(f"The secret file {target} was replaced while it was opened; try again.")
