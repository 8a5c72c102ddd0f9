"""The secrets of access keys at rest: sealed with AES-256-GCM under the cluster's key, which is in a file of its own.

Signatures are made with the secret itself, so a hash of it will not do. A sealed secret is: version (1 byte, 1), the
first 4 bytes of the key's SHA-256, a random nonce (12 bytes), then the ciphertext with its tag (16 bytes). The access
key id is authenticated with it: no secret can be put in another's place. A secret of 40 characters has 73 bytes.

The file has the key as 64 hexadecimal digits; `openssl rand -hex 32` makes one. Every metadata process needs the same.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

VERSION = 1
KEY_BYTES = 32
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_KEY_AT = 1
_NONCE_AT = _KEY_AT + _KEY_ID_BYTES
_CONTENT_AT = _NONCE_AT + _NONCE_BYTES


class VaultError(Exception):
    """The key cannot be used, or a secret not be opened; the sentence says why."""


class Vault:
    """Seals and opens secrets with one key. Raises VaultError where the package `cryptography` is missing."""

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise VaultError(
                "secrets_key_file needs the package cryptography: pip install 'stator[server]' brings it"
            ) from error
        assert len(key) == KEY_BYTES
        self._cipher: Any = AESGCM(key)
        self._head = bytes((VERSION,)) + hashlib.sha256(key).digest()[:_KEY_ID_BYTES]

    @classmethod
    def load(cls, path: Path) -> Vault:
        """The vault whose key is in a file. Raises VaultError."""
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise VaultError(f"the key of the secrets cannot be read from {path}: {error}") from error
        if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
            raise VaultError(f"{path} must have 64 hexadecimal digits: `openssl rand -hex 32` makes a key")
        return cls(bytes.fromhex(text))

    def seal(self, access_key_id: str, secret: str) -> bytes:
        """A secret as it is kept. Never twice the same."""
        nonce = os.urandom(_NONCE_BYTES)
        content: bytes = self._cipher.encrypt(nonce, secret.encode(), _context(access_key_id))
        return self._head + nonce + content

    def open(self, access_key_id: str, sealed: bytes) -> str:
        """The secret that was sealed for an access key. Raises VaultError if it was sealed with another key, for
        another access key, or has been changed."""
        from cryptography.exceptions import InvalidTag

        if sealed[:_NONCE_AT] != self._head:
            raise VaultError(f"the secret of {access_key_id} was sealed with another key than that in secrets_key_file")
        nonce, content = sealed[_NONCE_AT:_CONTENT_AT], sealed[_CONTENT_AT:]
        try:
            secret: bytes = self._cipher.decrypt(nonce, content, _context(access_key_id))
        except (InvalidTag, ValueError) as error:
            raise VaultError(f"the sealed secret of {access_key_id} is damaged") from error
        return secret.decode()


def _context(access_key_id: str) -> bytes:
    return b"stator access key 1\0" + access_key_id.encode()
