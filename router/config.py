"""A request router's configuration: defaults here, then file, environment, flags."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Config:
    """One frozen object a process; `problems` says in sentences what is wrong with it."""

    name: str = field(metadata={"help": "the router's name"})
    zone: str = field(metadata={"help": "the availability zone the router is in"})
    metadata: tuple[str, ...] = field(metadata={"help": "addresses (host:port) of the metadata processes"})
    http_listen: str = field(default="127.0.0.1:8000", metadata={"help": "address of the DynamoDB HTTP door"})
    grpc_listen: str = field(default="127.0.0.1:9000", metadata={"help": "address of the gRPC door"})
    region: str = field(
        default="local",
        metadata={"help": "the region that the cluster is said to be in"},
    )
    auth: bool = field(default=False, metadata={"help": "verify signatures: only known access keys may do anything"})
    root_credentials_file: str = field(
        default="", metadata={"help": "file with the access key that may create users; needed with auth"}
    )
    request_timeout_ms: int = field(
        default=10_000, metadata={"help": "time a request may take where its client names none"}
    )
    stop_grace_ms: int = field(default=3_000, metadata={"help": "time that requests in flight get at a stop"})
    log_format: str = field(default="console", metadata={"help": "console or json"})
    log_level: str = field(default="info", metadata={"help": "debug, info, warning or error"})

    def problems(self) -> list[str]:
        """What is wrong, a sentence each; empty: nothing."""
        found = []
        if not self.name:
            found.append("name must not be empty.")
        if not self.zone:
            found.append("zone must not be empty.")
        if not self.metadata:
            found.append("metadata must name at least one address.")
        for option, address in (("http_listen", self.http_listen), ("grpc_listen", self.grpc_listen)):
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit() or int(port) > 65_535:
                found.append(f"{option} must be host:port, not {address!r}.")
        if not re.fullmatch(r"[a-z0-9-]{1,64}", self.region):
            found.append(f"region must be lower-case letters, digits and hyphens, not {self.region!r}.")
        if self.auth and not self.root_credentials_file:
            found.append("auth needs root_credentials_file: without that access key nobody could create a user.")
        if self.request_timeout_ms < 100:
            found.append("request_timeout_ms must be at least 100.")
        if self.stop_grace_ms < 0:
            found.append("stop_grace_ms must not be negative.")
        if self.log_format not in ("console", "json"):
            found.append(f"log_format must be console or json, not {self.log_format!r}.")
        if self.log_level not in ("debug", "info", "warning", "error"):
            found.append(f"log_level must be debug, info, warning or error, not {self.log_level!r}.")
        return found
