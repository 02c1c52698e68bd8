"""Run the command line as ``python -m fcn_core``."""

import sys

from fcn_core.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
