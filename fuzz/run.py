"""Fuzz every target for a bounded time: ``python fuzz/run.py --seconds 60 [--target NAME]``.

With ``atheris`` the run is guided by coverage, each target in a process of its own, beginning with the test
vectors as its corpus.  A crash leaves its input in ``reports/fuzz/`` and prints the one command that repeats
it: ``python fuzz/run.py --target NAME --repeat FILE``.  Exit: 0 clean, 1 a crash, 77 atheris isn't installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

REPORTS = ROOT / "reports" / "fuzz"
NOT_RUN = 77
SEED = 1


def corpus() -> Iterator[bytes]:
    """Every byte string in the wire, delivery and identity vectors."""
    for folder in ("wire", "delivery", "identity", "session"):
        for path in sorted((ROOT / "test-vectors" / folder).glob("*.json")):
            for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
                for value in case["input"].values():
                    if isinstance(value, str) and value:
                        try:
                            yield bytes.fromhex(value)
                        except ValueError:
                            yield value.encode()


def child(name: str, seconds: int, folder: str) -> None:
    """Fuzz one target in this process; never returns."""
    import atheris

    with atheris.instrument_imports(include=["tom_ref"]):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    options = [
        sys.argv[0],
        folder,
        f"-max_total_time={seconds}",
        f"-seed={SEED}",
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={REPORTS}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup(options, target)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, seeds: list[bytes]) -> bool:
    """Fuzz one target; ``True`` when nothing was found."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds):
            (Path(folder) / f"{number:05}").write_bytes(data[:4096])
        command = [sys.executable, __file__, "--child", name, "--seconds", str(seconds), "--corpus", folder]
        started = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    runs = next(
        (line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?"
    )
    spent = time.monotonic() - started
    verdict = "clean" if done.returncode == 0 else "CRASH"
    print(f"  {name:<20} {runs:>9} inputs {spent:6.1f} s  {verdict}", flush=True)
    if done.returncode == 0:
        return True
    print(done.stdout[-2_000:], done.stderr[-6_000:], sep="\n")
    found = sorted(REPORTS.glob(f"{name}-*"))
    for path in found:
        print(f"repeat it: python fuzz/run.py --target {name} --repeat {path.relative_to(ROOT)}")
    return False


def main() -> int:
    """The command line."""
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument("--repeat", type=Path, help="run one target on this file")
    parser.add_argument("--child", choices=sorted(TARGETS), help=argparse.SUPPRESS)
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.repeat:
        TARGETS[arguments.target](arguments.repeat.read_bytes())
        print("accepted or refused, as it should be")
        return 0
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("NOT RUN: atheris is not installed (it needs Linux on x86-64 and CPython below 3.14)")
        return NOT_RUN
    names = [arguments.target] if arguments.target else list(TARGETS)
    seconds = max(1, arguments.seconds // len(names))
    REPORTS.mkdir(parents=True, exist_ok=True)
    seeds = list(corpus())
    print(f"{len(names)} targets, {seconds} s each, {len(seeds)} seeds, seed {SEED}", flush=True)
    clean = [fuzz(name, seconds, seeds) for name in names]
    print(f"{sum(clean)} passed, {len(clean) - sum(clean)} failed")
    return 0 if all(clean) else 1


if __name__ == "__main__":
    if "--child" in sys.argv:
        position = sys.argv.index("--child")
        child(sys.argv[position + 1], int(sys.argv[position + 3]), sys.argv[position + 5])
    sys.exit(main())
