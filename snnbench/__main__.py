"""python -m snnbench train neuron=lif, where the `snnbench` command is not on the path."""

import sys

from snnbench.main import main

sys.exit(main())
