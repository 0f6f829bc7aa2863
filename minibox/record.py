"""Immutable records: a frozen, slotted, keyword-only dataclass at a twentieth of its start-up.

`import dataclasses` costs 12 ms and each class 0.4 ms more (Python 3.11), more than a whole box;
every plan, spec and result is made of records, and `minibox run` starts afresh each time.
A field is an annotation of the class body; its default is the value given there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar, dataclass_transform

    R = TypeVar("R", bound="Record")
else:

    def dataclass_transform(**_options: object):
        return lambda cls: cls


@dataclass_transform(kw_only_default=True, frozen_default=True)
class RecordType(type):
    """The class of record classes: turns annotations into slots and remembers their defaults."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> RecordType:
        own = {field: kind for field, kind in body.get("__annotations__", {}).items()
               if not str(kind).startswith("ClassVar")}
        inherited: dict[str, str] = {}
        defaults: dict[str, Any] = {}
        for base in reversed(bases):
            inherited.update(getattr(base, "__fields__", {}))
            defaults.update(getattr(base, "__defaults__", {}))
        defaults.update({field: body.pop(field) for field in own if field in body})
        body["__slots__"] = tuple(own)
        body["__fields__"] = inherited | own
        body["__defaults__"] = defaults
        return super().__new__(mcs, name, bases, body)


class Record(metaclass=RecordType):
    """Base of all records. Equality, hash and repr are by class and field values."""

    __fields__: ClassVar[dict[str, str]]
    __defaults__: ClassVar[dict[str, Any]]

    def __init__(self, **values: Any) -> None:
        setter = object.__setattr__
        for field in self.__fields__:
            if field in values:
                setter(self, field, values.pop(field))
            elif field in self.__defaults__:
                setter(self, field, self.__defaults__[field])
            else:
                raise TypeError(f"{type(self).__name__} needs a value for {field!r}")
        if values:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(values))!r}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Validate; a subclass that needs it overrides this."""

    def __setattr__(self, field: str, _value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable, so {field!r} cannot be set")

    def __delattr__(self, field: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable, so {field!r} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self.__fields__)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, field) for field in self.__fields__)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in self.__fields__)
        return f"{type(self).__name__}({shown})"

    def __getstate__(self) -> dict[str, Any]:
        return as_dict(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for field, value in state.items():
            object.__setattr__(self, field, value)


def replace(record: R, /, **changes: Any) -> R:
    """A copy of *record* with some fields changed, validated again."""
    return type(record)(**(as_dict(record) | changes))


def as_dict(record: Record) -> dict[str, Any]:
    """The fields of *record*, in order, not descending into them."""
    return {field: getattr(record, field) for field in record.__fields__}
