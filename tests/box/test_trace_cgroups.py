"""What a trace shows of cgroups, whichever version they are of."""

from __future__ import annotations

import pytest
from traces import changed, named, traced


@pytest.fixture
def capped(boxed, request):
    """A caller whose cgroups can be used: root, or a user with a delegated subtree."""
    if boxed.name == "user":
        request.getfixturevalue("delegated")
    return boxed


@pytest.mark.needs("userns", "cgroup.memory")
def test_a_cap_is_seen_in_the_cgroups_own_files(capped):
    done, trace = traced(capped, "-m", "64M", "--", "true")
    assert done.returncode == 0, done.stderr
    written = [changed(one, "cgroup") for one in trace["steps"] if one["name"] == "write-cgroup"]
    values = {name: after for one in written for name, (_, after) in one.items()}
    assert "67108864" in (values.get("memory.limit_in_bytes"), values.get("memory.max"))
    made = [one for one in trace["steps"] if one["name"] == "make-cgroup"]
    paths = {what for one in made for what in changed(one, "cgroup")}
    assert paths and all("/minibox-" in path for path in paths)
    removed = [one for one in trace["steps"] if one["name"] == "remove-cgroup"]
    assert {what for one in removed for what in changed(one, "cgroup")} == paths
    entered = [one for one in trace["steps"] if one["name"] == "enter-cgroup"]
    for one in entered:                                     # v1; on v2 init is born in it
        assert all("/minibox-" in after for _, after in changed(one, "init").values())
    if not entered:
        assert "/minibox-" in changed(named(trace, "clone-init"), "init")["cgroup"][1]
