"""Runs a metadata process: `python -m metadata --name metadata-1 --zone zone-1 --node-id 1 --members ... --data DIR`"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import structlog
from statorpb import cluster_pb2_grpc, replication_pb2_grpc

from metadata.config import Config
from metadata.node import DamagedDataError, MetadataNode
from metadata.service import MetadataService
from metadata.vault import Vault, VaultError
from server.runtime import config as runtime_config
from server.runtime import lifecycle, telemetry
from server.runtime.grpc_server import AddressInUseError, start_server
from server.runtime.identity import Identity, IdentityError
from server.runtime.readiness import tell_ready

log = structlog.get_logger()


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Recovers, takes part in the group, serves until `stop` is set."""
    try:
        identity = Identity.load_or_create(
            Path(config.data), config.name, node_id=config.node_id, may_create=config.bootstrap
        )
    except IdentityError as error:
        lifecycle.die(lifecycle.EXIT_DAMAGED, str(error))
    try:
        vault = Vault.load(Path(config.secrets_key_file)) if config.secrets_key_file else None
    except VaultError as error:
        lifecycle.die(lifecycle.EXIT_CONFIGURATION, str(error))
    node = MetadataNode(config, identity, lambda sentence: lifecycle.die(lifecycle.EXIT_DISK, sentence))
    service = MetadataService(config, node, vault)
    try:
        server = await start_server(
            config.listen or config.own_address,
            [
                lambda grpc_server: cluster_pb2_grpc.add_MetadataServicer_to_server(service, grpc_server),
                lambda grpc_server: replication_pb2_grpc.add_ReplicationServicer_to_server(node.peers, grpc_server),
            ],
            ["stator.internal.v1.Metadata", "stator.internal.v1.Replication"],
        )
    except AddressInUseError as error:
        lifecycle.die(lifecycle.EXIT_ADDRESS_IN_USE, str(error))
    try:
        await node.start()
    except DamagedDataError as error:
        lifecycle.die(lifecycle.EXIT_DAMAGED, str(error))
    log.info("started", listen=config.listen or config.own_address, node_id=config.node_id, pid=os.getpid())

    async def announce() -> None:
        await node.wait_ready()
        await server.set_serving(True)
        log.info("serving", cluster_id=node.cluster_id)
        await tell_ready(server, lambda: node.is_ready)

    announcing = asyncio.create_task(announce())
    await stop.wait()
    announcing.cancel()
    await server.set_serving(False)
    await node.stop()
    await service.close()
    await server.stop(0.2)


def main() -> None:
    config = runtime_config.load_or_exit(Config, sys.argv[1:])
    telemetry.configure(config.name, config.zone, config.log_format, config.log_level)
    lifecycle.run(lambda stop: serve(config, stop), name=config.name)


if __name__ == "__main__":
    main()
