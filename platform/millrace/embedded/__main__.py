"""Runs the embedded services from the command line; see ``cli``."""

import sys

from millrace.embedded.cli import main

sys.exit(main())
