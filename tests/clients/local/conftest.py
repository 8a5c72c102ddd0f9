"""A folder with fake services, where the supervisor looks for the real ones."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The value of STATOR_SERVICES."""
    folder = tmp_path_factory.mktemp("services")
    shutil.copy(Path(__file__).with_name("fake_service.py"), folder)
    for name in ("metadata", "storage_node", "router"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        (folder / name / "__main__.py").write_text("from fake_service import main\n\nmain()\n")
    return folder
