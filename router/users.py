"""Whose signatures the router believes.

An access key is looked up once, when it is first seen. Those that are known are asked for again every second, so that a
user who is disabled is refused soon; a user is never enabled again, and a key never means another, so what is known can
only be out of date in that. When no metadata process answers, the router goes on with what it knows.
"""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import grpc
import structlog
from statorpb import cluster_pb2

from router.partition_map_cache import MetadataClient, model_error
from router.signature.canonical import Scope, signing_key
from server.model.errors import InternalServerError, RequestLimitExceededError, ServiceUnavailableError, StatorError
from server.model.limits import USERS_MAX

REFRESH_INTERVAL_S = 1.0
LOOK_UP_TIMEOUT_S = 1.0
LOOK_UP_PATIENCE_S = 3.0
LOOK_UP_KEYS_MAX = 100
WANTED_MAX = 1_000
"""Unknown access keys that wait to be looked up; one more is refused at once."""

_KEYS_KEPT_MAX = 4

log = structlog.get_logger()


class RootFileError(Exception):
    """The root access key cannot be had; the sentence says why."""


class User:
    """Who signs with an access key. `is_root`: may make users; comes from a file, not from the catalog."""

    def __init__(self, access_key_id: str, name: str, secret: str, *, is_disabled: bool, is_root: bool = False) -> None:
        self.access_key_id = access_key_id
        self.name = name
        self.is_disabled = is_disabled
        self.is_root = is_root
        self._secret = secret
        self._keys: dict[Scope, bytes] = {}

    def key(self, scope: Scope) -> bytes:
        """The user's signing key; kept for the scopes used last, since a day's requests share one."""
        key = self._keys.get(scope)
        if key is None:
            if len(self._keys) >= _KEYS_KEPT_MAX:
                del self._keys[next(iter(self._keys))]
            key = self._keys[scope] = signing_key(self._secret, scope)
        return key


def load_root(path: Path) -> User:
    """The root user, whose access key is in a TOML file. Raises RootFileError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RootFileError(f"the root access key cannot be read from {path}: {error}") from error
    access_key_id, secret = content.get("access_key_id"), content.get("secret_access_key")
    if not isinstance(access_key_id, str) or not isinstance(secret, str) or not access_key_id or len(secret) < 16:
        raise RootFileError(
            f"{path} must have an access_key_id and a secret_access_key of at least 16 characters, both as texts"
        )
    return User(access_key_id, "root", secret, is_disabled=False, is_root=True)


class UserCache:
    """Users by access key id: of those that there are, all that have been asked for. There are at most USERS_MAX."""

    def __init__(self, metadata: MetadataClient, root: User) -> None:
        self._metadata = metadata
        self._users = {root.access_key_id: root}
        self._wanted: dict[str, asyncio.Future[User | None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._refreshing = asyncio.create_task(self._refresh_forever())

    async def stop(self) -> None:
        for task in (self._asking, self._refreshing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def get(self, access_key_id: str) -> User | None:
        """The user, if it is known already."""
        return self._users.get(access_key_id)

    async def find(self, access_key_id: str, timeout_s: float) -> User | None:
        """The user; None: there is none, as a leader of the metadata service has confirmed. Raises
        ServiceUnavailableError when nobody can say within the time, RequestLimitExceededError when too many ask."""
        user = self._users.get(access_key_id)
        if user is not None:
            return user
        wanted = self._wanted.get(access_key_id)
        if wanted is None:
            if len(self._wanted) >= WANTED_MAX:
                raise RequestLimitExceededError("Too many unknown access keys are being looked up")
            wanted = self._wanted[access_key_id] = asyncio.get_running_loop().create_future()
            wanted.add_done_callback(_seen)
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(wanted)
        except TimeoutError as error:
            raise ServiceUnavailableError("no metadata process answers; an access key cannot be looked up") from error

    async def _ask(self) -> None:
        """One question at a time, however many want to know: guessing keys loads the metadata service no more."""
        while self._wanted:
            batch = {key: self._wanted.pop(key) for key in list(self._wanted)[:LOOK_UP_KEYS_MAX]}
            try:
                await self._look_up(list(batch), linearizable=False)
                unknown = [key for key in batch if key not in self._users]
                if unknown:
                    await self._look_up(unknown, linearizable=True)
            except StatorError as error:
                self._answer(batch, error)
            except Exception:
                log.exception("access keys could not be looked up")
                self._answer(batch, InternalServerError("an access key could not be looked up"))
            else:
                self._answer(batch, None)

    def _answer(self, batch: dict[str, asyncio.Future[User | None]], error: StatorError | None) -> None:
        """Tells everybody who is known; `error`: what to tell of the others, None: that they do not exist."""
        for key, wanted in batch.items():
            user = self._users.get(key)
            if user is None and error is not None:
                wanted.set_exception(type(error)(error.message))  # one object each: raising writes into it
            else:
                wanted.set_result(user)

    async def _look_up(self, access_key_ids: list[str], *, linearizable: bool) -> None:
        request = cluster_pb2.LookUpUsersRequest(access_key_ids=access_key_ids, linearizable=linearizable)
        try:
            response = await self._metadata.call(
                lambda stub: stub.LookUpUsers(request, timeout=LOOK_UP_TIMEOUT_S), LOOK_UP_PATIENCE_S
            )
        except grpc.aio.AioRpcError as error:
            raise model_error(error) from error
        assert isinstance(response, cluster_pb2.LookUpUsersResponse)
        for entry in response.users:
            known = self._users.get(entry.access_key_id)
            if known is not None:
                # A process that lags behind cannot enable anybody.
                known.is_disabled = known.is_disabled or entry.disabled
            else:
                self._users[entry.access_key_id] = User(
                    entry.access_key_id, entry.user_name, entry.secret_access_key, is_disabled=entry.disabled
                )

    async def _refresh_forever(self) -> None:
        """From the leader: a process that has lost the others would say for ever what once was true."""
        is_stale = False
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            known = [key for key, user in self._users.items() if not user.is_root and not user.is_disabled]
            assert len(known) <= USERS_MAX
            if not known:
                continue
            try:
                await self._look_up(known, linearizable=True)
                is_stale = False
            except StatorError as error:
                if not is_stale:
                    log.warning("users cannot be refreshed, those known go on", reason=error.message)
                is_stale = True
            except Exception:
                # Were this task to end, nobody would ever be disabled any more.
                log.exception("users could not be refreshed")


def _seen(future: asyncio.Future[User | None]) -> None:
    """Whoever asked may have left: an error that nobody looks at is no bug."""
    if not future.cancelled():
        future.exception()
