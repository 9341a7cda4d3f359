"""The secret file: written once and whole, for its owner only, used by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tom_ref.crypto import Secret32
from tom_ref.drivers import secret_file
from tom_ref.drivers.errors import SecretFileError
from tom_ref.drivers.system import DeterministicEntropy, system_entropy
from tom_ref.errors import ProtocolError, Reason

SECRET = Secret32(bytes(range(32)))
ENTROPY = DeterministicEntropy(bytes(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.tom"


def test_a_created_file_holds_the_secret_and_only_its_owner_may_read_it(path: Path) -> None:
    old = os.umask(0)
    try:
        secret_file.create(path, SECRET, None, ENTROPY)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name], "no draft stays behind"
    with secret_file.load(path) as loaded:
        assert loaded.secret == SECRET
        assert SECRET.reveal().hex() not in repr(loaded)


def test_an_existing_file_is_never_overwritten(path: Path) -> None:
    path.write_bytes(b"mine")
    with pytest.raises(SecretFileError, match="exists already"):
        secret_file.create(path, SECRET, None, ENTROPY)
    assert path.read_bytes() == b"mine"
    assert len(list(path.parent.iterdir())) == 1


def test_a_failing_disk_leaves_no_file_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SecretFileError, match="No space left"):
        secret_file.create(path, SECRET, None, ENTROPY)
    assert list(path.parent.iterdir()) == []


def test_the_passphrase_is_needed_and_must_be_right(path: Path) -> None:
    secret_file.create(path, SECRET, "correct horse", ENTROPY)
    before = path.read_bytes()
    assert SECRET.reveal() not in before
    for wrong in (None, "wrong"):
        with pytest.raises(ProtocolError) as refused:
            secret_file.load(path, wrong)
        assert refused.value.reason is Reason.WRONG_PASSPHRASE
    with secret_file.load(path, "correct horse") as loaded:
        assert loaded.secret == SECRET
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o755])
def test_a_file_open_to_others_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    secret_file.create(path, SECRET, None, ENTROPY)
    path.chmod(mode)
    with pytest.raises(SecretFileError, match=rf"mode {mode:04o}.*chmod 600"):
        secret_file.load(path)
    assert path.stat().st_mode & 0o777 == mode


def test_an_owner_may_take_away_his_own_right_to_write(path: Path) -> None:
    secret_file.create(path, SECRET, None, ENTROPY)
    path.chmod(0o400)
    with secret_file.load(path) as loaded:
        assert loaded.secret == SECRET


def test_corrupt_truncated_and_foreign_files_are_refused_and_untouched(path: Path) -> None:
    secret_file.create(path, SECRET, None, ENTROPY)
    whole = path.read_bytes()
    bad = [b"", whole[:-1], whole + b"\0", b"-----BEGIN OPENSSH PRIVATE KEY-----\n" * 9, bytes(100_000)]
    bad += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for data in bad:
        path.write_bytes(data)
        with pytest.raises(ProtocolError) as refused:
            secret_file.load(path)
        assert refused.value.reason is Reason.BAD_SECRET_FILE
        assert path.read_bytes() == data


def test_missing_files_folders_pipes_and_other_owners_are_refused(path: Path) -> None:
    with pytest.raises(SecretFileError, match="no secret file"):
        secret_file.load(path)
    with pytest.raises(SecretFileError, match="not a plain file"):
        secret_file.load(path.parent)
    os.mkfifo(path, 0o600)
    with pytest.raises(SecretFileError, match="not a plain file"):
        secret_file.load(path)
    path.unlink()
    if os.geteuid() == 0:
        secret_file.create(path, SECRET, None, ENTROPY)
        os.chown(path, 65534, 65534)
        with pytest.raises(SecretFileError, match="another user"):
            secret_file.load(path)


def test_one_secret_serves_one_node_at_a_time_whatever_the_path(path: Path) -> None:
    secret_file.create(path, SECRET, None, ENTROPY)
    other = path.with_name("other.tom")
    other.symlink_to(path)
    with secret_file.load(path):
        for name in (path, other):
            with pytest.raises(ProtocolError) as refused:
                secret_file.load(name)
            assert refused.value.reason is Reason.IDENTITY_IN_USE
            assert "Stop that one" in refused.value.detail
    secret_file.load(other).close()


def test_another_process_is_kept_out_until_the_first_ends_however_it_ends(path: Path) -> None:
    """TOM-ID-044."""
    secret_file.create(path, SECRET, None, ENTROPY)
    script = textwrap.dedent(
        f"""
        import sys
        from tom_ref.drivers import secret_file
        held = secret_file.load({str(path)!r})
        print("held", flush=True)
        sys.stdin.read()
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(ProtocolError) as refused:
            secret_file.load(path)
        assert refused.value.reason is Reason.IDENTITY_IN_USE
        child.kill()
        child.wait()
        secret_file.load(path).close()


def test_load_or_create_creates_once(path: Path) -> None:
    first, created = secret_file.load_or_create(path, None, system_entropy)
    assert created
    first.close()
    again, created = secret_file.load_or_create(path, None, system_entropy)
    assert not created
    assert again.secret == first.secret
    again.close()


def test_a_refused_load_keeps_no_lock(path: Path) -> None:
    secret_file.create(path, SECRET, None, ENTROPY)
    whole = path.read_bytes()
    path.write_bytes(b"broken")
    with pytest.raises(ProtocolError):
        secret_file.load(path)
    path.write_bytes(whole)
    secret_file.load(path).close()


def test_what_is_no_secret_file_is_told_from_what_is_sealed_or_not_to_be_read(path: Path) -> None:
    secret_file.create(path, SECRET, "correct horse", ENTROPY)
    assert secret_file.is_one(path)
    assert secret_file.is_one(path.parent), "a folder can't be read: whoever opens it says so"
    other = path.parent / "README.md"
    other.write_text("hello", encoding="utf-8")
    assert not secret_file.is_one(other)
    path.write_bytes(path.read_bytes()[:-1])
    assert not secret_file.is_one(path)
