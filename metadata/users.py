"""Users and their access keys: made, listed, disabled, and looked up by routers."""

from __future__ import annotations

import base64
import re
import secrets

import structlog
from statorpb import admin_pb2, cluster_pb2

from metadata.catalog.catalog import User
from metadata.catalog.commands import CreateUser, DisableUser
from metadata.group import CatalogGroup
from metadata.vault import Vault, VaultError
from server.model.errors import InternalServerError, ValidationError
from server.runtime.clock import wall_ms

LOOK_UP_KEYS_MAX = 1_000
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

log = structlog.get_logger()


def new_access_key_id() -> str:
    """20 characters, as AWS's SDKs and secret scanners know them."""
    return "AKIA" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(16))


def new_secret() -> str:
    """40 characters: 30 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(30)).decode()


class Users:
    """The users in the catalog; `vault` None: there is no key to seal secrets with, so none can be made."""

    def __init__(self, group: CatalogGroup, vault: Vault | None) -> None:
        self._group = group
        self._vault = vault

    async def create(self, request: admin_pb2.CreateUserRequest) -> admin_pb2.CreateUserResponse:
        """At the leader. The answer has the secret; nobody is told it again."""
        if self._vault is None:
            raise ValidationError(
                "The metadata processes have no key to seal secrets with: start them with secrets_key_file "
                "(`stator local up --auth` does)"
            )
        if not _NAME.fullmatch(request.user_name):
            raise ValidationError("A user name has 1 to 64 letters, digits or characters of _+=,.@-")
        access_key_id, secret = new_access_key_id(), new_secret()
        self._group.machine.catalog.check_new_user(request.user_name, access_key_id)  # before it fills the log
        sealed = self._vault.seal(access_key_id, secret)
        created_at_ms = wall_ms()
        user = await self._group.propose(CreateUser(request.user_name, access_key_id, sealed, created_at_ms))
        assert isinstance(user, User)
        return admin_pb2.CreateUserResponse(user=_describe(user), secret_access_key=secret)

    def list(self) -> admin_pb2.ListUsersResponse:
        """Everybody, by name."""
        users = self._group.machine.catalog.users
        return admin_pb2.ListUsersResponse(users=[_describe(user) for _, user in sorted(users.items())])

    async def disable(self, request: admin_pb2.DisableUserRequest) -> admin_pb2.DisableUserResponse:
        """At the leader."""
        user = await self._group.propose(DisableUser(request.user_name))
        assert isinstance(user, User)
        return admin_pb2.DisableUserResponse(user=_describe(user))

    def look_up(self, request: cluster_pb2.LookUpUsersRequest) -> cluster_pb2.LookUpUsersResponse:
        """What this process knows of access keys. Raises InternalServerError for a secret that it cannot open."""
        if len(request.access_key_ids) > LOOK_UP_KEYS_MAX:
            raise ValidationError(f"at most {LOOK_UP_KEYS_MAX} access keys are looked up at once")
        response = cluster_pb2.LookUpUsersResponse(catalog_slot=self._group.machine.slot)
        users = self._group.machine.catalog.users_by_key
        for access_key_id in request.access_key_ids:
            user = users.get(access_key_id)
            if user is None:
                response.unknown.append(access_key_id)
                continue
            entry = response.users.add(access_key_id=access_key_id, user_name=user.name, disabled=user.is_disabled)
            if not user.is_disabled:
                entry.secret_access_key = self._secret_of(user)
        return response

    def _secret_of(self, user: User) -> str:
        if self._vault is None:
            raise InternalServerError("a metadata process has no secrets_key_file, but there are users")
        try:
            return self._vault.open(user.access_key_id, user.sealed_secret)
        except VaultError as error:
            log.error("a secret cannot be opened", user=user.name, reason=str(error))
            raise InternalServerError("a metadata process has another secrets_key_file than before") from error


def _describe(user: User) -> admin_pb2.User:
    return admin_pb2.User(
        user_name=user.name,
        access_key_id=user.access_key_id,
        disabled=user.is_disabled,
        created_at_ms=user.created_at_ms,
    )
