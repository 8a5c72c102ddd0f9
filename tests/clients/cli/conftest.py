"""The command line, run in this process against a fake cluster."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stator.cli.main import app
from typer.testing import CliRunner

from tests.clients.conftest import BackgroundCluster


@dataclass
class Outcome:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """`stator ...` with this environment."""

    def __init__(self, environ: dict[str, str | None]) -> None:
        self.environ = environ

    def __call__(self, *arguments: str, stdin: str | None = None, code: int = 0) -> Outcome:
        """Runs a command that must end with `code`."""
        words: Sequence[str] = arguments
        result = CliRunner(env=self.environ).invoke(app, words, input=stdin, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def stator(cluster: BackgroundCluster, tmp_path: Path) -> CommandLine:
    """The command with the fake cluster's endpoints in its environment."""
    return CommandLine({"STATOR_ENDPOINTS": ",".join(cluster.endpoints), "STATOR_DATA": str(tmp_path / "none")})


@pytest.fixture
def offline(tmp_path: Path) -> CommandLine:
    """The command where nothing listens."""
    return CommandLine({"STATOR_ENDPOINTS": "127.0.0.1:1", "STATOR_DATA": str(tmp_path / "none")})
