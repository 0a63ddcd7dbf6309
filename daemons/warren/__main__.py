"""Entry point of the command `warren` and of `python -m warren`."""

import sys

from warren.cli import main

if __name__ == "__main__":
    sys.exit(main())
