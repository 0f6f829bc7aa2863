"""The page of findings in a browser: searched, filtered and sorted, and readable without."""

from __future__ import annotations

import re
from pathlib import Path

import browser
import pytest

from minibox.probe import page
from minibox.probe.record import Probe
from minibox.probe.trial import Answer, Trial, judge

SAY = "<script>document.body.dataset.said = ({})();</script></html>"
"""Put at the end of a page: what the function returns is in the document afterwards."""


def trial(runtime: str, *outcomes: str) -> Trial:
    probes = tuple(Probe(id=f"{group}.{name}", question=f"can it {name}?", held=("held",), why="")
                   for group, name in (("files", "read"), ("files", "create"), ("leaks", "tell")))
    answers = {one.id: Answer(outcome=outcome, detail="")
               for one, outcome in zip(probes, outcomes, strict=True)}
    return Trial(runtime=runtime, command=runtime, version="", reason="", seconds=0.1,
                 findings=judge(probes, answers, None, frozenset()))


TEXT = page.of_trials([trial("minibox", "held", "held", "held"), trial("other", "held", "open",
                                                                       "open")])


def browse(directory: Path, text: str, *options: str) -> str:
    """The document that a browser makes of *text*, or what an option has it do."""
    path = directory / "page.html"
    path.write_text(text)
    return browser.browse(path, *options)


def said(directory: Path, function: str) -> str:
    found = re.search(r'data-said="([^"]*)"', browse(
        directory, TEXT.replace("</html>", SAY.format(function))))
    assert found
    return found[1]


SHOWN = """
    const shown = () => [...document.querySelectorAll("#findings tbody tr:not(.group)")]
        .filter(row => !row.hidden && !row.parentElement.hidden)
        .map(row => row.cells[0].textContent).join(" ");
    const set = (selector, change) => { const input = document.querySelector(selector);
        change(input); input.dispatchEvent(new Event("input")); };"""


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(("act", "left"), [
    ("", "files.read files.create leaks.tell"),
    ("set('input[type=search]', input => input.value = 'CREATE')", "files.create"),
    ("set('#differ', input => input.checked = true)", "files.create leaks.tell"),
    ("set('input[value=held]', input => input.checked = false)", "files.create leaks.tell"),
    ("document.querySelector('#findings thead button').click()",
     "files.create files.read leaks.tell"),
    ("document.querySelectorAll('#findings thead button')[3].click()",
     "files.create files.read leaks.tell"),
    ("for (const _ of [1, 2]) document.querySelectorAll('#findings thead button')[3].click()",
     "files.read files.create leaks.tell")],
    ids=["nothing", "search", "differ", "verdict", "sort-names", "sort-open-first", "sort-back"])
def test_the_page_is_searched_filtered_and_sorted_within_groups(tmp_path, act, left):
    assert said(tmp_path, f"() => {{ {SHOWN} {act}; return shown(); }}") == left


@pytest.mark.needs("chromium")
def test_the_page_asks_for_nothing_and_has_no_error(tmp_path):
    log = tmp_path / "log"
    text = browse(tmp_path, TEXT, "--enable-logging", f"--log-file={log}", "--v=0")
    assert 'class="scripted"' in text and "3 shown" in text
    assert "CONSOLE" not in (log.read_text() if log.exists() else "")


@pytest.mark.needs("chromium")
def test_without_a_script_the_page_shows_all_and_no_controls_that_do_nothing(tmp_path):
    text = browse(tmp_path, re.sub(r"<script>.*?</script>", "", TEXT, flags=re.S))
    assert 'class="scripted"' not in text and "hidden" not in text.partition("</style>")[2]
    assert re.search(r"#search \{ display: none", TEXT)
    assert all(f"{name}</code>" in text for name in ("files.read", "files.create", "leaks.tell"))
