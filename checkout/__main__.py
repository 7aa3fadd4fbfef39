"""`python -m checkout` is the `checkout` command."""

import sys

from checkout.cli import main

sys.exit(main())
