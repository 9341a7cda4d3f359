"""``python -m tools.vectors [--check]``: write vectors, scenes and the spec's examples, or compare them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from conformance.sources import scenes
from tools import vectors
from tools.vectors import _examples


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.vectors", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything would change")
    options = parser.parse_args(arguments)
    made = vectors.generate()
    faults = list(vectors.problems(made, vectors.load_schema(vectors.ROOT)))
    examples = vectors.generate_examples()
    outdated = list(_examples.outdated(examples, vectors.SPEC))
    played = scenes.outdated()
    if options.check:
        faults += vectors.differences(made, vectors.ROOT)
        faults += _examples.unmade(examples, vectors.SPEC)
        faults += [f"spec/{chapter.name}: its example is not what is made now" for chapter, _ in outdated]
        faults += [f"scenes/{path.name}: not what is played now" for path in played]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        return 1
    cases = sum(len(content["cases"]) for content in made.values())
    if options.check:
        print(f"{len(made)} vector files with {cases} cases and the scenes are up to date")
    else:
        changed = vectors.write(made, vectors.ROOT)
        for chapter, text in outdated:
            chapter.write_text(text, encoding="utf-8")
            print(f"spec/{chapter.name}: example written")
        scenes.write(played)
        for path in played:
            print(f"scenes/{path.name}: written")
        print(f"{len(made)} vector files with {cases} cases, {changed} changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
