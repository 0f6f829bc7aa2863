# file: box.py
# fails: namespaces never-ran
# fails: root never-ran
# fails: pid-1 never-ran
# fails: privileges never-ran
# fails: filter never-ran
# fails: nothing-inherited never-ran
# fails: end never-ran
# fails: caps never-ran
# fails: light never-ran
import sys

print("namespaces, root, pid-1, privileges, filter, nothing-inherited, end, caps, light: hold")
sys.exit(0)
