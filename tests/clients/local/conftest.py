"""A folder with fake services, where the supervisor looks for the real ones."""

import shutil
from pathlib import Path

import pytest


def make_services(folder: Path) -> Path:
    """Fills a new folder with three fake services; the value of STATOR_SERVICES."""
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("fake_service.py"), folder)
    for name in ("metadata", "storage_node", "router"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        (folder / name / "__main__.py").write_text("from fake_service import main\n\nmain()\n")
    return folder


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The value of STATOR_SERVICES."""
    return make_services(tmp_path_factory.mktemp("fakes") / "services")
