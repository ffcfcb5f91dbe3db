"""``python -m medsr`` is the command ``medsr``."""

from __future__ import annotations

import sys

from medsr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
