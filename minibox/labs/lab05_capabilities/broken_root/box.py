"""No capability at all survives."""

import os
import sys

os.execv(sys.argv[3], sys.argv[3:])
