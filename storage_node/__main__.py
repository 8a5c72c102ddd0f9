"""Runs a storage node: `python -m storage_node --name storage-1 --zone zone-1 --data DIR --metadata host:port,...`"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import structlog
from statorpb import cluster_pb2, partition_pb2_grpc, replication_pb2_grpc

from server.runtime import config as runtime_config
from server.runtime import lifecycle, telemetry
from server.runtime.grpc_server import AddressInUseError, GrpcServer, start_server
from server.runtime.identity import Identity, IdentityError
from server.runtime.readiness import tell_ready
from storage_node.attendance import Attendance, NodeRemovedError, RegistrationRefusedError, register
from storage_node.config import Config
from storage_node.node import DamagedDataError, StorageNode
from storage_node.service import PartitionService

STREAMS_END_S = 0.1
"""What a node that stops leaves its streams for the last answers."""

log = structlog.get_logger()


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Registers, recovers, serves until `stop` is set."""
    try:
        identity = Identity.load_or_create(Path(config.data), config.name)
    except IdentityError as error:
        lifecycle.die(lifecycle.EXIT_DAMAGED, str(error))

    def fail(sentence: str) -> None:
        lifecycle.die(lifecycle.EXIT_DISK, sentence)

    def removed(sentence: str) -> None:
        lifecycle.die(lifecycle.EXIT_REMOVED, sentence)

    advertised = config.advertise or config.listen
    if identity.node_id == 0:
        try:
            response = await _register(config, identity, advertised, stop)
        except RegistrationRefusedError as error:
            lifecycle.die(lifecycle.EXIT_CONFIGURATION, str(error))
        except NodeRemovedError as error:
            removed(str(error))
        if response is None:
            return
        identity = identity.joined(response.node_id, response.cluster_id)
    node = StorageNode(config, identity, fail)
    try:
        server = await _listen(config, node)
    except AddressInUseError as error:
        lifecycle.die(lifecycle.EXIT_ADDRESS_IN_USE, str(error))
    try:
        node.last_life.watch()
        await node.start()
    except DamagedDataError as error:
        lifecycle.die(lifecycle.EXIT_DAMAGED, str(error))
    except OSError as error:
        lifecycle.die(lifecycle.EXIT_DISK, f"the data folder {config.data} cannot be used: {error}")
    attendance = Attendance(node, config.metadata, removed)
    attendance.start()
    # A node that has served before serves again whether the metadata service is there or not; its address is
    # brought up to date as soon as it is.
    refresh = asyncio.create_task(_register(config, identity, advertised, stop))
    refresh.add_done_callback(_registered_again)
    await server.set_serving(True)
    readiness = asyncio.create_task(tell_ready(server, lambda: node.is_ready))
    readiness.add_done_callback(node.background_ended)
    log.info("serving", listen=config.listen, node_id=identity.node_id, pid=os.getpid())
    await stop.wait()
    readiness.cancel()
    await server.set_serving(False)
    node.listener.stop()
    refresh.cancel()
    await node.hand_over()
    await attendance.stop()
    await server.stop(STREAMS_END_S)
    await node.stop()


async def _listen(config: Config, node: StorageNode) -> GrpcServer:
    """Serves gRPC, and takes connections for frames."""
    await node.listener.start(config.frame_listen or f"{config.listen.rpartition(':')[0]}:0")
    service = PartitionService(node)
    return await start_server(
        config.listen,
        [
            lambda server: partition_pb2_grpc.add_PartitionsServicer_to_server(service, server),
            lambda server: replication_pb2_grpc.add_ReplicationServicer_to_server(node.peers, server),
        ],
        ["stator.internal.v1.Partitions", "stator.internal.v1.Replication"],
    )


async def _register(
    config: Config, identity: Identity, advertised: str, stop: asyncio.Event
) -> cluster_pb2.RegisterNodeResponse | None:
    """Registers, unless the process is told to stop before anybody answers."""
    registering = asyncio.create_task(
        register(config.metadata, config.name, config.zone, advertised, identity.data_id, identity.node_id)
    )
    stopping = asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait({registering, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return registering.result() if registering in done else None


def _registered_again(task: asyncio.Task[cluster_pb2.RegisterNodeResponse | None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        is_removed = isinstance(error, NodeRemovedError)
        lifecycle.die(lifecycle.EXIT_REMOVED if is_removed else lifecycle.EXIT_CONFIGURATION, str(error))


def main() -> None:
    config = runtime_config.load_or_exit(Config, sys.argv[1:])
    telemetry.configure(config.name, config.zone, config.log_format, config.log_level)
    lifecycle.run(lambda stop: serve(config, stop), name=config.name)


if __name__ == "__main__":
    main()
