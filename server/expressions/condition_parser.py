"""Conditions, filters and key conditions: text to a tree whose names are as written."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.expressions.parser import ExpressionError, Parser
from server.expressions.tokens import END, IDENTIFIER, NAME, VALUE
from server.expressions.trees import (
    COMPARATORS,
    CONDITION_FUNCTIONS,
    UPDATE_FUNCTIONS,
    And,
    Attribute,
    Between,
    Comparison,
    ConditionTree,
    Function,
    In,
    Not,
    Operand,
    Or,
    Size,
    Value,
)

_FUNCTIONS_DEPTH_MAX = 8
"""Of calls inside calls. Three deep are wrong in any case: only `size` may be inside, and it takes no number."""

_NOTED_IN_ORDER = ("token", "parentheses", "function", "misused", "reserved")


@dataclass(slots=True)
class _Group:
    """What stands between two parentheses, so far: terms of OR, each of them terms of AND."""

    disjuncts: list[list[ConditionTree]] = field(default_factory=lambda: [[]])
    negations: int = 0
    is_bare_group: bool = False
    """All there is so far is another group."""


class ConditionParser(Parser):
    """One text. The stack of open parentheses is its own, not Python's."""

    keywords = frozenset({"and", "or", "not", "between", "in"})

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._open: list[_Group] = []
        self._group = _Group()

    def parse(self) -> ConditionTree:
        """The tree. Raises ExpressionError."""
        while True:
            self._opening()
            self._add(self._leaf(), is_group=False)
            while self._open and self.accept(")"):
                inner = self._group
                self._group = self._open.pop()
                if inner.is_bare_group:
                    self._note_parentheses()
                self._add(_built(inner), is_group=True)
            if self._keyword("and"):
                self._group.is_bare_group = False
            elif self._keyword("or"):
                self._group.is_bare_group = False
                self._group.disjuncts.append([])
            elif not self._open and self.token.kind == END:
                break
            else:
                self.fail()
            self.count_operator()
        self.raise_noted(*_NOTED_IN_ORDER)
        return _built(self._group)

    def _add(self, condition: ConditionTree, *, is_group: bool) -> None:
        group = self._group
        # Twice the opposite is nothing: what is left out here need not be evaluated.
        term = Not(condition) if group.negations % 2 else condition
        group.is_bare_group = is_group and group.negations == 0 and group.disjuncts == [[]]
        group.negations = 0
        group.disjuncts[-1].append(term)

    def _opening(self) -> None:
        """Goes over every NOT, and every parenthesis that opens a group and not an operand."""
        while True:
            if self._keyword("not"):
                self._group.negations += 1
                self.count_operator()
            elif self.token.text == "(":
                groups = self._groups_ahead()
                if groups == 0:
                    return
                for _ in range(groups):
                    self.advance()
                    self._open.append(self._group)
                    self._group = _Group()
            else:
                return

    def _groups_ahead(self) -> int:
        """How many of the parentheses that open here open groups. The others, the innermost, are around an operand: a
        path, a value, or a call of `size`, that its closing parentheses follow at once."""
        opened = 0
        while self.following(opened).text == "(":
            opened += 1
        first = self.following(opened)
        behind = opened + 1
        if first.kind in (IDENTIFIER, NAME) and not self.is_keyword(first):
            if self.following(behind).text == "(":
                if first.text != "size":
                    return opened
                behind = self._behind_call(behind)
            else:
                while self.following(behind).text in (".", "["):
                    behind += 2 if self.following(behind).text == "." else 3
        elif first.kind != VALUE:
            return opened
        closed = 0
        while closed < opened and self.following(behind + closed).text == ")":
            closed += 1
        return opened - closed

    def _behind_call(self, distance: int) -> int:
        """The distance of what is behind the parenthesis that closes the one at this distance; or the end's."""
        depth = 0
        while (token := self.following(distance)).kind != END:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            distance += 1
            if depth == 0:
                break
        return distance

    def _leaf(self) -> ConditionTree:
        left = self._operand()
        operator = self.token.text
        if operator in COMPARATORS:
            self.advance()
            self.count_operator()
            return Comparison(operator, self._plain(left), self._plain(self._operand()))
        if self._keyword("between"):
            self.count_operator()
            lower = self._operand()
            if not self._keyword("and"):
                self.fail()
            upper = self._operand()
            return Between(self._plain(left), self._plain(lower), self._plain(upper))
        if self._keyword("in"):
            self.count_operator()
            self.expect("(")
            members = self._operands()
            return In(self._plain(left), tuple([self._plain(member) for member in members]))
        if isinstance(left, Function):
            return left
        if isinstance(left, Size):
            self._note_misused("size")
            return Function("size", left.operands)
        return self.fail()

    def _operands(self, depth: int = 0) -> list[Operand | Function]:
        """Separated by commas, and the closing parenthesis."""
        operands = [self._operand(depth)]
        while self.accept(","):
            operands.append(self._operand(depth))
        self.expect(")")
        return operands

    def _operand(self, depth: int = 0) -> Operand | Function:
        """One operand, or a call that may be a condition."""
        opened = 0
        while self.accept("("):
            opened += 1
        operand = self._bare_operand(depth)
        for _ in range(opened):
            self.expect(")")
        if opened > 1:
            self._note_parentheses()
        return operand

    def _bare_operand(self, depth: int) -> Operand | Function:
        token = self.token
        if token.kind == VALUE:
            return Value(self.value())
        if token.kind == IDENTIFIER and self.following().text == "(" and not self.is_keyword(token):
            self.advance()
            self.advance()
            self.count_operator()
            if depth == _FUNCTIONS_DEPTH_MAX:
                raise ExpressionError(
                    "Incorrect operand type for operator or function; operator or function: size, operand type: N"
                )
            operands = tuple([self._plain(operand) for operand in self._operands(depth + 1)])
            return Size(operands) if token.text == "size" else self._function(token.text, operands)
        return Attribute(self.path())

    def _function(self, name: str, operands: tuple[Operand, ...]) -> Function:
        if name in UPDATE_FUNCTIONS:
            self.note("function", f"The function is not allowed in a condition expression; function: {name}")
        elif name not in CONDITION_FUNCTIONS:
            self.note("function", f"Invalid function name; function: {name}")
        return Function(name, operands)

    def _plain(self, operand: Operand | Function) -> Operand:
        """The operand of something, which no condition may be."""
        if isinstance(operand, Function):
            self._note_misused(operand.name)
            return Size(operand.operands)
        return operand

    def _note_misused(self, name: str) -> None:
        self.note("misused", f"The function is not allowed to be used this way in an expression; function: {name}")

    def _note_parentheses(self) -> None:
        self.note("parentheses", "The expression has redundant parentheses;")

    def _keyword(self, word: str) -> bool:
        token = self.token
        if token.kind != IDENTIFIER or token.text.lower() != word:
            return False
        self.advance()
        return True


def _built(group: _Group) -> ConditionTree:
    terms = [terms[0] if len(terms) == 1 else And(tuple(terms)) for terms in group.disjuncts]
    return terms[0] if len(terms) == 1 else Or(tuple(terms))
