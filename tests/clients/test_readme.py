"""The README's example of the SDK does what it says."""

import re
from pathlib import Path

import pytest

from tests.clients.conftest import BackgroundCluster

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_example_of_the_sdk(
    cluster: BackgroundCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a newcomer would copy it."""
    cluster.state.add_table("music", "artist", "year")
    monkeypatch.setenv("STATOR_ENDPOINTS", ",".join(cluster.endpoints))
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if "from stator import attr" in block)
    exec(compile(example, "README.md", "exec"), {"__name__": __name__})
    printed = capsys.readouterr().out.splitlines()
    assert "'plays': 1" in printed[0]
    assert printed[1:] == ["1966 6", "1965 5", "1964 4", "1 41"]
