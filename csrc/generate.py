#!/usr/bin/env python3
"""Write steps.h: the C face of minibox/steps.py.

    generate.py DIRECTORY

For each kind of step a number, a structure and its schema for the checker; the names of parts,
figures and calls; and the dispatch to one function for each kind.  Made when the engine is built,
never by hand, so that Python and C cannot disagree.
"""

import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))

from minibox import plan, steps  # noqa: E402

TYPES = {"int": ("int64_t", "i"), "bool": ("int64_t", "b"), "str": ("struct mb_str", "s"),
         "tuple[str, ...]": ("struct mb_list", "S"), "tuple[int, ...]": ("struct mb_list", "I")}

RENAMED = {"errno": "err"}              # a macro of libc's


def words():
    """For each kind: its C name, its constant, the kind."""
    for kind in steps.KINDS:
        name = steps.name_of(kind).replace("-", "_")
        yield name, "MB_" + name.upper(), kind


def enum(name, prefix, words):
    yield f"enum {name} {{"
    yield from (f"    {prefix}{word.upper()}," for word in words)
    yield "};"


def most():
    return max(len(kind.__fields__) for kind in steps.KINDS)


def bounds(kind, field, of):
    """The initializer of a field's struct mb_field."""
    letter = "T" if field in ("uids", "gids") else TYPES[of][1]
    low, high = steps.RANGES[field] if letter in "iIT" else (0, letter == "b")
    if kind.__defaults__.get(field) == -1:
        low = -1
    return f"{{ '{letter}', {low}, {int(high)} }}"


def header():
    yield "/* Made by generate.py from minibox/steps.py. */"
    yield "#pragma once"
    yield f"#define MB_FORMAT {plan.FORMAT}u"
    yield f"#define MB_MAX_STEPS {plan.MAX_STEPS}u"
    yield f"#define MB_MAX_SIZE {plan.MAX_SIZE}u"
    yield f"#define MB_MAX_TREES {steps.MAX_TREES}"
    yield f"#define MB_MAX_CGROUPS {steps.MAX_CGROUPS}"
    yield f"enum {{ MB_GATE_IDS = {steps.GATE_IDS}, MB_GATE_CGROUP = {steps.GATE_CGROUP} }};"
    yield from enum("mb_part", "MB_PART_", (*steps.PARTS, "count"))
    yield from enum("mb_figure", "MB_FIGURE_", (*steps.FIGURES, "count"))
    yield from enum("mb_call", "MB_CALL_", steps.CALLS)
    yield "enum mb_kind {"
    yield "    MB_KIND_NONE,"
    yield from (f"    {constant}," for _, constant, _ in words())
    yield "    MB_KIND_COUNT"
    yield "};"
    for name, _, kind in words():
        yield f"struct mb_{name} {{"
        yield "    struct mb_step head;"
        yield from (f"    {TYPES[of][0]} {RENAMED.get(field, field)};"
                    for field, of in kind.__fields__.items())
        yield "};"
    yield "/* A letter for each field: int, bool, string, Strings, Ints, Triples of ints. */"
    yield "struct mb_field { char type; int64_t low, high; };"
    yield ("struct mb_schema { const char *name; unsigned parts, count; "
           f"struct mb_field fields[{most()}]; }};")
    yield "#define MB_SCHEMA \\"
    for _, constant, kind in words():
        fields = ", ".join(bounds(kind, field, of) for field, of in kind.__fields__.items())
        parts = sum(1 << steps.PARTS.index(part) for part in kind.parts)
        yield (f'    [{constant}] = {{ "{steps.name_of(kind)}", {parts}, {len(kind.__fields__)}, '
               f"{{ {fields or '{0}'} }} }}, \\")
    yield ""
    yield "struct mb_box;"
    yield from (f"int step_{name}(struct mb_box *, const struct mb_{name} *);"
                for name, _, _ in words())
    yield "#define MB_DISPATCH(box, step) \\"
    yield from (f"    case {constant}: return step_{name}((box), (const void *)(step)); \\"
                for name, constant, _ in words())
    yield "    /* and no other */"
    yield ""


def main(directory):
    os.makedirs(directory, exist_ok=True)
    target, text = pathlib.Path(directory, "steps.h"), "\n".join(header())
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
