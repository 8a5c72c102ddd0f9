"""DynamoDB's expressions: text to trees, trees to bytes, bytes to functions over items (pure).

The parsers are written by hand. Clients see the words of every error, with the token and what stands near it, and the
order in which rules are checked; a generated parser owns both. The grammar is small, one look ahead decides (but for a
run of opening parentheses), so that parsing takes time linear in the text, and no depth of nesting is recursed into
before it is known to be bounded: conditions are parsed with a stack of their own, functions in updates nest at most as
often as there may be operators.

- `tokens.py`, `parser.py`: text to tokens; what all parsers share (document paths, syntax errors, counting operators).
- `condition_parser.py`, `update_parser.py`, `projection_parser.py`: text to a tree whose names are as written.
- `condition_checks.py`, `update_checks.py`, `path_overlap.py`, `naming.py`: once names and values are known, what a
  tree is checked for, and the tree with the names of attributes.
- `placeholders.py`, `expression.py`: a request's names and values; the door to all of the above, cached by text.
- `trees.py`, `codec.py`: the trees, and their bytes. `kept.py`: what is cached, in bounded memory.
- `compiled.py`: the door for storage nodes, bytes to functions, cached. What the functions do is in `evaluation.py`,
  `comparison.py`, `update.py`, `update_values.py`, `projection.py`, `document_path.py`, `values.py`.
- `key_condition.py`: what a Query reads.
- `legacy.py`, `legacy_checks.py`: Expected, AttributeUpdates, filters and key conditions of old, as the same trees.
"""
