"""A plan: ordered steps in four parts; a text form for people, a binary form for the engine.

The binary form is one block without pointers, all integers little-endian:

    header   magic, format, size, the number of steps of each part, and three (offset, size) pairs
    steps    one record after the other: u16 kind, u16 size, u32 0, then 8 bytes for each field
    data     NUL-terminated strings and lists, which fields name by (u32 offset, u32 length)
    notes    JSON for readers of the report (receipts and so on); the engine does not look at it

An int or bool field is an i64; a string is (offset, length); a list is (offset, count) of an array
of such 8-byte values, on an 8-byte boundary.  Offsets count from the start of the block.
`csrc/plan.c` is the checking reader.
"""

from __future__ import annotations

import struct
from binascii import crc32

from minibox import steps
from minibox.errors import EngineError
from minibox.record import Record
from minibox.steps import KINDS, PARTS, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"minibox\0"
VERSION = 1
FORMAT = crc32(" ".join([word for kind in KINDS for word in
                         (kind.__name__, *kind.__fields__, *kind.__fields__.values())]).encode())
"""Another number for any other kinds of step, so that no engine takes a plan for what it is not."""

MAX_STEPS = 1024
MAX_SIZE = 16 << 20
HEADER = struct.Struct("<8s II 4I II II II")
RECORD = struct.Struct("<HHI")

_NUMBER = {kind: number for number, kind in enumerate(KINDS, 1)}


class Plan(Record):
    """What will be done, in order. `notes` is JSON text for whoever reads the report."""

    prepare: tuple[Step, ...]
    enter: tuple[Step, ...]
    app: tuple[Step, ...]
    finish: tuple[Step, ...]
    notes: str = ""

    def __iter__(self) -> Iterator[Step]:
        for part in PARTS:
            yield from getattr(self, part)

    def __len__(self) -> int:
        return sum(len(getattr(self, part)) for part in PARTS)

    def __str__(self) -> str:
        return to_text(self)


def to_text(plan: Plan) -> str:
    """The stable text form: a line for each part and each step, `NUMBER name field=value ...`."""
    lines, number = [f"minibox plan {VERSION}"], 0
    for part in PARTS:
        lines.append(part)
        for step in getattr(plan, part):
            fields = "".join(f" {field}={_quoted(steps.show(field, getattr(step, field)))}"
                             for field in step.__fields__)
            lines.append(f"  {number:3} {steps.name_of(type(step))}{fields}")
            number += 1
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    plain = text and all(c.isalnum() or c in "_./:,-+@%=" for c in text)
    return text if plain else '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"'


class _Data:
    """The data area while it grows; strings that are equal are stored once."""

    def __init__(self, start: int) -> None:
        self.start, self.block, self.known = start, bytearray(), dict[str, int]()

    def string(self, text: str) -> int:
        if text not in self.known:
            raw = text.encode("utf-8", "surrogateescape")
            self.known[text] = (self.start + len(self.block)) | len(raw) << 32
            self.block += raw + b"\0"
        return self.known[text]

    def value(self, value: object) -> int:
        if isinstance(value, str):
            return self.string(value)
        if isinstance(value, tuple):
            items = struct.pack(f"<{len(value)}Q", *map(self.value, value))
            self.block += bytes(-len(self.block) % 8)
            at = self.start + len(self.block)
            self.block += items
            return at | len(value) << 32
        assert isinstance(value, int)
        return value & 0xFFFF_FFFF_FFFF_FFFF


def encode(plan: Plan) -> bytes:
    """The binary form. Text is UTF-8; bytes that are not are carried as surrogate escapes."""
    steps_size = sum(RECORD.size + 8 * len(step.__fields__) for step in plan)
    data = _Data(HEADER.size + steps_size)
    records = bytearray()
    for step in plan:
        values = [data.value(getattr(step, field)) for field in step.__fields__]
        records += RECORD.pack(_NUMBER[type(step)], RECORD.size + 8 * len(values), 0)
        records += struct.pack(f"<{len(values)}Q", *values)
    notes = plan.notes.encode()
    notes_at = HEADER.size + len(records) + len(data.block)
    size = notes_at + len(notes)
    head = HEADER.pack(MAGIC, FORMAT, size, *(len(getattr(plan, part)) for part in PARTS),
                       HEADER.size, len(records), data.start, len(data.block), notes_at, len(notes))
    return head + bytes(records) + bytes(data.block) + notes


def decode(block: bytes) -> Plan:
    """The plan that *block* holds; EngineError names what is wrong with one that cannot be read."""
    try:
        return _decode(block)
    except (struct.error, ValueError, IndexError, TypeError) as error:
        raise EngineError(f"this is not a plan: {error}") from error


def _decode(block: bytes) -> Plan:
    magic, form, size, *rest = HEADER.unpack_from(block)
    if magic != MAGIC or form != FORMAT or size != len(block) or size > MAX_SIZE:
        raise ValueError(f"magic {magic!r}, format {form:#x}, size {size} of {len(block)}")
    counts, (at, _steps_size, _data, _data_size, notes_at, notes_size) = rest[:4], rest[4:]

    if sum(counts) > MAX_STEPS:
        raise ValueError(f"{sum(counts)} steps")
    left = 4 * MAX_SIZE             # lists may share what they name: so much is looked at, as in C

    def value(kind: str, raw: int) -> object:
        nonlocal left
        where, length = raw & 0xFFFF_FFFF, raw >> 32
        if kind == "str" or kind.startswith("tuple"):
            left -= length + 1 if kind == "str" else 8 * length
            if left < 0 or where + length > size:
                raise ValueError(f"a {kind} at {where} of length {length}")
        if kind == "str":
            return block[where:where + length].decode("utf-8", "surrogateescape")
        if kind.startswith("tuple"):
            item = kind[len("tuple["):].split(",")[0]
            raws = struct.unpack_from(f"<{length}Q", block, where)
            return tuple(value(item, each) for each in raws)
        return bool(raw) if kind == "bool" else raw - (1 << 64) * (raw >> 63)

    parts: list[tuple[Step, ...]] = []
    for count in counts:
        found: list[Step] = []
        for _ in range(count):
            number, record_size, _zero = RECORD.unpack_from(block, at)
            if not 0 < number <= len(KINDS):
                raise ValueError(f"a step of kind {number}")
            kind = KINDS[number - 1]
            if record_size != RECORD.size + 8 * len(kind.__fields__):
                raise ValueError(f"a step of kind {number} and size {record_size}")
            raw = struct.unpack_from(f"<{len(kind.__fields__)}Q", block, at + RECORD.size)
            found.append(kind(**{field: value(of, each) for (field, of), each
                                 in zip(kind.__fields__.items(), raw, strict=True)}))
            at += record_size
        parts.append(tuple(found))
    notes = block[notes_at:notes_at + notes_size].decode()
    return Plan(prepare=parts[0], enter=parts[1], app=parts[2], finish=parts[3], notes=notes)
