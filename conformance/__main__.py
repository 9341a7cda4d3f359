"""``python -m conformance``: the same as the command ``tom-conformance``."""

from conformance.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
