"""The command line is read as its help page says, and what it cannot mean is named."""

from __future__ import annotations

import pytest

from minibox.cli.options import UsageError, declared, parse

PAGE = """\
usage: thing [OPTION]... COMMAND

  -m, --memory SIZE        memory, with - and --dashes in the text
      --rw                 a switch
  -v, --volume SRC:DST[:ro] ...  more than once
  -i, --interactive        a switch
  -t, --tty                a switch
      --root-by pivot_root|chroot  lower case values
"""


@pytest.mark.parametrize(("line", "values", "rest"), [
    ("-m 64M cmd", {"memory": "64M"}, ["cmd"]),
    ("-m64M cmd -m 1", {"memory": "64M"}, ["cmd", "-m", "1"]),
    ("-m=64M", {"memory": "64M"}, []),
    ("--memory=64M=2", {"memory": "64M=2"}, []),
    ("--memory= cmd", {"memory": ""}, ["cmd"]),
    ("--memory -1 cmd", {"memory": "-1"}, ["cmd"]),
    ("-it cmd", {"interactive": True, "tty": True}, ["cmd"]),
    ("-itm 64M cmd", {"interactive": True, "tty": True, "memory": "64M"}, ["cmd"]),
    ("-v a:b -v c:d:ro --volume=e:f", {"volume": ["a:b", "c:d:ro", "e:f"]}, []),
    ("--rw -- --rw", {"rw": True}, ["--rw"]),
    ("- --rw", {}, ["-", "--rw"]),
    ("--root-by chroot x", {"root-by": "chroot"}, ["x"]),
    ("", {}, []),
])
def test_options_end_at_the_first_word_that_is_none(line, values, rest):
    assert parse(PAGE, line.split()) == (values, rest)


@pytest.mark.parametrize(("line", "said"), [
    ("--memroy 1", "there is no option --memroy: did you mean --memory?"),
    ("--mem 1", "there is no option --mem"),
    ("-x", "there is no option -x"),
    ("-ix", "there is no option -x"),
    ("--zzzzz", "there is no option --zzzzz: see --help"),
    ("--rw=yes", "--rw takes no value, but was given 'yes'"),
    ("--memory", "--memory needs a value"),
    ("-im", "-m needs a value"),
    ("-m 1 --memory 2", "--memory is given twice: '1' and '2'"),
])
def test_what_cannot_be_meant_is_named(line, said):
    with pytest.raises(UsageError) as caught:
        parse(PAGE, line.split())
    assert said in str(caught.value)


def test_only_lines_that_begin_with_an_option_declare_one():
    assert sorted(declared(PAGE)) == ["--interactive", "--memory", "--root-by", "--rw", "--tty",
                                      "--volume", "-i", "-m", "-t", "-v"]


def test_every_option_of_run_is_read_and_used():
    """The page of help and the tables that give each option its meaning name the same ones."""
    from minibox.cli import run

    names = {option.name for option in declared(run.PAGE).values()}
    assert names == {*run.LIMITS, *run.FIELDS, "help", "no-init", "observe", "result",
                     "result-format"}
