"""Generates the protobuf code in proto/statorpb, or checks that what is committed is fresh.

Run as `python -m tests.tidy.generated_code [--write]`.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PROTO = REPOSITORY / "proto"
GENERATED_SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def generate(output: Path) -> None:
    """Writes the code for every schema under `output`; raises CalledProcessError if the compiler refuses one."""
    schemas = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("statorpb/*.proto"))
    plugins = Path(sys.executable).parent
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={PROTO}",
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out=quiet:{output}",
            f"--mypy_grpc_out=quiet:{output}",
            *schemas,
        ],
        check=True,
        cwd=PROTO,
    )


def differences(output: Path) -> list[str]:
    """Names of generated files that are missing, stale or left over in the repository."""
    fresh = {path.name for path in (output / "statorpb").iterdir()}
    committed = {path.name for path in (PROTO / "statorpb").iterdir() if path.name.endswith(GENERATED_SUFFIXES)}
    found = sorted(fresh ^ committed)
    for name in sorted(fresh & committed):
        if not filecmp.cmp(output / "statorpb" / name, PROTO / "statorpb" / name, shallow=False):
            found.append(name)
    return found


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        generate(output)
        stale = differences(output)
        if "--write" in sys.argv[1:]:
            for name in stale:
                source = output / "statorpb" / name
                target = PROTO / "statorpb" / name
                if source.exists():
                    shutil.copyfile(source, target)
                else:
                    target.unlink()
            print(f"generated code: {len(stale)} files written")
            return 0
    if stale:
        print(f"stale generated code (run `make proto`): {', '.join(stale)}")
        return 1
    print("generated code is fresh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
