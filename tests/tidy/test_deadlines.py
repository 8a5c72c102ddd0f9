"""Every call between processes ends: those that have one answer carry a deadline; how streams end is written down."""

from __future__ import annotations

import ast

from statorpb import cluster_pb2, items_pb2, partition_pb2, replication_pb2

from tests.tidy.sources import PRODUCT, name_of, python_files

SERVICES = [
    service
    for module in (cluster_pb2, items_pb2, partition_pb2, replication_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = {method.name: method for service in SERVICES for method in service.methods}

STREAMS = {
    ("storage_node/attendance.py", "Attend"): "the first answer is waited for; the connection says whether it lives",
    ("server/runtime/peers.py", "Exchange"): "the hello is waited for; the connection says whether it lives",
    ("server/runtime/partition_stream.py", "Serve"): "the greeting is waited for, and each request's answer",
}
"""(file, method): what has a deadline instead of the call. All channels keep their connections alive
(server/runtime/grpc_server.py), so that a stream ends when the other side is gone without a word."""

RAW_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

RAW = {
    (
        "clients/stator/local/child.py",
        "unary_stream",
    ): "a supervisor's own child: when that ends it is told by the system",
    ("clients/stator/transport.py", "unary_unary"): "a deadline with each attempt",
    ("clients/stator/transport.py", "unary_stream"): "a stream that is silent is left",
    ("server/runtime/health_check.py", "unary_unary"): "a deadline with the call",
    ("clients/stator/session.py", "stream_stream"): "each request has a deadline, and a stream that is silent is left",
}
"""Likewise, of calls that are not made through generated code."""


def called(node: ast.Call) -> str:
    """The method of a service that a call calls by its name, "getattr" where it is by a variable, or nothing."""
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and _is_stub(node.func.value):
        return node.func.attr
    by = node.func
    if isinstance(by, ast.Call) and ast.unparse(by.func) == "getattr" and _is_stub(by.args[0]):
        return "getattr"
    return ""


def _is_stub(value: ast.expr) -> bool:
    """Not a message or a command of the same name."""
    return "stub" in ast.unparse(value).replace("statorpb", "").replace("_pb2_grpc", "").lower()


def test_every_call_has_a_deadline() -> None:
    """And no stream is opened that nobody has thought about."""
    without: list[str] = []
    streams: set[tuple[str, str]] = set()
    raw: set[tuple[str, str]] = set()
    count = 0
    for path in python_files(*PRODUCT):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            method = called(node)
            has_timeout = any(keyword.arg == "timeout" for keyword in node.keywords)
            if method in METHODS and METHODS[method].client_streaming:
                streams.add((name_of(path), method))
            elif method:
                count += 1
                without += [] if has_timeout else [f"{name_of(path)}:{node.lineno} calls {method}"]
            elif isinstance(node.func, ast.Attribute) and node.func.attr in RAW_KINDS:
                raw.add((name_of(path), node.func.attr))
    assert without == []
    assert count >= 5
    assert streams == STREAMS.keys()
    assert raw == RAW.keys()
