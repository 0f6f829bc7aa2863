"""From verdicts on system calls to a program for the kernel's filter machine.

The program first looks at the machine, then walks a balanced tree over ranges of numbers with one
verdict each.  What depends on arguments is a block of its own at the end, as are the verdicts.
Jumps go forward only, by at most 255, so one that is too far gets a stepping stone.
Source: Documentation/userspace-api/seccomp_filter.rst, Documentation/networking/filter.rst.
"""

from __future__ import annotations

from minibox.record import Record
from minibox.seccomp.numbers import AUDIT_ARCH
from minibox.seccomp.policy import Bits, Equal, Masked, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    Label = object

LOAD, AND, JUMP, EQUALS, ABOVE, AT_LEAST, HAS_BITS, RETURN = (
    0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06)
"""Of <linux/bpf_common.h>: load a word, and with a constant, jump, jump if equal, if greater, if
greater or equal, if it has a bit, return."""

NUMBER, ARCH, ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data."""

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
"""SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO, with the errno in the lower half."""

FARTHEST = 255
X32 = 0x40000000
"""From here on, x86_64 has its calls once more, by another convention."""


class Jump(Record):
    """Test what was loaded; labels for yes and no, None for the next instruction."""

    code: int
    k: int
    yes: object = None
    no: object = None


def assemble(machine: str, verdicts: dict[int, object], default: int,
             foreign: int) -> tuple[int, ...]:
    """The program. verdicts: number to what the filter returns, or to a Block; default: for all
    other numbers; foreign: for calls by another machine's convention."""
    ranges: list[tuple[int, object]] = [(0, default)]
    for number in sorted(verdicts):
        for first, verdict in ((number, verdicts[number]), (number + 1, default)):
            if first == ranges[-1][0]:
                ranges[-1] = (first, verdict)
            else:
                ranges.append((first, verdict))
    if machine == "x86_64":
        ranges.append((X32, foreign))
    merged = [ranges[0]]
    for one in ranges[1:]:
        if one[1] != merged[-1][1]:
            merged.append(one)
    lines: list[object] = [
        (LOAD, ARCH), Jump(code=EQUALS, k=AUDIT_ARCH[machine], no=foreign), (LOAD, NUMBER),
        *_tree(merged)]
    for block in dict.fromkeys(verdict for _, verdict in merged if isinstance(verdict, Block)):
        lines += [block, *block.lines]
    return _resolve(lines)


class Compare(Record):
    """What a profile says of an argument, in 64 bits: its bits of *mask* stand to *value* as
    *operator* says, one of NE, LT, LE, EQ, GE, GT, MASKED_EQ."""

    argument: int
    operator: str
    mask: int
    value: int


class Block:
    """A verdict that looks at arguments: instructions, of which each way ends in a verdict."""

    def __init__(self, lines: list[object]) -> None:
        self.lines = lines


class Mark:
    """A place to jump to."""


def _tree(ranges: list[tuple[int, object]]) -> list[object]:
    """Find the range that the loaded number is in: (first, verdict) each, up to the next first."""
    if len(ranges) == 1:
        return [ranges[0][1]]
    middle = len(ranges) // 2
    left, right = ranges[:middle], ranges[middle:]
    if len(right) == 1 and len(left) == 1:
        return [Jump(code=AT_LEAST, k=right[0][0], yes=right[0][1], no=left[0][1])]
    if len(left) == 1:
        return [Jump(code=AT_LEAST, k=right[0][0], no=left[0][1]), *_tree(right)]
    mark = Mark()
    return [Jump(code=AT_LEAST, k=right[0][0], yes=mark), *_tree(left), mark, *_tree(right)]


def block_of(rule: Rule) -> Block | int:
    """What a rule on arguments comes to."""
    if rule.deny:
        return Block([line for test in rule.deny for line in _deny(test)] + [ALLOW])
    if not rule.allow:
        return ALLOW
    lines: list[object] = []
    for tests in rule.allow:
        otherwise = Mark()
        for test in tests:
            lines += _equal(test, otherwise)
        lines += [ALLOW, otherwise]
    return Block([*lines, ERRNO | 1])


def compared(rules: list[tuple[list[Compare], int]], default: int) -> Block:
    """The verdict of the first rule of which all conditions hold, else the default."""
    lines: list[object] = []
    for tests, verdict in rules:
        otherwise = Mark()
        for test in tests:
            lines += _compare(test, otherwise)
        lines += [verdict, otherwise]
    return Block([*lines, default])


def _compare(test: Compare, otherwise: Mark) -> list[object]:
    """The upper half decides, unless it is the same."""
    met, low = Mark(), Mark()
    offset, high_value, low_value = (ARGUMENTS + 8 * test.argument, test.value >> 32,
                                     test.value & 0xFFFFFFFF)
    masks = [[(AND, mask)] if mask != 0xFFFFFFFF else []
             for mask in (test.mask >> 32, test.mask & 0xFFFFFFFF)]
    high: list[object] = [(LOAD, offset + 4), *masks[0]]
    rest: list[object] = [low, (LOAD, offset), *masks[1]]
    if test.operator in ("EQ", "MASKED_EQ"):
        return [*high, Jump(code=EQUALS, k=high_value, no=otherwise), *rest,
                Jump(code=EQUALS, k=low_value, no=otherwise)]
    if test.operator == "NE":
        return [*high, Jump(code=EQUALS, k=high_value, no=met), *rest,
                Jump(code=EQUALS, k=low_value, yes=otherwise), met]
    yes, no = (met, otherwise) if test.operator in ("GT", "GE") else (otherwise, met)
    last = AT_LEAST if test.operator in ("GE", "LT") else ABOVE
    return [*high, Jump(code=ABOVE, k=high_value, yes=yes),
            Jump(code=EQUALS, k=high_value, yes=low, no=no), *rest,
            Jump(code=last, k=low_value, yes=yes, no=no), met]


def _deny(test: Masked | Bits) -> list[object]:
    refuse = ERRNO | 1
    low = (LOAD, ARGUMENTS + 8 * test.argument)
    if isinstance(test, Bits):
        return [low, Jump(code=HAS_BITS, k=test.mask, yes=refuse)]
    cut: list[object] = [] if test.mask == 0xFFFFFFFF else [(AND, test.mask)]
    return [low, *cut, *(Jump(code=EQUALS, k=value, yes=refuse) for value in test.values)]


def _equal(test: Equal, otherwise: Mark) -> list[object]:
    """All 64 bits: the upper half of every value that a rule names is 0."""
    met, offset = Mark(), ARGUMENTS + 8 * test.argument
    *first, last = test.values
    return [(LOAD, offset + 4), Jump(code=EQUALS, k=0, no=otherwise), (LOAD, offset),
            *(Jump(code=EQUALS, k=value, yes=met) for value in first),
            Jump(code=EQUALS, k=last, no=otherwise), met]


def _resolve(lines: list[object]) -> tuple[int, ...]:
    """Labels to offsets: backwards, so that each target's distance is known when it is needed.

    A verdict that stands as a line is a return; one that is jumped to is shared with the nearest
    return of that verdict which follows, or gets one at the end.
    """
    wanted = {target for line in lines if isinstance(line, Jump)
              for target in (line.yes, line.no) if isinstance(target, int)}
    done: list[int] = []                    # in reverse
    places: dict[object, int] = {}          # how many instructions there are from it to the end

    def emit(code: int, k: int, yes: int = 0, no: int = 0) -> None:
        word = code | yes << 16 | no << 24 | k << 32
        done.append(word - (1 << 64) if word >> 63 else word)

    def land(target: object) -> None:
        """Put *target* here: a return, or a jump to where it stands."""
        if isinstance(target, int):
            emit(RETURN, target)
        else:
            emit(JUMP, len(done) - places[target])
        places[target] = len(done)

    def distance(target: object) -> int:
        return 0 if target is None else len(done) - places[target]

    for verdict in sorted(wanted):
        land(verdict)
    for line in reversed(lines):
        if isinstance(line, Mark | Block):
            places[line] = len(done)
        elif isinstance(line, Jump):
            stones = [target for target in (line.yes, line.no)
                      if target is not None and distance(target) >= FARTHEST - 1]
            if stones:
                over = len(done)
                for target in dict.fromkeys(stones):
                    land(target)
                if line.yes is None or line.no is None:     # what follows is behind the stones
                    emit(JUMP, len(done) - over)
            emit(line.code, line.k, distance(line.yes), distance(line.no))
        elif isinstance(line, tuple):
            emit(*line)
        elif isinstance(line, int):
            emit(RETURN, line)
            places[line] = len(done)
    return tuple(reversed(done))
