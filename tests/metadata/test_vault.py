"""Secrets at rest: sealed, they say nothing; opened, they are what they were; changed, they are nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.vault import Vault, VaultError

pytest.importorskip("cryptography", reason="`make` installs it")

KEY = bytes(range(32))
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@given(st.text(max_size=60), st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_secret_comes_back(secret: str, access_key_id: str) -> None:
    """From another vault with the same key."""
    assert Vault(KEY).open(access_key_id, Vault(KEY).seal(access_key_id, secret)) == secret


def test_the_form() -> None:
    """As the module says: version, key, nonce, ciphertext, tag; never twice the same, and nothing of the secret."""
    one, two = (Vault(KEY).seal("AKIA1", SECRET) for _ in range(2))
    assert len(one) == len(two) == 73 and one[0] == 1
    assert one[:5] == two[:5] and one[5:17] != two[5:17] and one[17:] != two[17:]
    assert SECRET[:4].encode() not in one


def test_what_the_first_version_wrote_is_read() -> None:
    """Secrets outlive programs."""
    sealed = (
        "01630dcd292e9e8715b0b0a05f44fb5fb36081bb3aa0ac1bbef3741adeb78112b587acf6e5"
        "907033763a41a48747f3717d05d68ec03d9f10f7566dd4656e10dceef6c1f51f0e2d0413"
    )
    assert Vault(KEY).open("AKIAIOSFODNN7EXAMPLE", bytes.fromhex(sealed)) == SECRET


def test_a_secret_belongs_to_its_access_key() -> None:
    """Put in another's place it is damaged."""
    with pytest.raises(VaultError, match="of AKIA2 is damaged"):
        Vault(KEY).open("AKIA2", Vault(KEY).seal("AKIA1", SECRET))


def test_another_key() -> None:
    """Is told from damage."""
    with pytest.raises(VaultError, match="another key than that in secrets_key_file"):
        Vault(bytes(32)).open("AKIA1", Vault(KEY).seal("AKIA1", SECRET))


@pytest.mark.parametrize("at", [0, 1, 5, 16, 17, 72])
def test_a_changed_bit(at: int) -> None:
    """Wherever it is."""
    sealed = bytearray(Vault(KEY).seal("AKIA1", SECRET))
    sealed[at] ^= 1
    with pytest.raises(VaultError):
        Vault(KEY).open("AKIA1", bytes(sealed))


@pytest.mark.parametrize("size", range(0, 73, 8))
def test_what_was_cut_off(size: int) -> None:
    """Is never opened in part."""
    with pytest.raises(VaultError):
        Vault(KEY).open("AKIA1", Vault(KEY).seal("AKIA1", SECRET)[:size])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "64 hexadecimal digits"),
        (b"00" * 31, "64 hexadecimal digits"),
        (b"zz" * 32, "64 hexadecimal digits"),
        (b"\xff" * 64, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_has_no_key(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """The sentence says how to make one."""
    path = tmp_path / "secrets.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VaultError, match=sentence):
        Vault.load(path)


def test_a_file_that_has_a_key(tmp_path: Path) -> None:
    """A line's end after it does no harm."""
    path = tmp_path / "secrets.key"
    path.write_text(KEY.hex().upper() + "\n")
    assert Vault.load(path).open("AKIA1", Vault(KEY).seal("AKIA1", SECRET)) == SECRET
