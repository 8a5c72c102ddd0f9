"""Fuzzing that is led by coverage (atheris, which is libFuzzer): `make fuzz`."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

CORPUS = Path("build/fuzz")
INPUT_BYTES_MAX = 8192
TIMEOUT_S = 5
MEMORY_MB_MAX = 2048
INSTRUMENTED = ["server", "router", "storage_node"]


def main() -> int:
    """What the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=...", description=__doc__)
    parser.add_argument("targets", nargs="*", help="which; all, each in turn, where none is named")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each target (5)")
    parser.add_argument("--replay", type=Path, help="only this input, which was found before, to the one target named")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _fuzz(arguments.targets[0], arguments.minutes)
    if importlib.util.find_spec("atheris") is None and arguments.replay is None:
        print(
            "atheris cannot be installed here, so nothing is led by coverage; `make test` has the rest of the fuzzing."
        )
        return 0
    from tests.fuzz.targets import TARGETS

    names = arguments.targets or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(TARGETS)}")
    if arguments.replay is not None:
        TARGETS[names[0]].run(arguments.replay.read_bytes())
        print("nothing is wrong with it")
        return 0
    failed = []
    for name in names:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in TARGETS[name].seeds():
            (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        print(f"{name}: {arguments.minutes:g} minutes, corpus in {folder}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--minutes", str(arguments.minutes), "--child"]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    for name in failed:
        print(f'{name} failed. Again: make fuzz ARGS="{name} --replay {CORPUS}/found-{name}-..."')
    return len(failed)


def _fuzz(name: str, minutes: float) -> None:
    """In a process of its own, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.seeds import PIECES
        from tests.fuzz.targets import TARGETS

    words = CORPUS / "words"
    words.write_text("".join(f'"{_quoted(piece)}"\n' for piece in PIECES), encoding="ascii")
    options = [
        f"-dict={words}",
        f"-max_total_time={int(minutes * 60)}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={CORPUS}/found-{name}-",
        "-print_final_stats=1",
        str(CORPUS / name),
    ]
    atheris.Setup([sys.argv[0], *options], TARGETS[name].run)
    atheris.Fuzz()


def _quoted(piece: bytes) -> str:
    """As libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02X}" for byte in piece)


if __name__ == "__main__":
    sys.exit(main())
