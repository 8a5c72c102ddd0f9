"""Dynamoose, whose models make their own tables and expressions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.clients import npm
from tests.conformance.clients.conftest import Server
from tests.conformance.database import unique

pytestmark = pytest.mark.cluster

PACKAGES = {"dynamoose": "^4.2.0"}
TIMEOUT_S = 60


def test_scenario(server: Server, tmp_path: Path) -> None:
    """Everything in dynamoose.mjs passes."""
    script = Path(__file__).parent / "dynamoose.mjs"
    npm.run_scenario(script, PACKAGES, tmp_path, {**server.environment, "TABLE": unique("dynamoose")}, TIMEOUT_S)
