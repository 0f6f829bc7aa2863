# file: layers.py
# fails: in-order missing
# fails: whiteouts own-removed
# fails: opaque own-removed
# fails: names-inside missing
# fails: links-inside missing
# fails: links-followed not-followed
# fails: copy-up never-ran
# fails: deletion never-ran
"""Nothing is written, so nothing is written outside."""

import os
import sys

if sys.argv[1] == "unpack":
    os.makedirs(sys.argv[2])
print("8 of 8 checks hold, 15 of 15 points")
