"""``python -m tla.runner``."""

import sys

from tla.runner.cli import main

if __name__ == "__main__":
    sys.exit(main())
