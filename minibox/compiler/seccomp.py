"""seccomp: which system calls the application may make."""

from __future__ import annotations

from minibox.compiler.draft import Draft
from minibox.compiler.network import has_network
from minibox.errors import HostError
from minibox.spec import BoxSpec
from minibox.steps import FilterCalls


def filter_calls(draft: Draft) -> None:
    """Load the filter, if any."""
    spec, host = draft.spec, draft.host
    if not draft.has("seccomp"):
        return
    if spec.seccomp == "unconfined":
        draft.receipt("seccomp", "unconfined", None, "none")
        return
    draft.need("seccomp")
    if spec.seccomp_log and "seccomp.notify" not in host.features:
        raise HostError("seccomp-log", *host.mend("seccomp.notify"))
    if spec.seccomp == "default":
        from minibox.seccomp import filter_for

        program = filter_for(host.machine, network=has_network(spec),
                             capabilities=spec.capabilities, set_id=not _writes_to_host(spec),
                             init=spec.init)
    else:
        from minibox.seccomp.profile import from_profile

        program = from_profile(spec.seccomp, host.machine, spec.capabilities)
    draft.app.append(FilterCalls(program=program, log=spec.seccomp_log))
    draft.receipt("seccomp", "default" if spec.seccomp == "default" else "profile",
                  len(program), "SECCOMP_SET_MODE_FILTER",
                  f"{len(program)} instructions" + ("; refusals are counted" if spec.seccomp_log
                                                    else ""))


def _writes_to_host(spec: BoxSpec) -> bool:
    """May the box leave files on the host? They are the caller's own there; uid 0 of a box of
    root's leaves files of root's, because ID-mapped mounts show them so."""
    return spec.writable or spec.keep is not None or any(
        mount.type == "bind" and not mount.read_only for mount in spec.mounts)
