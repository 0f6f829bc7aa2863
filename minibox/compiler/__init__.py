"""BoxSpec and Host in, Plan out: pure, with no look at this machine, its clock or its files."""

from __future__ import annotations

from minibox.compiler import (
    capabilities,
    cgroups,
    devices,
    filesystem,
    ids,
    keyring,
    landlock,
    namespaces,
    network,
    process,
    rlimits,
    seccomp,
)
from minibox.compiler.draft import Draft
from minibox.facts import Host
from minibox.plan import Plan
from minibox.spec import BoxSpec


def compile(spec: BoxSpec, host: Host) -> Plan:
    """What will be done, in order: each mechanism adds its steps to the plan's four parts.

    Errors: HostError for what this host cannot do, with the mend; SpecError for what contradicts
    itself only in the light of this host.
    """
    spec = filesystem.view(namespaces.shared(spec))
    draft = Draft(spec, host, ids.choose(spec, host), cgroups.choose(spec, host))
    ids.lease(draft)
    process.supervise(draft)            # what the engine watches, and the streams
    cgroups.create(draft)               # the caps that cgroups enforce
    namespaces.create(draft)            # init is there from here on
    ids.map_them(draft)
    network.bring_up(draft)
    namespaces.name_and_time(draft)
    filesystem.lay_root(draft)          # the new root, from the host's parts or a directory
    filesystem.mount_proc(draft)
    namespaces.open_limits(draft)
    filesystem.close_proc(draft)
    devices.mount_dev(draft)
    filesystem.mount_volumes(draft)
    devices.close_dev(draft)
    filesystem.finish_root(draft)
    cgroups.join_first(draft)
    ids.release(draft)                  # all mount trees are opened: init may pass
    cgroups.join(draft)
    filesystem.enter_root(draft)        # the host's files are out of reach from here on
    namespaces.allow_no_more(draft)
    process.clone(draft)
    process.settle(draft)               # session, streams
    keyring.join(draft)
    rlimits.set_them(draft)
    ids.become(draft)
    process.choose_directory(draft)
    capabilities.forbid_gaining(draft)
    landlock.restrict(draft)
    if not draft.has("no-new-privs"):
        seccomp.filter_calls(draft)     # which takes a capability then
    capabilities.drop(draft)
    process.inherit_nothing(draft)
    if draft.has("no-new-privs"):
        seccomp.filter_calls(draft)     # last, because it filters what set-up still does
    process.execute(draft)              # nothing comes after exec
    cgroups.read_and_remove(draft)
    return draft.plan()
