"""`python -m convrnn.cli`: the command line where no script was installed."""

from __future__ import annotations

import sys

from convrnn.cli import main

sys.exit(main())
