"""`python -m rnnkit`: the command line, for where no script is on the path."""

import sys

from rnnkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
