"""Runs a request router: `python -m router --name router-1 --zone zone-1 --metadata host:port,...`"""

from __future__ import annotations

import asyncio
import sys
import zlib
from pathlib import Path

import grpc
import structlog
from statorpb import cluster_pb2

from router.authentication import Authentication, GrpcAuthentication
from router.config import Config
from router.dispatcher import Dispatcher
from router.grpc_door import AdminService, ItemsService, SessionService
from router.grpc_streams import StreamsService
from router.grpc_tables import TablesService
from router.halt_watch import HaltWatch
from router.http_door import HttpDoor
from router.partition_map_cache import MetadataClient, PartitionMapCache
from router.signed_http_door import SignedHttpDoor
from router.storage_client import StorageClient
from router.users import RootFileError, UserCache, load_root
from server.model.errors import ServiceUnavailableError
from server.runtime import config as runtime_config
from server.runtime import lifecycle, telemetry
from server.runtime.grpc_server import AddressInUseError, start_server

log = structlog.get_logger()


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Opens both doors and serves until `stop` is set."""
    metadata = MetadataClient(config.metadata, zlib.crc32(config.name.encode()))
    cache = PartitionMapCache(metadata)
    storage = StorageClient(cache, config.zone)
    dispatcher = Dispatcher(cache, storage, metadata)
    dispatcher.http_address = config.http_listen
    timeout_s = config.request_timeout_ms / 1000
    halts = HaltWatch()
    halts.start(asyncio.get_running_loop())
    items = ItemsService(dispatcher, timeout_s, halts)
    tables = TablesService(dispatcher, timeout_s)
    streams = StreamsService(dispatcher, timeout_s)
    admin = AdminService(dispatcher, timeout_s)
    session = SessionService(dispatcher, timeout_s)
    users = _users(config, metadata)
    authentication = Authentication(users, config.region) if users is not None else None
    try:
        server = await start_server(
            config.grpc_listen,
            [items.add_to, tables.add_to, streams.add_to, admin.add_to, session.add_to],
            [f"stator.v1.{name}" for name in ("Items", "Tables", "Streams", "Session", "Admin")],
            [GrpcAuthentication(authentication)] if authentication is not None else [],
        )
    except AddressInUseError as error:
        lifecycle.die(lifecycle.EXIT_ADDRESS_IN_USE, str(error))
    door = (
        SignedHttpDoor(dispatcher, timeout_s, authentication, region=config.region, halts=halts)
        if authentication is not None
        else HttpDoor(dispatcher, timeout_s, region=config.region, halts=halts)
    )
    host, _, port = config.http_listen.rpartition(":")
    try:
        await door.start(host, int(port))
    except OSError as error:
        lifecycle.die(
            lifecycle.EXIT_ADDRESS_IN_USE, f"cannot listen on {config.http_listen}: {error.strerror or error}"
        )
    cache.start()
    dispatcher.transactions.start()
    if users is not None:
        users.start()
    await _wait_until_metadata_answers(metadata, stop)
    await server.set_serving(True)
    await server.set_ready(True)
    log.info("serving", http=config.http_listen, grpc=config.grpc_listen)
    await stop.wait()
    await server.set_serving(False)
    streams.stop()
    grace_s = config.stop_grace_ms / 1000
    await asyncio.gather(door.stop(grace_s), server.stop(min(grace_s, 0.5)))
    halts.stop()
    await dispatcher.transactions.stop()
    await cache.stop()
    if users is not None:
        await users.stop()
    await storage.close()
    await metadata.close()


def _users(config: Config, metadata: MetadataClient) -> UserCache | None:
    """None: nobody is asked who they are."""
    if not config.auth:
        return None
    try:
        return UserCache(metadata, load_root(Path(config.root_credentials_file)))
    except RootFileError as error:
        lifecycle.die(lifecycle.EXIT_CONFIGURATION, str(error))


async def _wait_until_metadata_answers(metadata: MetadataClient, stop: asyncio.Event) -> None:
    """A router that knows nobody can serve nobody: it is ready once a metadata process has answered."""
    request = cluster_pb2.LookUpTablesRequest()
    while not stop.is_set():
        try:
            await metadata.call(lambda stub: stub.LookUpTables(request, timeout=1.0), 2.0)
            return
        except (ServiceUnavailableError, grpc.aio.AioRpcError) as error:
            log.debug("no metadata process answers yet", reason=str(error))


def main() -> None:
    config = runtime_config.load_or_exit(Config, sys.argv[1:])
    telemetry.configure(config.name, config.zone, config.log_format, config.log_level)
    lifecycle.run(lambda stop: serve(config, stop), name=config.name)


if __name__ == "__main__":
    main()
