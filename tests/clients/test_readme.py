"""The README's example of the SDK does what it says."""

import re
from pathlib import Path

import pytest
import stator

from tests.clients.conftest import BackgroundCluster

README = Path(__file__).resolve().parents[2] / "README.md"


def run_example(word: str) -> None:
    """The one that has the word in it."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if word in block)
    exec(compile(example, "README.md", "exec"), {"__name__": __name__})


def test_the_example_of_the_sdk(
    cluster: BackgroundCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a newcomer would copy it."""
    cluster.state.add_table("music", "artist", "year")
    monkeypatch.setenv("STATOR_ENDPOINTS", ",".join(cluster.endpoints))
    run_example("class Song")
    printed = capsys.readouterr().out.splitlines()
    assert "'plays': 1" in printed[0]
    assert printed[1:] == ["1966 6", "1965 5", "1964 4", "1 41"]


def test_the_example_of_transactions(
    cluster: BackgroundCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What one account loses the other has; then it has nothing left to lose, which is told."""
    cluster.state.add_table("accounts", "id")
    monkeypatch.setenv("STATOR_ENDPOINTS", ",".join(cluster.endpoints))
    with stator.Client() as client:
        client.put_item("accounts", {"id": "a", "balance": 15})
        client.put_item("accounts", {"id": "b", "balance": 2})
    run_example("transfer.update")
    run_example("transfer.update")
    first, reason, second = capsys.readouterr().out.splitlines()
    assert (first, second) == ("17", "17")
    assert reason.startswith("0 ConditionalCheckFailed")
