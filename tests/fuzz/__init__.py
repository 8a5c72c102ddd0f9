"""Fuzzing of everything that a client can send.

A target is a function of bytes. Whatever they are, it returns, in bounded time; an exception is a finding. What it may
raise inside (a typed StatorError, a CorruptTreeError) it catches itself.

- `expression_targets.py`, `door_targets.py`, `storage_targets.py`: the targets; `targets.py` lists them.
- `seeds.py`: what there is to begin with, from the literals of other tests.
- `test_targets.py`: Hypothesis, in every test run. `__main__.py`: atheris, which is led by coverage; `make fuzz`.
- `test_growth.py`: how time grows with the size of inputs that are made to be slow.
"""
