"""The policy of system calls, and that its program does what it says: no more, no less."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import filters
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibox.errors import HostError, SpecError
from minibox.seccomp import compile_policy, filter_for, policy, words
from minibox.seccomp.numbers import AUDIT_ARCH, MACHINES, names, numbers
from minibox.seccomp.policy import Bits, Equal, Group, Masked, Rule
from minibox.seccomp.profile import ACTIONS, OPERATORS, from_profile
from minibox.seccomp.program import ALLOW, ERRNO

EPERM, ENOSYS = ERRNO | 1, ERRNO | 38
VARIANTS = [{"network": network, "capabilities": capabilities, "set_id": set_id,
             "init": "NET_RAW" not in capabilities}
            for network in (False, True) for set_id in (False, True)
            for capabilities in ((), ("NET_RAW", "SYS_ADMIN"), ("NET_ADMIN", "MKNOD", "SETFCAP"))]
NAMES = {machine: names(machine) for machine in MACHINES}
POLICIES = [
    ({rule.call: rule for rule in policy.rules(**variant)},
     {call: group.allowed for group in policy.groups(variant["capabilities"])
      for call in group.calls.split()}) for variant in VARIANTS]
SIX = tuple[int, int, int, int, int, int]


def expected(machine: str, variant: dict[str, Any], number: int, arguments: SIX) -> int:
    """What the policy says of a call, read by itself, with arguments as the kernel reads them."""
    name, (rules, groups) = NAMES[machine].get(number), POLICIES[VARIANTS.index(variant)]
    if name in rules:
        return judged(rules[name], arguments)
    return ALLOW if groups.get(name) else ENOSYS if name not in groups else EPERM


def judged(rule: Rule, arguments: SIX) -> int:
    def holds(test: Equal | Masked | Bits) -> bool:
        value, low = arguments[test.argument], arguments[test.argument] & 0xFFFFFFFF
        if isinstance(test, Equal):
            return value in test.values
        if isinstance(test, Bits):
            return low & test.mask != 0
        return low & test.mask in test.values

    if rule.deny:
        return EPERM if any(map(holds, rule.deny)) else ALLOW
    if rule.allow:
        return ALLOW if any(all(map(holds, tests)) for tests in rule.allow) else EPERM
    return ALLOW


INTERESTING = sorted({value for rule in (*policy.RULES, policy.NETWORK, *policy.SET_IDS)
                      for tests in (*rule.allow, rule.deny) for test in tests
                      for value in (test.values if not isinstance(test, Bits) else (test.mask,))})
argument = st.one_of(st.sampled_from(INTERESTING), st.integers(0, 2**64 - 1),
                     st.builds(lambda low, high: low | high << 32,
                               st.sampled_from(INTERESTING), st.integers(0, 2**32 - 1)))
arguments = st.tuples(*[argument] * 6)


def compiled(machine: str, variant: dict[str, Any]) -> tuple[int, ...]:
    return compile_policy(machine, **variant)


PROGRAMS = {(machine, place): compiled(machine, variant)
            for machine in MACHINES for place, variant in enumerate(VARIANTS)}


# ---- the program does what the policy says -------------------------------------------------------

@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("place", range(len(VARIANTS)))
def test_every_number_gets_the_verdict_of_the_policy(machine: str, place: int) -> None:
    program, variant = PROGRAMS[machine, place], VARIANTS[place]
    for number in (*range(1024), 0x40000000, 0x40000001, 0x7FFFFFFF, 0xFFFFFFFF):
        for values in ((0,) * 6, (1,) * 6, (2**32 + 1,) * 6, (2**64 - 1,) * 6):
            assert filters.run(program, machine, number, values) == expected(
                machine, variant, number, values), (number, values)


@given(machine=st.sampled_from(MACHINES), place=st.integers(0, len(VARIANTS) - 1),
       data=st.data(), values=arguments)
@settings(max_examples=800, deadline=None)
def test_arguments_are_judged_as_the_kernel_reads_them(machine: str, place: int, data: Any,
                                                       values: SIX) -> None:
    known = numbers(machine)
    ruled = [known[rule.call] for rule in policy.rules(**VARIANTS[place]) if rule.call in known]
    number = data.draw(st.one_of(st.sampled_from(ruled), st.integers(0, 2**32 - 1)))
    assert filters.run(PROGRAMS[machine, place], machine, number, values) == expected(
        machine, VARIANTS[place], number, values)


@given(machine=st.sampled_from(MACHINES), number=st.integers(0, 2**32 - 1), values=arguments,
       arch=st.integers(0, 2**32 - 1))
def test_no_call_by_another_convention_passes(machine: str, number: int, values: SIX,
                                              arch: int) -> None:
    """int 0x80 on x86_64 above all, and the 32-bit calls of other machines."""
    for other in (arch, 0x40000003, 0x40000028):
        if other != AUDIT_ARCH[machine]:
            assert filters.run(PROGRAMS[machine, 0], machine, number, values, other) == ENOSYS


def socket_verdict(family: int, kind: int, protocol: int, capabilities: tuple[str, ...] = (),
                   network: bool = True) -> int:
    program = compile_policy("x86_64", network, capabilities, True, True)
    return filters.run(program, "x86_64", 41, (family, kind, protocol, 0, 0, 0))


@pytest.mark.parametrize("kind", [4, 5, 6, 10, 0o2000006, 1 << 32 | 5])
def test_protocol_0_is_no_way_to_a_rare_one(kind: int) -> None:
    """SOCK_DCCP with protocol 0 loads that module, SOCK_SEQPACKET is SCTP where it is loaded."""
    assert socket_verdict(policy.INET, kind, 0) == EPERM
    assert socket_verdict(policy.INET, 0o2004001, 0) == ALLOW


def test_a_capability_opens_the_sockets_that_it_is_for() -> None:
    netfilter, icmp = 12, (policy.INET, 3, policy.ICMP)
    assert socket_verdict(policy.NETLINK, 3, netfilter) == EPERM
    assert socket_verdict(policy.NETLINK, 3, netfilter, ("NET_ADMIN",)) == ALLOW
    assert socket_verdict(*icmp) == EPERM and socket_verdict(*icmp, ("NET_RAW",), False) == ALLOW
    assert socket_verdict(policy.INET, 1, policy.TCP, ("NET_RAW",), False) == EPERM
    assert socket_verdict(policy.INET, 6, 0, ("NET_RAW",)) == EPERM


def test_where_set_id_bits_are_refused_no_call_makes_a_file_with_them() -> None:
    known, program = numbers("x86_64"), compile_policy("x86_64", False, ("MKNOD",), False, True)
    for call, place in (("chmod", 1), ("open", 2), ("mknod", 1), ("mknodat", 2)):
        for mode, verdict in ((0o104755, EPERM), (0o102755, EPERM), (0o100755, ALLOW)):
            values = tuple(mode if n == place else 0 for n in range(6))
            assert filters.run(program, "x86_64", known[call], values) == verdict, call
    for capabilities, verdict in (((), ALLOW), (("SETFCAP",), EPERM)):
        program = compile_policy("x86_64", False, capabilities, False, True)
        assert filters.run(program, "x86_64", known["setxattr"], (2**64 - 1,) * 6) == verdict


@given(high=st.integers(0, 2**32 - 1))
def test_the_upper_half_of_an_int_opens_nothing(high: int) -> None:
    """The kernel does not see it, so a filter that did would be blind (CVE-2019-10063)."""
    for call, place, value in (("ioctl", 1, policy.TIOCSTI), ("socket", 0, policy.PACKET),
                               ("clone", 0, 0x10000000), ("personality", 0, 0x0040000)):
        values = tuple(value | high << 32 if n == place else 0 for n in range(6))
        assert filters.run(PROGRAMS["x86_64", 0], "x86_64", numbers("x86_64")[call],
                           values) == EPERM, call


def test_programs_are_small_and_their_jumps_stay_inside() -> None:
    for program in PROGRAMS.values():
        assert len(program) <= 220
        for at, word in enumerate(program):
            code, yes, no = word & 0xFFFF, word >> 16 & 0xFF, word >> 24 & 0xFF
            if code in (0x15, 0x25, 0x35, 0x45):
                assert at + 1 + max(yes, no) < len(program)
            if code == 0x05:
                assert at + 1 + (word >> 32) < len(program)


def test_what_is_prepared_at_the_build_is_what_would_be_compiled() -> None:
    for machine in MACHINES:
        for network, set_id in itertools.product((False, True), repeat=2):
            assert filter_for(machine, network=network, set_id=set_id) == compile_policy(
                machine, network, (), set_id, True)


def test_a_machine_whose_calls_are_not_known_is_refused() -> None:
    with pytest.raises(HostError, match="riscv64"):
        filter_for("riscv64")


# ---- the policy ----------------------------------------------------------------------------------

def test_no_call_has_two_verdicts() -> None:
    grouped = [call for group in policy.GROUPS for call in group.calls.split()]
    ruled = [rule.call for rule in (*policy.RULES, policy.NETWORK)]
    assert len(set(grouped + ruled)) == len(grouped + ruled)
    assert set(grouped + ruled) <= set(numbers("x86_64")), "x86_64 has them all"
    assert {rule.call for rule in policy.SET_IDS} <= set(grouped + ruled)


def test_what_is_unknown_is_so_on_purpose() -> None:
    grouped = {call for group in policy.GROUPS for call in group.calls.split()}
    ruled = {rule.call for rule in (*policy.RULES, policy.NETWORK)}
    assert set(numbers("x86_64")) - grouped - ruled == {
        "clone3",                               # a filter cannot see its flags: libc falls back
        "openat2",                              # nor its mode
        "afs_syscall", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms",
        "getpmsg", "putpmsg", "query_module", "security", "tuxcall", "vserver",     # never were
        "file_getattr", "file_setattr", "listmount", "lsm_get_self_attr", "lsm_list_modules",
        "lsm_set_self_attr", "statmount"}       # too young to be needed


def test_each_group_and_rule_has_its_reason() -> None:
    for one in (*policy.GROUPS, *policy.RULES, policy.NETWORK, policy.NO_NETWORK, *policy.SET_IDS):
        assert one.why and not one.why.endswith("."), one


@pytest.mark.parametrize(("call", "capability"), [
    ("mount", "SYS_ADMIN"), ("chroot", "SYS_CHROOT"), ("clock_settime", "SYS_TIME"),
    ("init_module", "SYS_MODULE"), ("open_by_handle_at", "DAC_READ_SEARCH"), ("bpf", "BPF"),
    ("perf_event_open", "PERFMON")])
def test_a_capability_opens_the_calls_that_it_is_for(call: str, capability: str) -> None:
    number = numbers("x86_64")[call]
    assert filters.run(filter_for("x86_64"), "x86_64", number) == EPERM
    opened = filter_for("x86_64", capabilities=(capability,))
    assert filters.run(opened, "x86_64", number) == ALLOW


def test_numbers_are_those_of_the_kernels_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("no kernel headers of x86_64 here")
    found = {name: int(number) for name, number in
             re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    assert {name: number for name, number in numbers("x86_64").items() if name in found} == found


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_that_libseccomp_knows(machine: str) -> None:
    theirs = filters.numbers(machine, range(1024))
    ours = numbers(machine)
    assert len(theirs) > 280 and theirs == {name: ours.get(name) for name in theirs}
    newest = max(theirs.values())
    younger = {335, 336} if machine == "x86_64" else set()          # uretprobe, uprobe
    assert set(NAMES[machine]) & set(range(newest + 1)) == set(theirs.values()) | younger


# ---- beside libseccomp ---------------------------------------------------------------------------

@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("network", [False, True])
def test_groups_have_the_verdicts_of_libseccomp(machine: str, network: bool) -> None:
    theirs = filters.LibSeccomp(machine, ENOSYS)
    ruled = {rule.call for rule in policy.rules(network, (), True, True)}
    for group in policy.GROUPS:
        for call in group.calls.split():
            theirs.add(call, ALLOW if group.allowed else EPERM)
    unknown = {call for call in numbers(machine)
               if theirs.library.seccomp_syscall_resolve_name(call.encode()) < 0}
    program, ours = theirs.program(), compile_policy(machine, network, (), True, True)
    for call, number in numbers(machine).items():
        if call not in ruled | unknown:
            assert filters.run(program, machine, number) == filters.run(ours, machine, number), call


def libseccomp_of(machine: str, rule: Rule) -> tuple[int, ...]:
    """The same rule, in its words."""
    theirs = filters.LibSeccomp(machine, ALLOW if rule.deny else EPERM)
    for test in rule.deny:
        wanted = ([(1 << bit, 1 << bit) for bit in range(32) if test.mask >> bit & 1]
                  if isinstance(test, Bits) else [(test.mask, value) for value in test.values])
        for mask, value in wanted:
            assert theirs.add(rule.call, EPERM, (test.argument, "MASKED_EQ", mask, value))
    for tests in rule.allow:
        for values in itertools.product(*(test.values for test in tests)):
            assert theirs.add(rule.call, ALLOW, *(
                (test.argument, "EQ", value, 0)
                for test, value in zip(tests, values, strict=True)))
    return theirs.program()


YOUNG = ("fchmodat2", "setxattrat")
"""They are younger than Debian 12's libseccomp."""
RULED = [(place, rule) for place, variant in enumerate(VARIANTS)
         for rule in policy.rules(**variant)
         if rule.call not in YOUNG and (rule.allow or rule.deny)]


@given(machine=st.sampled_from(MACHINES), ruled=st.sampled_from(RULED), values=arguments)
@settings(max_examples=200, deadline=None)
def test_rules_have_the_verdicts_of_libseccomp(machine: str, ruled: tuple[int, Rule],
                                               values: SIX) -> None:
    known, (place, rule) = numbers(machine), ruled
    if rule.call not in known:
        return
    theirs = libseccomp_of(machine, rule)
    verdicts = [filters.run(program, machine, known[rule.call], values)
                for program in (PROGRAMS[machine, place], theirs)]
    assert verdicts[0] == verdicts[1]


# ---- profiles in Docker's JSON -------------------------------------------------------------------

@given(machine=st.sampled_from(MACHINES), values=arguments,
       tests=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(OPERATORS), argument, argument),
                      min_size=1, max_size=3, unique_by=lambda test: test[0]))
@settings(max_examples=200, deadline=None)
def test_a_profile_has_the_verdicts_of_libseccomp(machine: str, values: SIX,
                                                  tests: list[tuple[int, str, int, int]]) -> None:
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["ioctl", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [
            {"index": place, "op": operator, "value": first, "valueTwo": second}
            for place, operator, first, second in tests]}]})
    theirs = filters.LibSeccomp(machine, ENOSYS)
    theirs.add("read", ALLOW)
    theirs.add("ioctl", ERRNO | 7, *((place, operator[9:], first, second)
                                     for place, operator, first, second in tests))
    ours, program = from_profile(text, machine, ()), theirs.program()
    for call in ("read", "ioctl", "write"):
        number = numbers(machine)[call]
        assert filters.run(ours, machine, number, values) == filters.run(program, machine, number,
                                                                         values), call


def rule(action: str, *tests: tuple[int, str, int], **more: object) -> dict[str, Any]:
    return {"names": ["ioctl"], "action": f"SCMP_ACT_{action}", **more, "args": [
        {"index": place, "op": f"SCMP_CMP_{operator}", "value": value}
        for place, operator, value in tests]}


def verdict_of(profile: dict[str, Any], call: str, *values: int) -> int:
    program = from_profile(json.dumps(profile), "x86_64", ())
    six = (values + (0,) * 6)[:6]
    return filters.run(program, "x86_64", numbers("x86_64")[call], six)


def test_two_conditions_on_one_argument_are_alternatives_as_for_docker() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        rule("ALLOW", (1, "EQ", 5), (1, "EQ", 7))]}
    assert [verdict_of(profile, "ioctl", 0, value) for value in (5, 6, 7)] == [ALLOW, EPERM, ALLOW]


def test_a_rule_that_says_what_the_default_says_is_none_as_for_docker() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        rule("ERRNO", (0, "EQ", 1)), rule("ALLOW", (1, "EQ", 2))]}
    assert verdict_of(profile, "ioctl", 1, 2) == ALLOW
    assert verdict_of(profile, "ioctl", 1, 3) == EPERM


def test_a_profile_gives_an_errno_by_name_as_podmans_do() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
               "syscalls": [rule("ERRNO", errno="EINVAL", errnoRet=22)]}
    assert verdict_of(profile, "ioctl") == ERRNO | 22 and verdict_of(profile, "read") == ENOSYS


@pytest.mark.parametrize("default", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"])
def test_no_profile_lets_another_convention_through(default: str) -> None:
    """x32's numbers, and the 32-bit calls, mean other calls than those that the profile forbids."""
    program = from_profile(json.dumps({"defaultAction": default}), "x86_64", ())
    kill = 0x80000000
    assert filters.run(program, "x86_64", 0x40000000 + 165) == kill
    assert filters.run(program, "x86_64", 165, arch=0x40000003) == kill
    assert filters.run(program, "x86_64", 165) == ACTIONS[default]


def test_the_conditions_of_a_profile_are_minded() -> None:
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}}]})
    known = numbers("x86_64")
    for capabilities, mount, bpf in (((), EPERM, ALLOW), (("SYS_ADMIN",), ALLOW, EPERM)):
        program = from_profile(text, "x86_64", capabilities)
        assert filters.run(program, "x86_64", known["mount"]) == mount
        assert filters.run(program, "x86_64", known["bpf"]) == bpf
        assert filters.run(program, "x86_64", known["read"]) == EPERM


def test_a_long_profile_has_its_jumps_bridged() -> None:
    calls = sorted(numbers("x86_64"))
    text = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": 100 + n,
         "args": [{"index": 1, "op": "SCMP_CMP_EQ", "value": n}]}
        for n, call in enumerate(calls)]})
    program = from_profile(text, "x86_64", ())
    assert 1000 < len(program) <= 4096
    for n, call in enumerate(calls):
        number = numbers("x86_64")[call]
        assert filters.run(program, "x86_64", number, (0, n, 0, 0, 0, 0)) == ERRNO | 100 + n
        assert filters.run(program, "x86_64", number, (0, n + 1, 0, 0, 0, 0)) == ALLOW


@pytest.mark.parametrize(("profile", "said"), [
    ("{", "JSON"), ("[]", "object"),
    ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EHMM"}', "a name such as"),
    ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": true}', "from 0 to 4095"),
    ("{}", "defaultAction"),
    ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "nobody is there"),
    ('{"defaultAction": "ALLOW"}', "the actions are"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 1}', "a list"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}', "a rule is an object"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_KILL"}]}', "names"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO",'
     ' "errnoRet": 5000}]}', "an errno"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO",'
     ' "args": [{"index": 6}]}]}', "index"),
    ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO",'
     ' "args": [{"index": 0, "op": "=="}]}]}', "operators"),
])
def test_a_profile_that_is_not_understood_is_named(profile: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        from_profile(profile, "x86_64", ())
    assert caught.value.field == "security-opt seccomp"


def test_a_profile_of_any_depth_or_length_is_refused_in_words() -> None:
    for text, said in (("[" * 100_000, "too deep"), ('{"defaultAction": {}}', "the actions are"),
                       (json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                           {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [
                               {"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]}] * 3000}), "4096")):
        with pytest.raises(SpecError, match=said):
            from_profile(text, "x86_64", ())


def test_groups_and_rules_are_told_apart() -> None:
    assert all(isinstance(one, Group) for one in policy.GROUPS)
    assert all(not (rule.allow and rule.deny) for rule in policy.rules(True, (), False, True))


def test_all_conditions_have_names_for_their_values() -> None:
    """But for the persona that asks, which has none in C either."""
    for place, rule in RULED:
        said = words.verdict(rule).replace("0xffffffff (which", "")
        assert "0x" not in said, (VARIANTS[place], said)
