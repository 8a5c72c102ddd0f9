"""Asks a process whether it serves: `python -m server.runtime.health_check HOST:PORT [--ready] [--timeout-ms N]`.

For whoever watches processes from outside, such as a container's HEALTHCHECK. Imports little: it runs again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

TIMEOUT_MS_DEFAULT = 2_000
SERVES = 0
SERVES_NOT = 1
READY = "ready"  # as grpc_server.py has it
_CHECK = "/grpc.health.v1.Health/Check"


async def serving_problem(address: str, timeout_ms: int, service: str = "") -> str:
    """Why the process at `address` (host:port) does not serve, in a sentence; empty: it does. `service` READY: why it
    cannot be counted on yet."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        check: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
            channel.unary_unary(
                _CHECK,
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_ms / 1000)
        except grpc.aio.AioRpcError as error:
            return f"{address} does not answer: {error.details()}."
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"{address} answers, and is {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}."


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 if the process serves, 1 if not, with a sentence on standard error. Wrong usage exits with 2."""
    parser = argparse.ArgumentParser(prog="python -m server.runtime.health_check", description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT", help="where the process serves gRPC")
    parser.add_argument("--timeout-ms", type=int, default=TIMEOUT_MS_DEFAULT, help="how long to wait for an answer")
    parser.add_argument(
        "--ready",
        action="store_true",
        help="not only whether it serves: whether it votes and has all that it should have",
    )
    options = parser.parse_args(arguments)
    problem = asyncio.run(serving_problem(options.address, options.timeout_ms, READY if options.ready else ""))
    if problem:
        sys.stderr.write(f"{problem}\n")
        return SERVES_NOT
    return SERVES


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
