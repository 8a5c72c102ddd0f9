"""router/users.py: who is known, who is asked for, and how soon a router learns that somebody is disabled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from statorpb import cluster_pb2

from router import users as users_module
from router.partition_map_cache import MetadataClient
from router.signature.canonical import Scope, signing_key
from router.users import LOOK_UP_KEYS_MAX, WANTED_MAX, RootFileError, User, UserCache, load_root
from server.model.errors import InternalServerError, RequestLimitExceededError, ServiceUnavailableError
from tests.clients.waiting import until

ROOT = User("AKIAROOT", "root", "root's secret of some length", is_disabled=False, is_root=True)


class FakeMetadata(MetadataClient):
    """A metadata service that knows `users`; the process that is asked may know only `known_here` of them. Nobody
    answers while `is_up` is not set."""

    def __init__(self, *access_key_ids: str) -> None:
        self.users = {
            key: cluster_pb2.UserKey(access_key_id=key, user_name=f"name of {key}", secret_access_key=f"its {key}")
            for key in access_key_ids
        }
        self.known_here: set[str] | None = None
        self.look_ups: list[cluster_pb2.LookUpUsersRequest] = []
        self.failures = 0
        self.is_up = asyncio.Event()
        self.is_up.set()

    async def call(self, invoke: Callable[[Any], Awaitable[object]], deadline_s: float) -> object:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("a bug")
        if not self.is_up.is_set():
            raise ServiceUnavailableError("no metadata process answers")
        return await invoke(self)

    async def LookUpUsers(
        self, request: cluster_pb2.LookUpUsersRequest, timeout: float
    ) -> cluster_pb2.LookUpUsersResponse:
        self.look_ups.append(request)
        await asyncio.sleep(0)
        known = self.users.keys() if request.linearizable or self.known_here is None else self.known_here
        return cluster_pb2.LookUpUsersResponse(
            users=[self.users[key] for key in request.access_key_ids if key in known and key in self.users],
            unknown=[key for key in request.access_key_ids if key not in known],
        )


@pytest_asyncio.fixture
async def metadata() -> FakeMetadata:
    return FakeMetadata("AKIA1", "AKIA2")


@pytest_asyncio.fixture
async def cache(metadata: FakeMetadata) -> AsyncIterator[UserCache]:
    cache = UserCache(metadata, ROOT)
    yield cache
    await cache.stop()


async def test_a_user_is_looked_up_once(metadata: FakeMetadata, cache: UserCache) -> None:
    """Those who ask at the same time share one question, and then it is known."""
    assert cache.get("AKIA1") is None
    one, two = await asyncio.gather(cache.find("AKIA1", 5), cache.find("AKIA1", 5))
    assert one is not None and one is two is cache.get("AKIA1") is await cache.find("AKIA1", 5)
    assert (one.name, one.is_disabled, one.is_root) == ("name of AKIA1", False, False)
    assert len(metadata.look_ups) == 1


async def test_root_is_known(metadata: FakeMetadata, cache: UserCache) -> None:
    """Without a question: it has to make the first user."""
    assert await cache.find("AKIAROOT", 5) is cache.get("AKIAROOT") is ROOT
    assert not metadata.look_ups


async def test_who_is_unknown_is_confirmed_by_a_leader(metadata: FakeMetadata, cache: UserCache) -> None:
    """And asked for again the next time: somebody may have been made since."""
    assert await cache.find("AKIA9", 5) is None
    assert [each.linearizable for each in metadata.look_ups] == [False, True]
    metadata.known_here = set()
    metadata.users["AKIA9"] = cluster_pb2.UserKey(access_key_id="AKIA9", user_name="new", secret_access_key="s")
    user = await cache.find("AKIA9", 5)
    assert user is not None and user.name == "new"


async def test_guessers_share_questions(metadata: FakeMetadata, cache: UserCache) -> None:
    """Many unknown keys are asked for together; too many are refused; those that exist are found among them."""
    asked = [asyncio.create_task(cache.find(f"AKIA-{number}", 5)) for number in range(WANTED_MAX - 1)]
    asked.append(asyncio.create_task(cache.find("AKIA2", 5)))
    await asyncio.sleep(0)
    with pytest.raises(RequestLimitExceededError):
        await cache.find("one more", 5)
    found = await asyncio.gather(*asked)
    assert [user.name for user in found if user is not None] == ["name of AKIA2"]
    assert len(metadata.look_ups) == 2 * WANTED_MAX // LOOK_UP_KEYS_MAX
    assert max(len(each.access_key_ids) for each in metadata.look_ups) <= LOOK_UP_KEYS_MAX


async def test_nobody_answers(metadata: FakeMetadata, cache: UserCache) -> None:
    """Who is known is known; who is not can be asked for again later."""
    known = await cache.find("AKIA1", 5)
    metadata.is_up.clear()
    assert await cache.find("AKIA1", 5) is known
    with pytest.raises(ServiceUnavailableError):
        await cache.find("AKIA2", 5)
    metadata.is_up.set()
    assert await cache.find("AKIA2", 5) is not None


async def test_a_questioner_has_its_own_time(metadata: FakeMetadata, cache: UserCache) -> None:
    """However long the question takes."""
    with pytest.raises(ServiceUnavailableError, match="an access key cannot be looked up"):
        await cache.find("AKIA1", 0.0)
    assert await cache.find("AKIA1", 5) is not None


async def test_a_disabled_user_is_noticed(
    metadata: FakeMetadata, cache: UserCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By asking the leader again and again, also after nobody has answered for a while. The object is the same, so that
    whoever holds it sees it; and nobody is ever enabled again."""
    monkeypatch.setattr(users_module, "REFRESH_INTERVAL_S", 0.001)
    user, other = await cache.find("AKIA1", 5), await cache.find("AKIA2", 5)
    assert user is not None and other is not None
    metadata.is_up.clear()
    cache.start()
    await asyncio.sleep(0.01)
    metadata.users["AKIA1"].disabled = True
    metadata.is_up.set()
    await until(lambda: user.is_disabled)
    assert not other.is_disabled
    assert metadata.look_ups[-1].linearizable and "AKIAROOT" not in metadata.look_ups[-1].access_key_ids
    metadata.users["AKIA1"].disabled = False
    await cache._look_up(["AKIA1"], linearizable=False)
    assert user.is_disabled


async def test_a_bug_costs_an_answer(metadata: FakeMetadata, cache: UserCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is told; and the refreshing goes on, or nobody would ever be disabled any more."""
    monkeypatch.setattr(users_module, "REFRESH_INTERVAL_S", 0.001)
    user = await cache.find("AKIA1", 5)
    assert user is not None
    metadata.failures = 3
    cache.start()
    with pytest.raises(InternalServerError):
        await cache.find("AKIA2", 5)
    metadata.users["AKIA1"].disabled = True
    await until(lambda: user.is_disabled)
    assert metadata.failures == 0
    assert await cache.find("AKIA2", 5) is not None


def test_signing_keys_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the last scopes: a client cannot fill the memory with others."""
    user = User("AKIA1", "ann", "secret", is_disabled=False)
    scopes = [Scope("20261125", f"region-{number}") for number in range(100)]
    for scope in scopes:
        assert user.key(scope) == user.key(scope) == signing_key("secret", scope)
    assert list(user._keys) == scopes[-4:]


def test_the_file_of_root(tmp_path: Path) -> None:
    """Has an access key."""
    path = tmp_path / "root.toml"
    path.write_text('access_key_id = "AKIAROOT"\nsecret_access_key = "0123456789abcdef"\n')
    root = load_root(path)
    assert (root.access_key_id, root.name, root.is_root, root.is_disabled) == ("AKIAROOT", "root", True, False)


@pytest.mark.parametrize(
    "content",
    [None, "", "access_key_id = ", 'access_key_id = "AKIAROOT"\nsecret_access_key = "short"', "access_key_id = 1"],
)
def test_a_file_without_an_access_key(tmp_path: Path, content: str | None) -> None:
    """The sentence names it."""
    path = tmp_path / "root.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RootFileError, match=r"root\.toml"):
        load_root(path)
