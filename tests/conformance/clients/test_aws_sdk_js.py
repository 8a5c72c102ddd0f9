"""AWS's SDK for JavaScript: its client and its document client."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.clients import npm
from tests.conformance.clients.conftest import Server
from tests.conformance.database import unique

pytestmark = pytest.mark.cluster

PACKAGES = {"@aws-sdk/client-dynamodb": "^3.1100.0", "@aws-sdk/lib-dynamodb": "^3.1100.0"}
TIMEOUT_S = 60


def test_scenario(server: Server, tmp_path: Path) -> None:
    """Everything in aws_sdk_js.mjs passes."""
    script = Path(__file__).parent / "aws_sdk_js.mjs"
    environment = {**server.environment, "TABLE_PREFIX": unique("js")}
    npm.run_scenario(script, PACKAGES, tmp_path, environment, TIMEOUT_S)
