"""Spin: makes a C program of a spec in Promela, which explores every state that can be reached, or stops at one that
must not."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.models.checker import CheckerError, Outcome, run_tool

DEPTH_MAX = 20_000
"""Steps from the first state. What lies deeper is not explored, and that is no pass."""
MEMORY_MIB_MAX = 3_000

_STATES = re.compile(r"^\s*(\d+) states, stored", re.MULTILINE)
_ERRORS = re.compile(r"^State-vector .*, errors: (\d+)$", re.MULTILINE)
_FAILURE = re.compile(r"^pan:\d+: (.+) \(at depth \d+\)$", re.MULTILINE)
_CLAIM = re.compile(r"^\tnever claim +\t\+ \((\w+)\)$", re.MULTILINE)
_WHOLE = re.compile(r"^Full statespace search for:$", re.MULTILINE)
_CYCLES = re.compile(r"^\tacceptance +cycles +\t\+ \(fairness enabled\)$", re.MULTILINE)
_CUT_SHORT = ("Search not completed", "max search depth too small", "out of memory", "reached -DMEMLIM bound")


def has_claim(text: str) -> bool:
    """Whether a spec says what must come about (`ltl`), and not only what must hold."""
    return re.search(r"^ltl ", text, re.MULTILINE) is not None


def read_outcome(output: str, code: int, took_s: float, *, is_live: bool) -> Outcome:
    """What the program found, from all that it printed: its exit code is 0 whatever it finds, and where it gives up as
    well. `is_live`: it should have looked for ways in which what must come about never does. Raises CheckerError where
    not every state was explored, or the error is none of the spec's assertions or claims."""
    states, claim, failure = _STATES.findall(output), _CLAIM.search(output), _FAILURE.search(output)
    if failure is not None and states:
        assertion = re.fullmatch(r"assertion violated ([a-z_]+)", failure.group(1))
        if assertion is not None:
            return Outcome(assertion.group(1), int(states[-1]), took_s)
        if failure.group(1) == "acceptance cycle" and claim is not None:
            return Outcome(claim.group(1), int(states[-1]), took_s)
        raise CheckerError(f"the spec itself is wrong: {failure.group(1)}")
    is_whole = _WHOLE.search(output) is not None and not any(words in output for words in _CUT_SHORT)
    has_looked = not is_live or (claim is not None and _CYCLES.search(output) is not None)
    if code != 0 or not states or _ERRORS.findall(output) != ["0"] or not is_whole or not has_looked:
        raise CheckerError(f"not explored to the end (exit code {code}): {output[-500:]}")
    return Outcome("", int(states[-1]), took_s)


def trace(replay: str) -> str:
    """How it came to what failed: of all statements of the replay the first one of each step, and how it ends."""
    lines: list[str] = []
    step = ""
    body, _, end = replay.partition("spin: trail ends after")
    for line in body.splitlines():
        found = re.match(r"\s*(\d+):\tproc", line)
        if found is not None and found.group(1) != step:
            step = found.group(1)
            lines.append(line)
    return "\n".join((*lines, "after" + end))


def explore(text: str, folder: Path, *, timeout_s: float) -> tuple[Outcome, str]:
    """(outcome, how it came to what failed) for one spec; the same each time. Raises CheckerError."""
    (folder / "spec.pml").write_text(text, encoding="utf-8")
    is_live = has_claim(text)
    gcc = ["gcc", "-O2", "-w", f"-DMEMLIM={MEMORY_MIB_MAX}", "-o", "pan", "pan.c"]
    for command in (["spin", "-a", "spec.pml"], gcc if is_live else [*gcc, "-DSAFETY"]):
        code, output = run_tool(command, folder, 300.0)
        if code != 0:
            raise CheckerError(f"{command[0]} does not take the spec: {output[-1000:]}")
    began = time.monotonic()
    pan = [str(folder / "pan"), "-n", f"-m{DEPTH_MAX}"]
    code, output = run_tool([*pan, "-a", "-f"] if is_live else pan, folder, timeout_s)
    outcome = read_outcome(output, code, time.monotonic() - began, is_live=is_live)
    if not outcome.failed:
        return outcome, output
    return outcome, trace(run_tool(["spin", "-t", "-p", "-g", "spec.pml"], folder, 300.0)[1])
