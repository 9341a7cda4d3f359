"""``python -m tools.vectors [--check]``: write the test vectors, or compare them with what is made now."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tools import vectors


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.vectors", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything would change")
    options = parser.parse_args(arguments)
    made = vectors.generate()
    faults = list(vectors.problems(made, vectors.load_schema(vectors.ROOT)))
    if options.check:
        faults += vectors.differences(made, vectors.ROOT)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    cases = sum(len(content["cases"]) for content in made.values())
    if options.check:
        print(f"{len(made)} vector files with {cases} cases are up to date")
    else:
        changed = vectors.write(made, vectors.ROOT)
        print(f"{len(made)} vector files with {cases} cases, {changed} changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
