# file: box.py
# fails: own-cgroup never-ran
# fails: cap-in-force never-ran
# fails: no-swap never-ran
# fails: hog-is-killed never-ran
# fails: files-count never-ran
# fails: neighbour never-ran
# fails: tidy never-ran
import sys

print("the command was killed for its memory, as it should")
sys.exit(137)
