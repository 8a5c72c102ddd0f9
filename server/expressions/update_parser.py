"""Updates: text to actions whose names are as written."""

from __future__ import annotations

from server.expressions.parser import Parser
from server.expressions.tokens import END, IDENTIFIER, VALUE
from server.expressions.trees import (
    UPDATE_FUNCTIONS,
    AddAction,
    Arithmetic,
    Attribute,
    DeleteAction,
    Path,
    RemoveAction,
    SetAction,
    UpdateAction,
    UpdateFunction,
    UpdateOperand,
    Value,
)

_CONDITION_FUNCTIONS = frozenset(
    ("attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size")
)


class UpdateParser(Parser):
    """One text."""

    keywords = frozenset({"set", "remove", "add", "delete"})

    def parse(self) -> tuple[UpdateAction, ...]:
        """The actions in their order. Raises ExpressionError."""
        actions: list[UpdateAction] = []
        seen: set[str] = set()
        while True:
            if not self.is_keyword(self.token):
                self.fail()
            section = self.advance().text.upper()
            if section in seen:
                self.note("section", f'The "{section}" section can only be used once in an update expression;')
            seen.add(section)
            actions.append(self._action(section))
            while self.accept(","):
                actions.append(self._action(section))
            if self.token.kind == END:
                break
        self.raise_noted("token", "reserved", "function", "section")
        return tuple(actions)

    def _action(self, section: str) -> UpdateAction:
        path = self.path()
        if section == "REMOVE":
            return RemoveAction(path)
        if section == "SET":
            return self._assignment(path)
        if self.token.kind != VALUE:
            self.fail()
        value = Value(self.value())
        return AddAction(path, value) if section == "ADD" else DeleteAction(path, value)

    def _assignment(self, path: Path) -> SetAction:
        self.expect("=")
        is_in_parentheses = self.token.text == "(" and self._is_around_arithmetic()
        if is_in_parentheses:
            self.advance()
        value = self._operand()
        operator = self.token.text
        if operator in ("+", "-"):
            self.advance()
            self.count_operator()
            value = Arithmetic(operator, value, self._operand())
        if is_in_parentheses:
            self.expect(")")
        return SetAction(path, value)

    def _is_around_arithmetic(self) -> bool:
        """Whether the parenthesis that opens here is around more than the first operand."""
        depth, distance = 0, 0
        while (token := self.following(distance)).kind != END:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if depth == 0:
                break
            distance += 1
        return self.following(distance + 1).text not in ("+", "-")

    def _operand(self) -> UpdateOperand:
        """A path, a value or a call, alone or in parentheses. Calls nest at most as often as operators are allowed."""
        is_in_parentheses = self.accept("(")
        token = self.token
        operand: UpdateOperand
        if token.kind == VALUE:
            operand = Value(self.value())
        elif token.kind == IDENTIFIER and self.following().text == "(":
            self.advance()
            self.advance()
            self.count_operator()
            operands = [self._operand()]
            while self.accept(","):
                operands.append(self._operand())
            self.expect(")")
            self._check_name(token.text)
            operand = UpdateFunction(token.text, tuple(operands))
        else:
            operand = Attribute(self.path())
        if is_in_parentheses:
            self.expect(")")
        return operand

    def _check_name(self, name: str) -> None:
        if name in _CONDITION_FUNCTIONS:
            self.note("function", f"The function is not allowed in an update expression; function: {name}")
        elif name not in UPDATE_FUNCTIONS:
            self.note("function", f"Invalid function name; function: {name}")
