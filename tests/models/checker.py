"""Rumur: makes a C program of a spec, which explores every state that can be reached, or stops at one that must not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("rumur", "spin", "gcc")
SET_BYTES = 256 * 1024 * 1024
"""Where the set of states begins; it grows."""


class CheckerError(Exception):
    """There is no checker, or it does not take a spec: nothing has been shown."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`failed`: the invariant that does not hold, or what is out of reach for ever somewhere; empty: all states were
    explored and all of them hold."""

    failed: str
    states: int
    took_s: float


def missing() -> list[str]:
    """The programs that are needed and are not there."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def install() -> None:
    """Installs what is missing with Debian's package manager. Raises CheckerError with a sentence where that fails."""
    lacking = missing()
    if not lacking:
        return
    sentence = f"{' and '.join(lacking)} needed: install with your system's package manager (Debian: apt-get install)"
    if shutil.which("apt-get") is None:
        raise CheckerError(f"{sentence}; there is no apt-get here")
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *lacking, "libc6-dev"]
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise CheckerError(f"{sentence}; only root may do so, and there is no sudo here")
        command = ["sudo", "--non-interactive", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or missing():
        raise CheckerError(f"{sentence}; `{' '.join(command)}` failed: {done.stderr.strip()[-500:]}")


_STATES = re.compile(r"^\s*(\d+) states, \d+ rules fired in", re.MULTILINE)
_ERROR = re.compile(r"^The following is the error trace for the error:\n\n\t(.+)\n", re.MULTILINE)
_INVARIANT = re.compile(r'invariant "(.+)" failed')
_LIVENESS = re.compile(r'^\tliveness property "(.+)" violated:\n', re.MULTILINE)


def read_outcome(output: str, code: int, took_s: float) -> Outcome:
    """What the program found, from all that it printed. Raises CheckerError where it has not come to an end: out of
    memory, killed, or an error that is no invariant's."""
    found = _STATES.findall(output)
    error = _ERROR.search(output)
    if error is not None:
        invariant = _INVARIANT.search(error.group(1))
        if invariant is None or not found:
            raise CheckerError(f"the spec itself is wrong: {error.group(1)}")
        return Outcome(invariant.group(1), int(found[-1]), took_s)
    liveness = _LIVENESS.search(output)
    if liveness is not None and found:
        return Outcome(liveness.group(1), int(found[-1]), took_s)
    if code != 0 or not found or "No error found." not in output:
        raise CheckerError(f"not explored to the end (exit code {code}): {output[-500:]}")
    return Outcome("", int(found[-1]), took_s)


def trace(output: str) -> str:
    """How it came to what failed, of all that was printed."""
    error = _ERROR.search(output) or _LIVENESS.search(output)
    return output if error is None else output[error.start() :]


def explore(text: str, folder: Path, *, threads: int, timeout_s: float) -> tuple[Outcome, str]:
    """(outcome, all that was printed) for one spec; with one thread the same each time. Raises CheckerError."""
    spec, source, program = folder / "spec.m", folder / "spec.c", folder / "spec"
    spec.write_text(text, encoding="utf-8")
    # Its symmetry reduction may leave states that differ in names only: more work, never less than everything.
    rumur = ["rumur", "--deadlock-detection", "off", "--threads", str(threads), "--set-capacity", str(SET_BYTES)]
    gcc = ["gcc", "-std=c11", "-O3", "-mcx16", "-w", "-o", str(program), str(source), "-lpthread", "-latomic"]
    for command in ([*rumur, "--output", str(source), str(spec)], gcc):
        code, output = run_tool(command, folder, 300.0)
        if code != 0:
            raise CheckerError(f"{command[0]} does not take the spec: {output[-1000:]}")
    began = time.monotonic()
    code, output = run_tool([str(program)], folder, timeout_s)
    return read_outcome(output, code, time.monotonic() - began), output


def run_tool(command: list[str], folder: Path, timeout_s: float) -> tuple[int, str]:
    """(exit code, all that was printed) of a program in `folder`. Raises CheckerError where it takes too long."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise CheckerError(f"{Path(command[0]).name}: not at its end after {timeout_s:.0f} s") from error
    return done.returncode, done.stdout + done.stderr
