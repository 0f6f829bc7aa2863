"""The page of a trace in a browser: a waterfall, whose steps open; readable without a script."""

from __future__ import annotations

import re

import pytest
from browser import browse
from traces import STEPS, TRACE

from minibox.record import replace
from minibox.steps import KINDS, name_of
from minibox.trace import page

TEXT = page.of_trace(TRACE)
SAY = "<script>document.body.dataset.said = ({})();</script></html>"
SHOWN = """() => {{
    const shown = (what) => [...document.querySelectorAll(".waterfall details")]
        .filter(step => !step.hidden && (!what || step.open)).map(step => step.id).join(" ");
    const click = selector => document.querySelector(selector).click();
    {} }}"""


def said(path, text, code):
    path.write_text(text.replace("</html>", SAY.format(SHOWN.format(code))))
    found = re.search(r'data-said="([^"]*)"', browse(path))
    assert found
    return found[1]


ALL = " ".join(f"step-{one.number}" for one in STEPS)


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(("code", "answer"), [
    ("return shown();", ALL),
    ("return shown('open');", ""),
    ("click('#step-3 summary'); return shown('open');", "step-3"),
    ("click('#step-3 summary'); return document.querySelector('#step-3 li').innerText;",
     "+ mount /proc proc none rw,nosuid"),
    ("click('#all'); return shown('open');", ALL),
    ("click('#all'); click('#all'); return shown('open');", ""),
    ("click('#changed'); return shown();", "step-0 step-1 step-3 step-5"),
    ("click('#changed'); click('#changed'); return shown();", ALL),
    # the bars: in the order of the steps, within their column, and no text over it
    ("""const bars = [...document.querySelectorAll('.bar i')].map(i => i.getBoundingClientRect());
        const cell = document.querySelector('.bar').getBoundingClientRect();
        return bars.every((bar, n) => bar.left >= cell.left - 1 && bar.right <= cell.right + 3)
            && bars[6].left > bars[5].left && bars[0].width > 5 * bars[3].width / 2;""", "true")])
def test_the_page_in_a_browser(tmp_path, code, answer):
    assert said(tmp_path / "page.html", TEXT, code) == answer


@pytest.mark.needs("chromium")
def test_the_page_asks_for_nothing_and_has_no_error(tmp_path):
    path, log = tmp_path / "page.html", tmp_path / "log"
    path.write_text(TEXT)
    text = browse(path, "--enable-logging", f"--log-file={log}", "--v=0")
    assert 'class="scripted"' in text and "7 shown" in text
    assert "CONSOLE" not in (log.read_text() if log.exists() else "")
    assert not re.search(r'(?:src|href)="(?!#)|url\(|@import', TEXT)


@pytest.mark.needs("chromium")
def test_without_a_script_each_step_still_opens_and_nothing_is_hidden(tmp_path):
    path = tmp_path / "page.html"
    bare = re.sub(r"<script>.*?</script>", "", TEXT, flags=re.S)
    path.write_text(bare)
    text = browse(path)
    assert 'class="scripted"' not in text and text.count("<details") == len(STEPS)
    assert not re.search(r"<[^>]* hidden", text)


def test_what_the_box_is_called_is_text_and_no_markup():
    assert "<b>&amp;" not in TEXT and "&lt;b&gt;&amp;amp;" not in TEXT
    assert "How a box was made: &lt;b&gt;&amp; true" in TEXT


def test_a_step_that_failed_and_those_after_it_are_told():
    failed = replace(STEPS[3], state="failed", errno="EPERM", call="fsmount")
    rest = tuple(replace(one, state="not_reached", begin_ns=None, end_ns=None)
                 for one in STEPS[4:])
    text = page.of_trace(replace(TRACE, steps=(*STEPS[:3], failed, *rest)))
    assert "EPERM from fsmount" in text and "<h2>Not reached</h2>" in text


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_each_step_has_its_reason_and_its_source_on_the_page(kind):
    found = page.sections(name_of(kind))
    assert found.keys() >= page.SECTIONS.keys() and all(found.values())
    assert not any("{" in text for text in found.values())
    assert all(text == " ".join(text.split()) for text in found.values())
