"""Short modules with one idea, functions that fit on a screen."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.sources import PRODUCT, functions, name_of, python_files

MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70


def oversized(name: str, source: str) -> Iterator[str]:
    """What is too long in one module, a sentence each."""
    lines = len(source.splitlines())
    if lines > MODULE_LINES_MAX:
        yield f"{name} has {lines} lines"
    for function in functions(ast.parse(source)):
        length = (function.end_lineno or 0) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield f"{name}: {function.name} has {length} lines"


def test_no_module_and_no_function_is_too_long() -> None:
    """600 lines a module, 70 a function; tests keep to it as well."""
    files = list(python_files(*PRODUCT, "tests"))
    assert len(files) > 100
    found = [sentence for path in files for sentence in oversized(name_of(path), path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_what_is_too_long_is_found() -> None:
    """One line more than allowed is reported, the limit itself is not."""
    body = "    pass\n"
    assert not list(oversized("m", "def f():\n" + body * (FUNCTION_LINES_MAX - 1)))
    assert list(oversized("m", "def f():\n" + body * FUNCTION_LINES_MAX)) == ["m: f has 71 lines"]
    assert not list(oversized("m", "x = 1\n" * MODULE_LINES_MAX))
    assert list(oversized("m", "x = 1\n" * (MODULE_LINES_MAX + 1))) == ["m has 601 lines"]
