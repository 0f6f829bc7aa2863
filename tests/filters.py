"""The kernel's filter machine, in a screenful; and libseccomp's filters, to compare with."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import struct
from collections.abc import Iterable

from minibox.seccomp.numbers import AUDIT_ARCH

MASK = 2**64 - 1


def run(program: Iterable[int], machine: str, number: int, arguments: tuple[int, ...] = (0,) * 6,
        arch: int | None = None) -> int:
    """What *program* returns for a call, as Documentation/networking/filter.rst has it."""
    code = list(program)
    arch = AUDIT_ARCH[machine] if arch is None else arch
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *arguments)
    loaded, at = 0, 0
    while True:
        word = code[at] & MASK
        operation, yes, no, k = word & 0xFFFF, word >> 16 & 0xFF, word >> 24 & 0xFF, word >> 32
        at += 1
        if operation == 0x20:
            assert k % 4 == 0
            loaded, = struct.unpack_from("<I", data, k)
        elif operation == 0x54:
            loaded &= k
        elif operation == 0x05:
            at += k
        elif operation == 0x06:
            return k
        else:
            met = {0x15: loaded == k, 0x25: loaded > k, 0x35: loaded >= k, 0x45: loaded & k != 0}
            at += yes if met[operation] else no


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("argument", ctypes.c_uint), ("operator", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}
BAD_ARCH = 2


class LibSeccomp:
    """A filter of libseccomp's for one machine. default: its verdict for all without a rule."""

    def __init__(self, machine: str, default: int) -> None:
        library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_arch_native.restype = ctypes.c_uint32
        made = library.seccomp_init(ctypes.c_uint32(default))
        self.library, self.context = library, ctypes.c_void_p(made)
        native = library.seccomp_arch_native()
        if native != AUDIT_ARCH[machine]:
            assert library.seccomp_arch_add(self.context, AUDIT_ARCH[machine]) == 0
            assert library.seccomp_arch_remove(self.context, native) == 0
        assert library.seccomp_attr_set(self.context, BAD_ARCH, 0x00050000 | 38) == 0
        self.machine, self.default, self.native = machine, default, native

    def add(self, call: str, verdict: int, *tests: tuple[int, str, int, int]) -> bool:
        """A rule: argument, operator, datum, second datum for each test. False: an old libseccomp
        does not know this call, or it is no rule at all, as its verdict is the default."""
        number = self.library.seccomp_syscall_resolve_name(call.encode())
        if number < 0 or verdict == self.default:
            return False
        compared = (Comparison * len(tests))(*(
            Comparison(argument, OPERATORS[operator], a, b) for argument, operator, a, b in tests))
        failed = self.library.seccomp_rule_add_array(
            self.context, ctypes.c_uint(verdict), number, len(tests), compared)
        assert failed == 0, os.strerror(-failed)
        return True

    def program(self) -> tuple[int, ...]:
        fd = os.memfd_create("filter")
        try:
            assert self.library.seccomp_export_bpf(self.context, fd) == 0
            code = os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)
            self.library.seccomp_release(self.context)
        return struct.unpack(f"<{len(code) // 8}q", code)


def numbers(machine: str, among: Iterable[int]) -> dict[str, int]:
    """Name to number of the calls that libseccomp knows."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    found = {library.seccomp_syscall_resolve_num_arch(
        ctypes.c_uint32(AUDIT_ARCH[machine]), number): number for number in among}
    return {name.decode(): number for name, number in found.items() if name}
