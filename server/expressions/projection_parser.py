"""Projections: text to document paths whose names are as written."""

from __future__ import annotations

from server.expressions.parser import Parser
from server.expressions.tokens import END
from server.expressions.trees import Path


class ProjectionParser(Parser):
    """One text."""

    def parse(self) -> tuple[Path, ...]:
        """The paths in their order. Raises ExpressionError."""
        paths = [self.path()]
        while self.accept(","):
            paths.append(self.path())
        if self.token.kind != END:
            self.fail()
        self.raise_noted("token", "reserved")
        return tuple(paths)
