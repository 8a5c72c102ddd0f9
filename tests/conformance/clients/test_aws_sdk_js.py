"""AWS's SDK for JavaScript: its client and its document client."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster.harness import running_cluster
from tests.conformance.clients import npm
from tests.conformance.clients.conftest import Server
from tests.conformance.database import unique

pytestmark = pytest.mark.cluster

PACKAGES = {"@aws-sdk/client-dynamodb": "^3.1100.0", "@aws-sdk/lib-dynamodb": "^3.1100.0"}
TIMEOUT_S = 60


def run(server: Server, folder: Path) -> None:
    """Everything in aws_sdk_js.mjs passes."""
    script = Path(__file__).parent / "aws_sdk_js.mjs"
    npm.run_scenario(script, PACKAGES, folder, {**server.environment, "TABLE_PREFIX": unique("js")}, TIMEOUT_S)


def test_scenario(server: Server, tmp_path: Path) -> None:
    """Everything works where nobody looks at signatures."""
    run(server, tmp_path)


def test_scenario_signed(tmp_path: Path, endpoint: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it signs is right to a cluster that verifies it, and with another secret nothing works."""
    npm.installed(PACKAGES)
    if endpoint:
        pytest.skip("needs a cluster of this checkout")
    with running_cluster(tmp_path / "data", "--auth") as cluster:
        monkeypatch.setenv("STATOR_DATA", str(cluster.data))
        user = json.loads(cluster.run("user", "create", "js", "--output", "json"))
        server = Server(cluster.http_endpoints[0], None, user["access_key_id"], user["secret_access_key"])
        run(server, tmp_path)
        with pytest.raises(AssertionError, match="InvalidSignatureException"):
            run(replace(server, secret_access_key="x" * 40), tmp_path)
