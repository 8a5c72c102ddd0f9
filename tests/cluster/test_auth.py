"""A cluster that verifies signatures: who gets in at which door, and who does not."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import grpc
import pytest
import stator
from botocore.config import Config
from botocore.exceptions import ClientError
from statorpb import items_pb2, tables_pb2

from tests.cluster.harness import LocalCluster, running_cluster

pytestmark = pytest.mark.cluster
pytest.importorskip("cryptography", reason="`make` installs it")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("auth"), "--auth") as cluster:
        yield cluster


def user_command(cluster: LocalCluster, *arguments: str) -> Any:
    """`stator user`, as whoever has the data folder."""
    os.environ["STATOR_DATA"] = str(cluster.data)
    try:
        return json.loads(cluster.run("user", *arguments, "--output", "json"))
    finally:
        del os.environ["STATOR_DATA"]


def disable(cluster: LocalCluster, name: str) -> None:
    os.environ["STATOR_DATA"] = str(cluster.data)
    try:
        cluster.run("user", "disable", name)
    finally:
        del os.environ["STATOR_DATA"]


def credentials_of(user: Any) -> stator.Credentials:
    return stator.Credentials(user["access_key_id"], user["secret_access_key"])


def boto(endpoint: str, credentials: stator.Credentials, service: str = "dynamodb", **options: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=options.pop("region_name", "eu-central-1"),
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}),
        **options,
    )


def refusal(client: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        client.list_tables()
    response = raised.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_a_user_may_do_everything_at_every_door(cluster: LocalCluster) -> None:
    """With boto3 at each router, whatever region it signs for, and with the SDK."""
    user = user_command(cluster, "create", "everywhere")
    credentials = credentials_of(user)
    with stator.Client(cluster.endpoints, credentials=credentials) as client:
        client.create_table("music", partition_key=("pk", "S"))
        client.wait_until_table_active("music")
        client.put_item("music", {"pk": "a", "v": 1})
        for endpoint in cluster.http_endpoints:
            found = boto(endpoint, credentials).get_item(TableName="music", Key={"pk": {"S": "a"}}, ConsistentRead=True)
            assert found["Item"]["v"] == {"N": "1"}
        boto(cluster.http_endpoints[0], credentials).put_item(TableName="music", Item={"pk": {"S": "b"}})
        assert client.get_item("music", {"pk": "b"}, consistent_read=True) == {"pk": "b"}


def test_streams_are_signed_for_too(cluster: LocalCluster) -> None:
    """By the same service's name; nobody else is told of them, or subscribes."""
    user = credentials_of(user_command(cluster, "create", "streams"))
    endpoint = cluster.http_endpoints[0]
    streams = boto(endpoint, user, "dynamodbstreams")
    assert "Streams" in streams.list_streams()
    wrong = stator.Credentials(user.access_key_id, "x" * 40)
    with pytest.raises(ClientError) as raised:
        boto(endpoint, wrong, "dynamodbstreams").list_streams()
    assert raised.value.response["Error"]["Code"] == "InvalidSignatureException"
    with grpc.insecure_channel(cluster.endpoints[0]) as channel:
        call: Any = channel.unary_stream("/stator.v1.Streams/Subscribe")
        with pytest.raises(grpc.RpcError) as refused:
            next(call(b"", timeout=10))
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_nobody_else_may_at_the_http_door(cluster: LocalCluster) -> None:
    """A made-up key, a wrong secret, a session token: with DynamoDB's errors."""
    user = credentials_of(user_command(cluster, "create", "http"))
    endpoint = cluster.http_endpoints[0]
    made_up = stator.Credentials("AKIAAAAAAAAAAAAAAAAA", user.secret_access_key)
    assert refusal(boto(endpoint, made_up)) == (400, "UnrecognizedClientException")
    wrong = stator.Credentials(user.access_key_id, "x" * 40)
    assert refusal(boto(endpoint, wrong)) == (400, "InvalidSignatureException")
    assert refusal(boto(endpoint, user, aws_session_token="token")) == (400, "UnrecognizedClientException")


def test_nobody_else_may_at_the_grpc_door(cluster: LocalCluster) -> None:
    """Neither a call nor a session; health checks say how the router is."""
    user = credentials_of(user_command(cluster, "create", "grpc"))
    for credentials in (stator.Credentials("AKIAAAAAAAAAAAAAAAAA", "x"), stator.Credentials(user.access_key_id, "x")):
        with stator.Client(cluster.endpoints, credentials=credentials) as client:
            with pytest.raises(stator.AccessDeniedError):
                client.describe_cluster()
            with pytest.raises(stator.AccessDeniedError):
                client.get_item("music", {"pk": "a"})
    with grpc.insecure_channel(cluster.endpoints[0]) as channel:
        call = channel.unary_unary(
            "/stator.v1.Tables/ListTables", tables_pb2.ListTablesRequest.SerializeToString, lambda data: data
        )
        with pytest.raises(grpc.RpcError) as raised:
            call(tables_pb2.ListTablesRequest(), timeout=10)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        stream = channel.stream_stream(
            "/stator.v1.Session/Converse", items_pb2.SessionRequestFrame.SerializeToString, lambda data: data
        )
        with pytest.raises(grpc.RpcError) as raised:
            list(stream(iter([items_pb2.SessionRequestFrame()]), timeout=10))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        health = channel.unary_unary("/grpc.health.v1.Health/Check", lambda data: data, lambda data: data)
        assert health(b"", timeout=10) == b"\x08\x01"


def test_a_signature_is_of_one_method(cluster: LocalCluster) -> None:
    """Who has heard a call cannot make another with it."""
    user = credentials_of(user_command(cluster, "create", "method"))
    with grpc.insecure_channel(cluster.endpoints[0]) as channel:
        call = channel.unary_unary("/stator.v1.Tables/ListTables", lambda data: data, lambda data: data)
        call(b"", timeout=10, metadata=user.sign("/stator.v1.Tables/ListTables"))
        with pytest.raises(grpc.RpcError) as raised:
            call(b"", timeout=10, metadata=user.sign("/stator.v1.Tables/DescribeTable"))
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_only_root_makes_users(cluster: LocalCluster) -> None:
    """Users may do everything else."""
    user = credentials_of(user_command(cluster, "create", "only"))
    with stator.Client(cluster.endpoints, credentials=user) as client:
        client.describe_cluster()
        for call in (lambda: client.create_user("more"), client.list_users, lambda: client.disable_user("only")):
            with pytest.raises(stator.AccessDeniedError, match="User: only is not authorized to perform: "):
                call()


def test_a_disabled_user_is_refused_within_seconds(cluster: LocalCluster) -> None:
    """At every door of every router that knows the user, on sessions that are open, too."""
    user = credentials_of(user_command(cluster, "create", "leaving"))
    clients = [boto(endpoint, user) for endpoint in cluster.http_endpoints]
    sessions = [stator.Client([endpoint], credentials=user) for endpoint in cluster.endpoints]
    for client in clients:
        client.list_tables()
    for session in sessions:
        session.get_item("music", {"pk": "a"})
    disable(cluster, "leaving")
    assert next(each for each in user_command(cluster, "list") if each["name"] == "leaving")["is_disabled"]
    deadline = time.monotonic() + 5
    for client in clients:
        while time.monotonic() < deadline:
            try:
                client.list_tables()
            except ClientError as error:
                assert error.response["Error"]["Code"] == "UnrecognizedClientException"
                break
        else:
            pytest.fail("a disabled user was let in at the HTTP door")
    for session in sessions:
        with pytest.raises(stator.AccessDeniedError):
            session.get_item("music", {"pk": "a"})
        session.close()


def test_without_metadata_those_known_go_on(cluster: LocalCluster) -> None:
    """Reads and writes need the metadata service for nothing; an access key that is new cannot be looked up."""
    user = credentials_of(user_command(cluster, "create", "patient"))
    new = credentials_of(user_command(cluster, "create", "new"))
    client, other = boto(cluster.http_endpoints[0], user), boto(cluster.http_endpoints[0], new)
    client.get_item(TableName="music", Key={"pk": {"S": "a"}})
    cluster.local("pause", "metadata")
    try:
        for _ in range(50):
            client.get_item(TableName="music", Key={"pk": {"S": "a"}})
        assert refusal(other) == (503, "ServiceUnavailableException")
    finally:
        cluster.local("resume", "metadata")


def test_secrets_are_on_no_disk(cluster: LocalCluster) -> None:
    """But the two files that only their owner can read."""
    user = user_command(cluster, "create", "secretive")
    needle = user["secret_access_key"].encode()
    for path in cluster.data.rglob("*"):
        if path.is_file():
            assert needle not in path.read_bytes(), path
    for name in ("secrets.key", "root_credentials.toml"):
        assert stat.S_IMODE((cluster.data / name).stat().st_mode) == 0o600


def test_it_stays_so_until_told_otherwise(tmp_path: Path) -> None:
    """A restart without the flag opens nothing; users are still there. With --no-auth anybody may."""
    cluster = LocalCluster(tmp_path / "data")
    cluster.up("--auth")
    try:
        user = credentials_of(user_command(cluster, "create", "stays"))
        anybody = stator.Credentials("any", "any")
        cluster.local("down")
        cluster.up()
        assert refusal(boto(cluster.http_endpoints[0], anybody)) == (400, "UnrecognizedClientException")
        boto(cluster.http_endpoints[0], user).list_tables()
        cluster.local("down")
        cluster.up("--no-auth")
        boto(cluster.http_endpoints[0], anybody).list_tables()
    finally:
        cluster.local("down")
