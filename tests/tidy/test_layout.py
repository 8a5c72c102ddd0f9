"""The tree keeps its rules: sub-folders of services are pure and covered, documents and names lead somewhere."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import stator
import statorpb.item_pb2

import server
from tests.tidy.sources import PRODUCT, REPOSITORY, name_of, python_files

SERVICES = ("server", "router", "storage_node", "metadata")
IO_FOLDERS = {"server/runtime"}
"""Sub-folders that do IO: the shell that every process shares."""


def pure_folders() -> set[str]:
    """Sub-folders of services, as import paths."""
    found = {
        name_of(path.parent)
        for service in SERVICES
        for path in python_files(service)
        if path.name == "__init__.py" and path.parent.name != service
    }
    return {folder.replace("/", ".") for folder in found - IO_FOLDERS}


def test_every_pure_folder_is_held_to_it() -> None:
    """A sub-folder that nobody added to the import contract would not be checked."""
    contracts = configparser.ConfigParser()
    contracts.read(REPOSITORY / ".importlinter")
    assert set(contracts["importlinter:contract:pure"]["source_modules"].split()) == pure_folders()


def test_every_pure_folder_is_covered() -> None:
    """Full branch coverage is demanded of the same folders."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    coverage = settings["tool"]["coverage"]
    assert coverage["report"]["fail_under"] == 100
    assert coverage["run"]["branch"] is True
    assert {source.replace("/", ".") for source in coverage["run"]["source"]} == pure_folders()


def test_the_installation_is_this_checkout() -> None:
    """What the tests import is what they stand beside."""
    for module in (server, stator, statorpb.item_pb2):
        assert module.__file__ is not None
        assert Path(module.__file__).is_relative_to(REPOSITORY)


def test_wire_messages_shadow_nothing() -> None:
    """`proto/__init__.py` would hide the package proto-plus, which users of this library may have."""
    assert not (REPOSITORY / "proto" / "__init__.py").exists()


def undocumented(name: str, source: str) -> Iterator[str]:
    """Modules and public classes without a docstring."""
    tree = ast.parse(source)
    if tree.body and ast.get_docstring(tree) is None:
        yield name
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and ast.get_docstring(node) is None:
            yield f"{name}: {node.name}"


def test_modules_and_public_classes_say_what_they_are() -> None:
    """A sentence for each."""
    found = [each for path in python_files(*PRODUCT) for each in undocumented(name_of(path), path.read_text("utf-8"))]
    assert not found, "\n".join(found)
    assert list(undocumented("m", "class A:\n    x = 1\n")) == ["m", "m: A"]


_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
_PATH = re.compile(r"`((?:server|router|storage_node|metadata|clients|proto|tests|deploy)/[\w./-]+)`")


def documents() -> list[Path]:
    return sorted(path for path in REPOSITORY.rglob("*.md") if not any(p.startswith(".") for p in path.parts))


def test_what_documents_point_to_is_there() -> None:
    """No link and no path in a document leads nowhere."""
    missing = []
    for document in documents():
        text = document.read_text(encoding="utf-8")
        for target in _LINK.findall(text):
            if not (document.parent / target).exists():
                missing.append(f"{name_of(document)}: {target}")
        for target in _PATH.findall(text):
            if not (REPOSITORY / target).exists():
                missing.append(f"{name_of(document)}: {target}")
    assert not missing, "\n".join(missing)


def test_the_documents_are_there() -> None:
    """What a newcomer, a contributor and an upgrader read."""
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {
        path.name for path in documents() if path.parent == REPOSITORY
    }


def test_make_targets_in_documents_exist() -> None:
    """`make WORD` in a document is a target."""
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"up", "test", "check", "proto", "simulate", "bench", "demo"} <= targets
    for document in documents():
        named = set(re.findall(r"`make ([a-z]+)", document.read_text(encoding="utf-8")))
        assert named <= targets, f"{name_of(document)}: {named - targets}"
