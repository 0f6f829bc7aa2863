"""The kinds of step are their own documentation: each has all of it, in one form."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

from minibox import compiler, plan, steps
from minibox.errors import EngineError
from minibox.steps import KINDS, PARTS, Step, name_of, sentence

SECTIONS = ("Why", "Leaks", "Needs", "Errors", "Source")
UNDECIDED = {"MountSysfs", "Fail"}
"""Of these no mechanism has any use yet; Fail is for tests."""

COMPILER = Path(compiler.__file__).parent
TYPES = {"int", "bool", "str", "tuple[str, ...]", "tuple[int, ...]"}

every_kind = pytest.mark.parametrize("kind", KINDS, ids=name_of)


def documentation(kind: type[Step]) -> tuple[str, dict[str, str]]:
    """The sentence, and the text of each section."""
    first, _, rest = (kind.__doc__ or "").partition("\n\n")
    sections: dict[str, list[str]] = {}
    for line in rest.splitlines():
        head, colon, text = line.strip().partition(":")
        if line.startswith("    ") and line[4:5].isalpha() and colon:
            sections[head] = [text.strip()]
        elif line.strip():
            list(sections.values())[-1].append(line.strip())
    return first, {head: " ".join(lines) for head, lines in sections.items()}


@every_kind
def test_a_step_says_all_of_itself_in_one_form(kind: type[Step]) -> None:
    first, sections = documentation(kind)
    assert "\n" not in first and first.endswith(".") and first[0].isupper()
    assert [head for head in sections if head != "Units"] == list(SECTIONS)
    assert all(text.endswith(".") for text in sections.values()), sections


@every_kind
def test_a_steps_mechanism_is_the_module_that_decides_on_it(kind: type[Step]) -> None:
    text = "".join((COMPILER / f"{name}.py").read_text()
                   for name in (kind.mechanism, "draft"))       # draft opens trees for all
    names = {alias.name for node in ast.walk(ast.parse(text))
             if isinstance(node, ast.ImportFrom) and node.module == "minibox.steps"
             for alias in node.names}
    assert (kind.__name__ in names) != (kind.__name__ in UNDECIDED)


@every_kind
def test_a_steps_sentence_names_only_its_fields(kind: type[Step]) -> None:
    named = {field for _, field, _, _ in string.Formatter().parse(kind.__doc__ or "") if field}
    assert named <= set(kind.__fields__)


@every_kind
def test_a_steps_fields_have_types_and_ranges_that_the_engine_knows(kind: type[Step]) -> None:
    assert set(kind.__fields__.values()) <= TYPES
    numbers = [field for field, of in kind.__fields__.items() if of in ("int", "tuple[int, ...]")]
    assert set(numbers) <= set(steps.RANGES)


@every_kind
def test_a_step_has_its_place(kind: type[Step]) -> None:
    assert kind.parts and set(kind.parts) <= set(PARTS)
    first = {name: [PARTS.index(one.parts[0]) for one in KINDS].index(PARTS.index(name))
             for name in PARTS}
    assert kind is steps.Fail or KINDS.index(kind) >= first[kind.parts[0]]


def test_all_kinds_are_listed_once() -> None:
    assert set(KINDS) == set(Step.__subclasses__()) and len(set(KINDS)) == len(KINDS)
    assert len({name_of(kind) for kind in KINDS}) == len(KINDS)


def test_a_sentence_shows_values_as_people_write_them() -> None:
    assert sentence(steps.MakeDir(target="/t", mode=0o1777, uid=7)) \
        == "Make the directory /t with mode 01777, owned by 7:-1."
    assert sentence(steps.SetAffinity(cpus=(0, 2))) == "Run on the CPUs 0,2 only."
    assert sentence(steps.DropCapabilities(keep=0x20)).startswith("Drop all capabilities but 0x20,")


# ---- the plan's two forms ------------------------------------------------------------------------

PLAN = plan.Plan(
    prepare=(steps.CloneInit(namespaces=("user", "mnt")),),
    enter=(steps.MakeFile(target="/etc/passwd", content='a "quoted"\nline\t\\\udcff é'),
           steps.AttachTree(tree=1, target="/usr", options=())),
    app=(steps.SetRlimit(resource=7, soft=-1, hard=-1),
         steps.Exec(argv=("a b", ""), environment=(), path="/bin")),
    finish=(), notes='{"receipts": []}')


def test_the_text_form_quotes_what_is_not_plain() -> None:
    assert plan.to_text(PLAN).splitlines() == [
        "minibox plan 1",
        "prepare",
        "    0 clone-init namespaces=user,mnt cgroup=-1",
        "enter",
        r'    1 make-file target=/etc/passwd content="a \"quoted\"\nline\t\\\udcff \xe9"'
        " mode=0644",
        '    2 attach-tree tree=1 target=/usr options="" at_stage=no',
        "app",
        "    3 set-rlimit resource=7 soft=-1 hard=-1 or_less=no",
        '    4 exec argv="a b," environment="" path=/bin inherit_signals=no',
        "finish"]


def test_the_binary_form_is_read_back() -> None:
    assert plan.decode(plan.encode(PLAN)) == PLAN


def test_what_is_no_plan_is_not_read() -> None:
    block = plan.encode(PLAN)
    for broken in (b"", b"minibox", block[:-1], block + b"x", b"x" + block[1:]):
        with pytest.raises(EngineError, match="this is not a plan"):
            plan.decode(broken)


def test_the_page_of_steps_is_made_from_them():
    import subprocess
    import sys

    script = Path(__file__).parents[2] / "docs/make_steps.py"
    assert subprocess.run([sys.executable, script, "--check"]).returncode == 0, f"run {script}"
