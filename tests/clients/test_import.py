"""What `import stator` brings along."""

import subprocess
import sys

HEAVY = ("typer", "rich", "click", "server", "router", "metadata", "storage_node", "uvloop", "lmdb", "stator.cli")


def test_importing_the_sdk_is_light() -> None:
    """An application that uses the client loads neither the command line's packages nor the servers'."""
    code = f"import sys, stator; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
