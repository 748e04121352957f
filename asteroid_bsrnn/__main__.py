"""`python -m asteroid_bsrnn`, the same as the command `asteroid-bsrnn`."""

import sys

from .cli import main

sys.exit(main())
