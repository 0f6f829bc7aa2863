"""Builds what is C: the engine, the probes, and the module `minibox._core` (cffi, API mode, abi3).

Both programs are executables inside the package: a wheel carries them, none is looked for in PATH.
CC, CFLAGS and MINIBOX_STATIC=0 (for sanitizers, which cannot be static) change how it is built.
"""

import os
import shlex
import subprocess
import sys

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

CSRC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "csrc")
WARNINGS = ("-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Werror",
            "-Wswitch-enum")
FREESTANDING = ("-static", "-nostdlib", "-mstack-protector-guard=global")


def sources(directory: str) -> list[str]:
    """The C files of one directory that programs are made of."""
    return sorted(f"{directory}/{name}" for name in os.listdir(directory)
                  if name.endswith(".c") and not name.startswith("core"))


def build(target: str, files: list[str]) -> None:
    """Compile *files* into the program *target*, which is replaced at once: it may be running."""
    subprocess.run([sys.executable, f"{CSRC}/generate.py", f"{CSRC}/generated"], check=True)
    flags = shlex.split(os.environ.get("CFLAGS", "-O2 -fstack-protector-strong"))
    hosted = os.environ.get("MINIBOX_STATIC", "1") == "0"
    flags += ("-DMB_HOSTED",) if hosted else FREESTANDING      # csrc/start.c says why
    os.makedirs(os.path.dirname(target), exist_ok=True)
    fresh = f"{target}.{os.getpid()}"
    subprocess.run([os.environ.get("CC", "cc"), *WARNINGS, *flags, "-o", fresh, *files],
                   check=True)
    os.replace(fresh, target)


def build_engine(target: str) -> None:
    """The engine: csrc."""
    build(target, sources(CSRC))


def build_probe(target: str) -> None:
    """The program that tries what a box must hold: csrc/probes, with the engine's own start."""
    build(target, [*sources(f"{CSRC}/probes"), f"{CSRC}/start.c"])


def prepare_filters(target: str) -> None:
    """The usual filters of system calls, as a module: a millisecond less at each start."""
    sys.path.insert(0, os.path.dirname(CSRC))
    from minibox.seccomp import prepare

    prepare(target)


class BuildC(build_ext):
    """The cffi module by setuptools, the programs beside it."""

    def run(self) -> None:
        package = "minibox" if self.inplace else os.path.join(self.build_lib, "minibox")
        build_engine(os.path.join(package, "minibox-engine"))
        build_probe(os.path.join(package, "minibox-probe"))
        prepare_filters(os.path.join(package, "seccomp", "prepared.py"))
        self.force = True               # nobody tells setuptools of the headers, some of them made
        super().run()


class Abi3Wheel(bdist_wheel):
    """One wheel for every Python from 3.11 on."""

    def finalize_options(self) -> None:
        self.py_limited_api = "cp311"
        super().finalize_options()


if __name__ == "__main__":
    setup(packages=[*find_packages(include=["minibox", "minibox.*"]), "minibox.recipes"],
          cffi_modules=["csrc/core_build.py:ffibuilder"],
          cmdclass={"build_ext": BuildC, "bdist_wheel": Abi3Wheel})
