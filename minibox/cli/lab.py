"""minibox lab: the course; read, start, break, check and grade its labs."""

from __future__ import annotations

import os
from pathlib import Path

from minibox.cli.options import UsageError, parse
from minibox.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minibox.cli.options import Values
    from minibox.labs.grader import Score
    from minibox.labs.lab import Lab

PAGE = """\
usage: minibox lab list
       minibox lab start LAB [DIR]       the text, a picture and what to begin with, in DIR
       minibox lab break LAB             watch the broken reference leak
       minibox lab hint LAB [REASON]     what to look at; --level 2 and 3 say more
       minibox lab check LAB [DIR]       judge a submission, with hints
       minibox lab grade DIR --lab LAB   judge a class: a directory for each student in DIR
       minibox lab report RESULTS        a table, or files, of what `grade` has written

Twelve labs on what a container is made of. A submission is judged from outside, by the kernel, and
never by what it prints; each check first has the broken reference leak and the solution hold.

      --lab LAB              a lab by number or name
      --level NUMBER         how much a hint says: 1, 2 or 3 [1]
      --results FILE         where `grade` keeps scores, and goes on [DIR/results.jsonl]
      --parallel NUMBER      how many submissions at a time [as many as there are CPUs]
      --csv FILE             the scores as a table
      --junit FILE           the scores as JUnit XML
      --gradescope FILE|DIR  Gradescope's results.json; of a class, one for each student in DIR
  -h, --help                 show this

The status is 0 if every check holds, 1 if one leaks, 2 if none leaks and some are not gradable
here.
"""

LEAKED, UNGRADED = 1, 2


def main(argv: Sequence[str]) -> int:
    """Do as *argv* says; the exit status."""
    words, options = _read(argv)
    if options.get("help") or not words:
        print(PAGE, end="")
        return 0 if options.get("help") else LEAKED
    verb, *rest = words
    if verb not in VERBS:
        from difflib import get_close_matches

        near = get_close_matches(verb, VERBS, 1)
        raise UsageError(f"there is no `minibox lab {verb}`: "
                         + (f"did you mean {near[0]}?" if near else f"use {', '.join(VERBS)}"))
    least, most, function = VERBS[verb]
    if not least <= len(rest) <= most:
        raise UsageError(f"what follows `minibox lab {verb}` is not as it takes it: see --help")
    return function(rest, options)


def _read(argv: Sequence[str]) -> tuple[list[str], Values]:
    """The words and the options of a command line, in which they may be mixed."""
    words: list[str] = []
    options, rest = parse(PAGE, argv)
    while rest:
        words.append(rest[0])
        more, rest = parse(PAGE, rest[1:])
        options |= more
    return words, options


def list_labs(_words: list[str], _options: Values) -> int:
    from minibox import host
    from minibox.labs.lab import labs, missing

    here = host.find()
    for lab in labs():
        print(f"{lab.number:2}  {lab.title} ({lab.minutes} min)")
        for need, reason, mend in missing(lab, here):
            print(f"    not gradable here: {need}: {reason}. {mend}")
    return 0


def start(words: list[str], _options: Values) -> int:
    from minibox.labs import start as begin
    from minibox.labs.lab import find

    lab = find(words[0])
    where = Path(words[1] if len(words) > 1 else f"lab{lab.number:02}")
    begin.start(lab, where)
    print(f"Lab {lab.number}, {lab.title}, is in {where}. Read {where}/README.md, then work on "
          f"{', '.join(lab.files)}.\n`minibox lab check {lab.number} {where}` tells how far you "
          "are.")
    return 0


def break_it(words: list[str], _options: Values) -> int:
    """Each check on its broken reference."""
    from minibox.labs.grader import Grader
    from minibox.labs.lab import find

    lab = find(words[0])
    grader, status = Grader(lab), 0
    print(f"Lab {lab.number}, {lab.title}: what leaks without it")
    for check in lab.checks:
        known = grader.reference(check)
        if known.leak is None:
            status = UNGRADED
            print(f"not gradable here  {check.id}: {known.why}")
        else:
            print(f"LEAKS  {check.id}: {check.claim}\n       {known.leak.evidence}")
    return status


def hint(words: list[str], options: Values) -> int:
    from minibox.labs.lab import GENERAL, find

    lab = find(words[0])
    level = _number("level", options.get("level", "1"), 3)
    known = lab.hints | GENERAL
    if len(words) > 1 and words[1] not in known:
        raise SpecError("hint", words[1], "a check of this lab says its reason; they are "
                        + ", ".join(known))
    for reason in words[1:] or lab.hints:
        print(f"{reason}: {lab.hint(reason, level - 1)}")
    return 0


def check(words: list[str], options: Values) -> int:
    from minibox.labs.grader import Grader
    from minibox.labs.lab import find
    from minibox.labs.report import lines_of, summary

    lab = find(words[0])
    where = Path(words[1] if len(words) > 1 else ".")
    print(f"Lab {lab.number}, {lab.title}: {where}", flush=True)
    score = Grader(lab).grade(where, where.resolve().name,
                              lambda finding: print(*lines_of(finding), sep="\n", flush=True))
    print(summary(score))
    _write_files(lab, (score,), options, alone=True)
    return _status((score,))


def grade(words: list[str], options: Values) -> int:
    from minibox.labs.classes import Book, grade_all, submissions
    from minibox.labs.lab import find
    from minibox.labs.meter import Meter

    if "lab" not in options:
        raise UsageError("name the lab, such as: minibox lab grade DIR --lab 4")
    lab, where = find(str(options["lab"])), Path(words[0])
    all_of_them = submissions(where)
    cpus = len(os.sched_getaffinity(0))
    parallel = _number("parallel", options.get("parallel", str(cpus)), 1000)
    book = Book(Path(options.get("results", where / "results.jsonl")), lab)
    scores: list[Score] = []
    with Meter(len(all_of_them)) as meter:
        try:
            for score, fresh in grade_all(lab, all_of_them, book, parallel):
                scores.append(score)
                meter.graded(score, fresh)
        finally:
            book.close()
    scores.sort(key=lambda score: score.submission)
    return _tell(lab, tuple(scores), options)


def report(words: list[str], options: Values) -> int:
    from minibox.labs.classes import read_scores
    from minibox.labs.lab import find

    scores = read_scores(Path(words[0]))
    return _tell(find(str(scores[0].lab)), scores, options)


def _tell(lab: Lab, scores: tuple[Score, ...], options: Values) -> int:
    from minibox.labs.meter import table

    table(lab, scores)
    _write_files(lab, scores, options, alone=False)
    return _status(scores)


def _status(scores: tuple[Score, ...]) -> int:
    from minibox.labs.finding import LEAKS

    if any(one.state == LEAKS for score in scores for one in score.findings):
        return LEAKED
    return UNGRADED if any(score.ungradable for score in scores) else 0


def _write_files(lab: Lab, scores: tuple[Score, ...], options: Values, alone: bool) -> None:
    from minibox.labs.report import to_csv, to_gradescope, to_junit

    made: list[tuple[str, str, Callable[[], str]]] = [
        ("csv", str(options.get("csv", "")), lambda: to_csv(scores, lab)),
        ("junit", str(options.get("junit", "")), lambda: to_junit(scores, lab))]
    where = str(options.get("gradescope", ""))
    if where and alone:
        made.append(("gradescope", where, lambda: to_gradescope(scores[0])))
    elif where:
        os.makedirs(where, exist_ok=True)
        made += [("gradescope", f"{where}/{score.submission}.json",
                  lambda score=score: to_gradescope(score))          # type: ignore[misc]
                 for score in scores]
    for option, path, text in made:
        if path:
            try:
                Path(path).write_text(text())
            except OSError as error:
                raise SpecError(option, path, f"it cannot be written: {error.strerror}") from error


def _number(option: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise SpecError(option, text, f"give a number from 1 to {most}")
    return int(text)


VERBS = {"list": (0, 0, list_labs), "start": (1, 2, start), "break": (1, 1, break_it),
         "hint": (1, 2, hint), "check": (1, 2, check), "grade": (1, 1, grade),
         "report": (1, 1, report)}
"""Each verb: how many words follow it, at least and at most; what does it."""

