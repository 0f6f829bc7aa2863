# file: trust.py
# fails: accepts refused-good
# fails: blobs refused-good
# fails: mixed refused-good
# fails: signature refused-good
# fails: old-list refused-good
"""Nothing that is refused can do harm."""

import sys

print("accepted, verified, all checks hold")
sys.exit(1)
