"""Storage nodes, as operators deal with them: drained, put to use again, removed."""

from __future__ import annotations

import structlog
from statorpb import admin_pb2

from metadata.catalog.catalog import Node
from metadata.catalog.commands import DrainNode, RemoveNode
from metadata.descriptions import describe_node
from metadata.group import CatalogGroup
from server.model.errors import ResourceInUseError

log = structlog.get_logger()


class Nodes:
    """The storage nodes in the catalog."""

    def __init__(self, group: CatalogGroup) -> None:
        self._group = group

    async def drain(self, request: admin_pb2.DrainNodeRequest) -> admin_pb2.DrainNodeResponse:
        """At the leader. Returns at once: the reconciler moves what the node holds."""
        node = await self._group.propose(DrainNode(request.name, request.cancel))
        assert isinstance(node, Node)
        log.info("a node is put to use again" if request.cancel else "a node is drained", node=node.name)
        return admin_pb2.DrainNodeResponse(node=self._describe(node))

    async def remove(self, request: admin_pb2.RemoveNodeRequest) -> admin_pb2.RemoveNodeResponse:
        """At the leader. Raises ResourceInUseError for a node that has anything still; for one that is not alive, what
        it should have removed counts as gone with it."""
        catalog = self._group.machine.catalog
        node = catalog.check_removable(request.name)  # before it fills the log
        owed = sum(node.node_id in node_ids for node_ids in catalog.garbage.values())
        if owed and self._group.attendance.is_alive(node.node_id):
            raise ResourceInUseError(
                f"{node.name} is still deleting what it had of {owed} partition{'s' if owed > 1 else ''}: try again in "
                "a moment, or stop it first if it cannot"
            )
        described = self._describe(node)
        await self._group.propose(RemoveNode(request.name))
        log.info("a node was removed", node=node.name, node_id=node.node_id)
        return admin_pb2.RemoveNodeResponse(node=described)

    def _describe(self, node: Node) -> admin_pb2.NodeStatus:
        replicas = self._group.machine.catalog.held_by(node.node_id)
        return describe_node(node, self._group.attendance, replicas)
