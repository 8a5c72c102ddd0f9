"""The two secrets of a local cluster with --auth, each in a file of its data folder that only its owner can read."""

import base64
import os
import secrets
import tomllib
from pathlib import Path

from stator.credentials import Credentials
from stator.local.errors import DamagedFolderError

SECRETS_KEY_FILE = "secrets.key"
ROOT_FILE = "root_credentials.toml"
KEY_FILES = (SECRETS_KEY_FILE, ROOT_FILE, "secrets.new", "root_credentials.new")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def make_keys(folder: Path, *, may_be_new: bool) -> None:
    """Makes the key that seals users' secrets, and the root access key, unless they are there. Raises
    DamagedFolderError, also where they were once: with another key no secret could be opened any more."""
    access_key_id = "AKIA" + "".join(secrets.choice(_LETTERS) for _ in range(16))
    secret = base64.b64encode(secrets.token_bytes(30)).decode()
    contents = {
        SECRETS_KEY_FILE: secrets.token_hex(32) + "\n",
        ROOT_FILE: f'access_key_id = "{access_key_id}"\nsecret_access_key = "{secret}"\n',
    }
    missing = [name for name in contents if not (folder / name).exists()]
    if missing and not may_be_new:
        raise DamagedFolderError(
            f"{' and '.join(missing)} of the cluster in {folder} cannot be found: put a copy back. Without "
            f"{SECRETS_KEY_FILE} no user's secret can be opened."
        )
    try:
        for name, content in contents.items():
            if name in missing:
                _write(folder / name, content)
    except OSError as error:
        raise DamagedFolderError(f"The keys of the cluster cannot be made in {folder}: {error}.") from error


def root_credentials(folder: Path) -> Credentials:
    """The root access key of the cluster in a folder. Raises DamagedFolderError."""
    path = folder / ROOT_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return Credentials(str(content["access_key_id"]), str(content["secret_access_key"]))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise DamagedFolderError(f"The root access key cannot be read from {path} ({error}).") from error


def _write(path: Path, content: str) -> None:
    """In one step, and durable: a key that is half there would be taken for the whole."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
