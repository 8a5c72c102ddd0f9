"""Users at the metadata service's door: made once, told their secret once, looked up by routers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from statorpb import admin_pb2, cluster_pb2

from metadata.users import LOOK_UP_KEYS_MAX, new_access_key_id, new_secret
from metadata.vault import Vault
from tests.metadata.test_service import NO_LEADER, Process, failure

pytest.importorskip("cryptography", reason="`make` installs it")

KEY = bytes(32)


@pytest.fixture
async def leader(tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(tmp_path, 1, vault=Vault(KEY))
    process.group.found()
    await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def follower(leader: Process, tmp_path: Path) -> AsyncIterator[Process]:
    follower = Process(tmp_path, 2, vault=Vault(KEY))
    follower.group.leads = False
    follower.group.other_leader = leader.address
    await follower.start()
    yield follower
    await follower.stop()


async def create(process: Process, name: str = "ann") -> admin_pb2.CreateUserResponse:
    response = await process.stub.CreateUser(admin_pb2.CreateUserRequest(user_name=name), timeout=5)
    assert isinstance(response, admin_pb2.CreateUserResponse)
    return response


async def look_up(process: Process, *keys: str, linearizable: bool = False) -> cluster_pb2.LookUpUsersResponse:
    request = cluster_pb2.LookUpUsersRequest(access_key_ids=keys, linearizable=linearizable)
    response = await process.stub.LookUpUsers(request, timeout=5)
    assert isinstance(response, cluster_pb2.LookUpUsersResponse)
    return response


def test_keys_look_like_awss() -> None:
    """To SDKs that check them, and to scanners that look for leaked ones; and no two are the same."""
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", new_access_key_id())
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", new_secret())
    assert len({new_access_key_id() for _ in range(100)}) == len({new_secret() for _ in range(100)}) == 100


async def test_a_user_is_made_and_found(leader: Process, follower: Process) -> None:
    """Through any process; the secret is what routers are told, and in the log and catalog it is sealed."""
    made = await create(follower)
    assert made.user.user_name == "ann" and not made.user.disabled and made.user.created_at_ms > 0
    found = await look_up(follower, made.user.access_key_id, "AKIA9", linearizable=True)
    entry = found.users[0]
    assert (entry.user_name, entry.secret_access_key) == ("ann", made.secret_access_key)
    assert list(found.unknown) == ["AKIA9"]
    assert (await look_up(leader, made.user.access_key_id)).users == found.users
    assert list((await look_up(follower, made.user.access_key_id)).unknown) == [made.user.access_key_id]  # lags behind
    assert made.secret_access_key not in repr(leader.group.machine.catalog)
    assert made.secret_access_key not in repr(leader.group.commands)


async def test_users_are_listed_and_disabled(leader: Process, follower: Process) -> None:
    """By name; no secret is ever told again, least of all a disabled one's."""
    made = {name: await create(leader, name) for name in ("bob", "ann")}
    disabled = await follower.stub.DisableUser(admin_pb2.DisableUserRequest(user_name="bob"), timeout=5)
    assert disabled.user.disabled
    listed = await follower.stub.ListUsers(admin_pb2.ListUsersRequest(), timeout=5)
    assert [(user.user_name, user.disabled) for user in listed.users] == [("ann", False), ("bob", True)]
    found = await look_up(leader, *(each.user.access_key_id for each in made.values()))
    assert {user.user_name: bool(user.secret_access_key) for user in found.users} == {"bob": False, "ann": True}


@pytest.mark.parametrize("name", ["", "a b", "ann/..", "ä", "x" * 65, "ann\n"])
async def test_a_name_that_cannot_be(leader: Process, name: str) -> None:
    """It ends up in logs, lists and policies."""
    code, message = await failure(create(leader, name))
    assert (code, message[:11]) == ("ValidationException", "A user name")
    assert not leader.group.commands


async def test_refusals_fill_no_log(leader: Process) -> None:
    """A name that is taken, a name that nobody has."""
    await create(leader)
    assert await failure(create(leader)) == ("ResourceInUseException", "User already exists: ann")
    assert len(leader.group.commands) == 1
    code, _ = await failure(leader.stub.DisableUser(admin_pb2.DisableUserRequest(user_name="bob"), timeout=5))
    assert code == "ResourceNotFoundException"


async def test_answers_are_made_while_the_lease_holds(leader: Process) -> None:
    """What was true a moment ago may not be so any more: a disabled user must not be let in for it."""
    made = await create(leader)
    leader.group.lapses_after = 1
    assert await failure(look_up(leader, made.user.access_key_id, linearizable=True)) == NO_LEADER
    leader.group.lapses_after = 1
    assert await failure(leader.stub.ListUsers(admin_pb2.ListUsersRequest(), timeout=5)) == NO_LEADER


async def test_a_process_without_the_key(leader: Process, tmp_path: Path) -> None:
    """Makes nobody, and says so of those whose secrets it cannot open; disabled users need none."""
    made = await create(leader)
    for vault, sentence in (
        (None, "has no secrets_key_file"),
        (Vault(bytes([1]) * 32), "has another secrets_key_file"),
    ):
        other = Process(tmp_path, 3, vault=vault)
        other.group.machine = leader.group.machine
        await other.start()
        code, message = await failure(look_up(other, made.user.access_key_id))
        assert code == "InternalServerError" and sentence in message
        if vault is None:
            code, message = await failure(create(other, "bob"))
            assert code == "ValidationException" and "secrets_key_file" in message
        await other.stop()


async def test_a_look_up_is_bounded(leader: Process) -> None:
    """More than anybody needs is refused."""
    code, _ = await failure(look_up(leader, *map(str, range(LOOK_UP_KEYS_MAX + 1))))
    assert code == "ValidationException"
