"""minibox: one application per box, isolated by namespaces and capped by cgroups.

    import minibox
    result = minibox.run(["python3", "-c", "print(6 * 7)"], capture_output=True, text=True,
                         limits=minibox.Limits(memory="64MiB", walltime=2))

The names below are loaded when they are touched, so importing this costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = [
    "DEVNULL", "PIPE", "STDOUT", "Box", "BoxExecutor", "BoxFailed", "BoxSpec", "EngineError",
    "ExecError", "HostError", "Job", "Limits", "MiniboxError", "Process", "Receipt", "Result",
    "Run", "Runs", "SavedResult", "SavedRun", "SpecError", "StepError", "Usage", "__version__",
    "load_runs", "run", "run_async", "run_many",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minibox.box import DEVNULL, PIPE, STDOUT, Box, Process, run, run_async
    from minibox.errors import (
        BoxFailed,
        EngineError,
        ExecError,
        HostError,
        MiniboxError,
        SpecError,
        StepError,
    )
    from minibox.request import Limits
    from minibox.result import Receipt, Result, Usage
    from minibox.saved import SavedResult
    from minibox.spec import BoxSpec
    from minibox.testing.executor import BoxExecutor
    from minibox.testing.many import Job, Run, Runs, run_many
    from minibox.testing.saved import SavedRun, load_runs

_HOMES = {
    "box": ("DEVNULL", "PIPE", "STDOUT", "Box", "Process", "run", "run_async"),
    "errors": ("BoxFailed", "EngineError", "ExecError", "HostError", "MiniboxError", "SpecError",
               "StepError"),
    "request": ("Limits",),
    "result": ("Receipt", "Result", "Usage"),
    "saved": ("SavedResult",),
    "spec": ("BoxSpec",),
    "testing.executor": ("BoxExecutor",),
    "testing.many": ("Job", "Run", "Runs", "run_many"),
    "testing.saved": ("SavedRun", "load_runs"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            module = __import__(f"minibox.{home}", fromlist=[name])
            globals()[name] = getattr(module, name)
            return globals()[name]
    raise AttributeError(f"module 'minibox' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
