"""`metamcp-deploy --help` against a bare Typer app with as many commands: the median of interleaved runs."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 25
BOUND = 1.3


def seconds(*words: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *words, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "metamcp_deploy", "--help"], check=True, capture_output=True, text=True
    ).stdout
    commands = len(re.findall(r"^│ (?!-)[a-z][a-z-]*  +\S", shown, re.M))
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        lines = ["import typer", "app = typer.Typer()"]
        for n in range(commands):
            lines += ["@app.command()", f"def command{n}(x: int = 1) -> None:", f"    '''Does {n}.'''"]
        bare.write_text("\n".join([*lines, "app()"]))
        pairs = [(seconds("-m", "metamcp_deploy"), seconds(str(bare))) for _ in range(RUNS)]
    ours, theirs = (statistics.median(p[n] for p in pairs) for n in (0, 1))
    print(f"{commands} commands: ours {ours * 1000:.0f} ms, bare Typer {theirs * 1000:.0f} ms")
    print(f"ratio {ours / theirs:.2f} (must be at most {BOUND})")


main()
