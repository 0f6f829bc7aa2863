"""The calls of csrc/steps_streams.c."""

from __future__ import annotations

from minibox import steps
from minibox.explain.calls.notation import Call, Scene, call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minibox.explain.calls.notation import Maker


def open_streams(scene: Scene, step: steps.OpenStreams) -> Iterator[Call]:
    scene.terminal = step.terminal
    scene.nothing_in = step.stdin != "caller"
    for stream in range(0 if step.terminal else 3):
        nothing = scene.nothing_in and stream == 0
        if not nothing:
            yield call("fstat", stream, "{...}", result="")
            yield call("fstatfs", stream, "{...}", when="where it is a pipe")
        closed = "" if nothing else "where the caller has closed it"
        yield call("openat", "AT_FDCWD", '"/dev/null"',
                   f"{'O_WRONLY' if stream else 'O_RDONLY'}|O_NOCTTY|O_CLOEXEC", result="<null>",
                   when=closed)
        if not nothing:
            relayed = "where it is relayed"
            yield call("pipe2", "[<reads>, <writes>]", "O_CLOEXEC", when=relayed)
            yield call("fcntl", "<ours>", "F_SETFL",
                       f"{'O_RDONLY' if stream else 'O_WRONLY'}|O_NONBLOCK", when=relayed)
        if step.owner >= 0:
            yield call("fstat", "<theirs>", "{...}")
            yield call("fchownat", "<theirs>", '""', "<id>", -1, "AT_EMPTY_PATH",
                       when="where it is a pipe")


def new_session(scene: Scene, step: steps.NewSession) -> Iterator[Call]:
    yield call("setsid", result="<pid>")
    if step.terminal:
        yield call("ioctl", "<terminal>", "TIOCSCTTY", 0)


def use_streams(scene: Scene, step: steps.UseStreams) -> Iterator[Call]:
    for stream in range(3):
        sure = scene.terminal or scene.nothing_in and stream == 0
        source = "<terminal>" if scene.terminal else "<null>" if sure else "<theirs>"
        yield call("dup3", source, stream, 0, result=str(stream),
                   when="" if sure else "where it is relayed, or null")
        if not sure:
            yield call("fcntl", stream, "F_SETFD", 0, when="where it is the caller's own pipe")


CALLS: dict[type[steps.Step], Maker] = {
    steps.OpenStreams: open_streams, steps.NewSession: new_session, steps.UseStreams: use_streams,
}
