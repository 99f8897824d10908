"""The command line of the fuzz campaign."""

import sys

from fuzz.campaign import main

sys.exit(main())
