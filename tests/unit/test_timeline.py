"""The time line without waiting: nothing changes its order, and no step its length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from minibox.trace.timeline import without_waits

intervals = some.lists(some.tuples(some.integers(0, 10**6), some.integers(0, 10**4),
                                   some.booleans()).map(
    lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])), max_size=12)


@given(intervals)
def test_no_two_moments_change_their_order(given):
    placed = without_waits(given)
    moments = [(old, new) for (begin, end, _), (first, last) in zip(given, placed, strict=True)
               for old, new in ((begin, first), (end, last))]
    moments.sort()
    assert [new for _, new in moments] == sorted(new for _, new in moments)


@given(intervals)
def test_what_does_not_wait_keeps_its_length(given):
    placed = without_waits(given)
    assert all(last - first == end - begin
               for (begin, end, waits), (first, last) in zip(given, placed, strict=True)
               if not waits)


@given(intervals)
def test_no_time_is_left_in_which_nothing_is_done(given):
    busy = sorted(place for (_, _, waits), place in zip(given, without_waits(given), strict=True)
                  if not waits)
    reached = 0
    for first, last in busy:
        assert first <= reached
        reached = max(reached, last)


def test_a_gate_is_as_long_as_what_was_done_meanwhile():
    # init waits from 10 to 60; the engine works from 20 to 30 and from 50 to 55.
    assert without_waits([(10, 60, True), (20, 30, False), (50, 55, False), (60, 64, False)]) \
        == [(0, 15), (0, 10), (10, 15), (15, 19)]
