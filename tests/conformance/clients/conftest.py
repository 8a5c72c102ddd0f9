"""What every client needs: where the database is, and a table of its own that can be used at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.conformance.database import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Database

REGION = "us-east-1"


@dataclass(frozen=True)
class Server:
    """`url`: of its HTTP door. `environment`: the variables through which AWS's own clients are configured."""

    url: str
    _client: Any
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = SECRET_ACCESS_KEY

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_PAGER": "",
        }

    def wait_active(self, table: str) -> None:
        """Clients wait for a table in steps of up to 20 s: after this they need not."""
        waiter = self._client.get_waiter("table_exists")
        waiter.wait(TableName=table, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})

    def wait_gone(self, table: str) -> None:
        waiter = self._client.get_waiter("table_not_exists")
        waiter.wait(TableName=table, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})


@pytest.fixture(scope="session")
def server(database: Database) -> Server:
    return Server(database.client.meta.endpoint_url, database.client)
