"""The fixture `neighbour`: a canary in a second box, whose life and pauses are watched."""

from __future__ import annotations

import os
import signal

import pytest

from minibox.testing.neighbour import Neighbour, NeighbourDied


def test_a_neighbour_ticks_beside_the_boxes_of_a_test(project):
    done = project.pytest(text="""
        import time

        def test_watches(box, neighbour):
            with neighbour.watch() as seen:
                box(["sleep", "0.5"])
            assert seen().seconds >= 0.5
            assert 2 <= seen().ticks <= 0.5 / 0.005 * 3
            assert 0.005 <= seen().longest_s <= seen().seconds
            assert seen().longest_s <= neighbour.longest_pause_s
            assert neighbour.alive
    """)
    done.assert_outcomes(passed=1)


@pytest.fixture
def canary():
    found = Neighbour()
    yield found
    found.close()


def test_a_neighbour_that_is_stopped_has_a_pause_as_long(canary):
    with canary.watch() as seen:
        canary.process.send_signal(signal.SIGSTOP)
        while seen().longest_s < 0.2:                       # it does not end: nothing else waits
            pass
        stopped = seen()
        canary.process.send_signal(signal.SIGCONT)
        while seen().ticks < stopped.ticks + 10:
            pass
    assert stopped.longest_s >= 0.2
    assert seen().longest_s >= stopped.longest_s
    with canary.watch() as later:
        while later().ticks < 10:
            pass
    assert later().ticks >= 10 and canary.alive


def test_a_neighbour_that_died_is_told_by_its_verdict(canary):
    canary.check()
    canary.process.send_signal(signal.SIGSEGV)
    canary.process.wait(20)
    assert not canary.alive
    with pytest.raises(NeighbourDied, match="while the test ran: killed by SIGSEGV"):
        canary.check()


def test_a_test_whose_neighbour_died_fails(project):
    done = project.pytest(text="""
        def test_kills(neighbour):
            neighbour.process.kill()
            neighbour.process.wait(20)

        def test_goes_on(neighbour):
            assert neighbour.alive
    """)
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(["*NeighbourDied: the neighbour's box ended while the test ran: *"])


def test_no_file_of_a_neighbour_stays(canary):
    path = canary._file.name
    assert os.path.exists(path)
    canary.close()
    assert not os.path.exists(path)
