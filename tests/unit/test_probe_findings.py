"""What is made of the probes' answers: verdicts, tables, pages; and how runtimes are called."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from minibox import probe
from minibox.cli.options import UsageError
from minibox.cli.probe import asked_for, main
from minibox.errors import SpecError
from minibox.probe import page, process, runtimes, tables
from minibox.probe.ablation import KEEP, Ablation
from minibox.probe.record import Probe
from minibox.probe.trial import VERDICTS, Answer, Trial, judge, read, verdict
from minibox.spec import CAPABILITIES, LAYERS

ONE = Probe(id="files.one", question="can it <read>?", held=("held", "EPERM"), why="a & b",
            cve="CVE-2024-21626", profiles=(("net=host", ("EFAULT",)),))
TWO = Probe(id="network.two", question="can it send?", held=("held",), why="data goes out")


def trial(runtime: str = "minibox", *, reason: str = "", **outcomes: str) -> Trial:
    """ONE and TWO with these outcomes, both open on the bare host."""
    answers = {f"{group}.{name}": Answer(outcome=outcomes[name], detail="<i>")
               for group, name in (("files", "one"), ("network", "two")) if name in outcomes}
    control = {id: Answer(outcome="open", detail="") for id in ("files.one", "network.two")}
    return Trial(runtime=runtime, command=f"{runtime} <go>", version="1 & 2", reason=reason,
                 seconds=0.1, findings=() if reason else judge((ONE, TWO), answers, control,
                                                               frozenset()))


# ---- verdicts ------------------------------------------------------------------------------------

@pytest.mark.parametrize(("outcome", "control", "expected"), [
    ("open", "open", "open"), ("held", "open", "held"), ("EPERM", "EFAULT", "held"),
    ("EFAULT", "open", "open"), ("timeout", "open", "open"), ("SIGSEGV", None, "open"),
    ("held", "held", "unproven"), ("EPERM", "unprovable", "unproven"), ("held", "", "unproven"),
    ("open", "held", "open"), ("held", None, "held"), ("unprovable", "open", "unprovable"),
    ("", "open", "unprovable")])
def test_a_verdict_is_of_the_outcome_here_and_on_the_bare_host(outcome, control, expected):
    assert verdict(ONE, outcome, control) == expected


def test_what_was_loosened_on_purpose_is_neither_open_nor_held():
    assert verdict(ONE, "EFAULT", "open") == "open"
    assert verdict(ONE, "EFAULT", "open", frozenset({"net=host"})) == "loosened"
    assert verdict(ONE, "held", "open", frozenset({"net=host"})) == "held"
    assert verdict(TWO, "EFAULT", "open", frozenset({"net=host"})) == "open"


def test_a_probe_without_an_answer_is_not_held():
    found = trial(one="held")
    assert [finding.verdict for finding in found.findings] == ["held", "unprovable"]
    assert "no answer" in found.findings[1].detail


def test_the_answers_are_read_from_among_other_lines_and_cannot_write_to_the_terminal():
    out = "Warning: no\tway\nfiles.one\topen\tsaw \x1b[2J\nfiles.two\theld\n\x00\n"
    assert read(out) == {"files.one": Answer(outcome="open", detail="saw ?[2J"),
                         "files.two": Answer(outcome="held", detail="")}


# ---- runtimes ------------------------------------------------------------------------------------

PLACE = runtimes.Place(program="/a b/minibox-probe", arguments=("file=/x 'y'", "nonce=$HOME"),
                       directory="/d", name="name")
WORDS = (PLACE.program, *PLACE.arguments)


def test_a_command_line_gets_the_program_as_words_of_its_own():
    assert runtimes.command("nice -n 5 {}", PLACE).argv == ("nice", "-n", "5", *WORDS)


def test_within_a_word_of_a_command_line_the_program_is_quoted():
    *sh, script = runtimes.command("sh -c 'cd / && exec {}'", PLACE).argv
    assert sh == ["sh", "-c"]
    assert tuple(shlex.split(script)) == ("cd", "/", "&&", "exec", *WORDS)


@pytest.mark.parametrize("runtime", ["", "chroot", "sh -c '{}", "nice"])
def test_what_is_no_runtime_is_refused_by_name(runtime):
    with pytest.raises(SpecError) as error:
        runtimes.command(runtime, PLACE)
    assert error.value.field == "runtime" and error.value.value == runtime


def test_a_runtime_that_is_not_installed_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(runtimes.CannotRun, match="bwrap is not installed"):
        runtimes.command("bwrap", PLACE)


@pytest.mark.parametrize(("err", "said"), [
    ("warning: x\nError: no userns\nsee the manual\n", "Error: no userns"),
    ("starting\nit failed\n\n", "it failed"), ("", "")])
def test_a_runtimes_complaint_is_the_line_with_the_error(err, said):
    assert runtimes.complaint(err) == said


# ---- the catalogue -------------------------------------------------------------------------------

def test_probes_are_chosen_by_group_and_by_name():
    chosen = probe.catalogue(["leaks", "kernel.unknown-call"])
    assert {one.id.partition(".")[0] for one in chosen} == {"leaks", "kernel"}
    assert [one.id for one in chosen if one.id.startswith("kernel.")] == ["kernel.unknown-call"]
    assert len(probe.catalogue()) > 120


def test_a_misspelt_probe_gets_a_suggestion():
    with pytest.raises(SpecError, match="did you mean kernel.unknown-call"):
        probe.catalogue(["kernel.unknwn-call"])


def test_every_layer_has_a_reason_to_be_kept_though_it_be_redundant():
    assert list(KEEP) == list(LAYERS)
    assert all(text and not text.endswith(".") for text in KEEP.values())


def test_the_page_of_the_probes_is_as_they_are():
    script = Path(__file__).parents[2] / "docs/make_probes.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or f"run: python {script.name}"


# ---- the command ---------------------------------------------------------------------------------

@pytest.mark.parametrize(("argv", "said"), [
    (["true"], "takes no argument"), (["--runtime", "bwrap", "--ablate"], "choose one"),
    (["--layers", "pid"], "give --ablate"), (["--", "--nosuch"], "no option --nosuch"),
    (["--", "true"], "the program that is run"), (["--compare", ","], "needs names"),
    (["--runtime", "none", "--", "--network", "host"], "options of a box of minibox")])
def test_a_command_line_that_means_nothing_is_refused(argv, said):
    with pytest.raises(UsageError, match=said):
        main(argv)


@pytest.mark.parametrize(("argv", "field"), [
    (["--only", "files,nosuch"], "only"), (["--pid", "self"], "pid"), (["--pid", "0"], "pid"),
    (["--ablate", "--layers", "pid+walls"], "layers"), (["--timeout", "soon"], "timeout"),
    (["--compare", "minibox,nosuch"], "runtime")])
def test_a_value_that_cannot_be_is_refused_by_its_option(argv, field):
    with pytest.raises(SpecError) as error:
        main(argv)
    assert error.value.field == field


def test_the_options_of_a_box_tell_what_was_loosened():
    assert asked_for(["--network", "host", "--pid=host", "-m", "64M"]) >= {"net=host", "pid=host"}


def test_the_catalogue_is_listed_as_text_and_as_json(capsys):
    assert main(["--list", "--only", "leaks"]) == 0
    text = capsys.readouterr().out
    assert main(["--list", "--only", "leaks", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed and all(one["id"] in text and one["question"] for one in listed)


# ---- tables --------------------------------------------------------------------------------------

def printed(parts: Any) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        tables.show(parts)
    return out.getvalue()


def test_a_table_explains_first_what_is_open_and_is_plain_where_there_is_no_terminal():
    text = printed(tables.of_trial(trial(one="held", two="EFAULT"), 0))
    assert "\x1b" not in text
    assert text.index("network.two: can it send?") < text.index("files.one")
    assert "data goes out" in text and "2 probes: 1 open, 1 held" in text


def test_a_comparison_has_a_column_for_each_that_ran_and_the_reason_of_each_that_did_not():
    text = printed(tables.of_comparison(
        [trial(one="held", two="held"), trial("bwrap", one="open", two="held"),
         trial("docker", reason="no daemon answers")], 1000))
    row = next(line for line in text.splitlines() if line.startswith("files.one"))
    assert row.split()[1:3] == ["held", "OPEN"]
    assert "docker cannot run here: no daemon answers" in text and "as user 1000" in text


def test_a_layer_that_opens_nothing_is_shown_with_the_reason_for_keeping_it():
    found = trial(one="open", two="held")
    text = printed(tables.of_ablation(
        [Ablation(layers=("masks",), trial=found, opened=(ONE,)),
         Ablation(layers=("umask",), trial=found, opened=()),
         Ablation(layers=("pid",), trial=trial(reason="no cgroup"), opened=())], 0))
    assert f"umask opens nothing when it is left out. Kept because {KEEP['umask']}" in text
    assert "masks alone holds:\n  files.one" in text
    assert "pid cannot be left out here: no cgroup" in text


# ---- the page ------------------------------------------------------------------------------------

class Checker(HTMLParser):
    """The texts of a page, and what would be wrong with it: a tag left open, a thing fetched."""

    VOID = {"meta", "input", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.linked: list[str] = []
        self.texts: list[str] = []
        self.verdicts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.fetched += [value for name, value in attrs if name in ("src", "action", "srcset")]
        self.fetched += [tag] if tag in ("link", "iframe", "img", "i", "go", "read") else []
        self.linked += [values["href"]] if "href" in values else []
        self.ids += [values["id"]] if "id" in values else []
        self.verdicts += [values["data-verdict"]] if "data-verdict" in values else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_has_every_finding_escapes_what_is_said_and_fetches_nothing():
    found = Checker(page.of_trials([trial(one="held", two="EFAULT"), trial("a <b>", one="open"),
                                    trial("docker", reason="<script>no</script>")]))
    assert found.open == [] and found.fetched == [] and found.linked == []
    assert len(set(found.ids)) == len(found.ids)
    text = "".join(found.texts)
    for said in ("files.one", "can it <read>?", "a & b (CVE-2024-21626)", "EFAULT: <i>", "a <b>",
                 "<script>no</script>", "network.two"):
        assert said in text
    assert found.verdicts == ["held", "open", "open", "unprovable"]
    assert all(word in text for word in VERDICTS if word != "loosened")
    assert tables.columns([trial(one="held")]) == tuple(one for one in VERDICTS
                                                        if one != "loosened")


def test_the_page_of_the_walls_leads_from_each_row_to_its_reason():
    whole = trial(one="open", two="held")
    found = Checker(page.of_ablations(
        [Ablation(layers=("masks",), trial=whole, opened=(ONE,)),
         Ablation(layers=("pid", "umask"), trial=whole, opened=())]))
    assert found.linked == ["#masks", "#pid+umask"] and {"masks", "pid+umask"} <= set(found.ids)
    assert KEEP["umask"] in "".join(found.texts)


# ---- a process from outside ----------------------------------------------------------------------

def test_a_mount_is_writable_if_neither_it_nor_its_file_system_is_read_only():
    lines = ("1 0 0:1 / / rw,nosuid - tmpfs none rw", "2 1 0:2 / /a ro - tmpfs none rw",
             "3 1 0:3 / /b rw shared:1 - ext4 /dev/sda ro,discard", "4 1 0:4 / /c rw - tmpfs x rw")
    assert process.writable(lines) == ("/", "/c")


def test_a_mount_may_have_any_name():
    assert process.writable(("1 0 0:1 / /a\x0bb\x85\u2028 rw - tmpfs x rw",)) == (
        "/a\x0bb\x85\u2028",)


def test_a_process_cannot_add_to_what_is_told_of_it():
    command = ["sh", "-c", "read line", "\x1b[2J\nseccomp         filter\u202e"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        told = "\n".join(process.examine(child.pid).lines()).split("\n")
    assert all(line.isprintable() for line in told)
    assert sum(line.startswith("seccomp") for line in told) == 1


def test_capabilities_are_told_by_name():
    assert process.capabilities(0) == ()
    assert process.capabilities(1 << 21 | 1 << 63) == ("SYS_ADMIN", "63")
    assert process.capabilities((1 << len(CAPABILITIES)) - 1) == CAPABILITIES
