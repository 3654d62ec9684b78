"""attrs classes that start quickly.

What attrs generates for a class takes a third of a millisecond, most of it to compile ``__init__``. For our classes
that was a fifth of a small run, which makes instances of less than half of them. So a class is born with slots and with
the methods that are written once, below; attrs makes all else when it is first looked at, as the first instance does.
From then on, and for type checkers, it is a class of attrs.
"""

from __future__ import annotations

from functools import partial
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attrs import Attribute, define, frozen
else:
    import attrs

    def define(cls: type | None = None, **options: Any) -> Any:
        """``attrs.define``."""
        return _decorated(cls, partial(attrs.define, **options), options, hashed=None)

    def frozen(cls: type | None = None, **options: Any) -> Any:
        """``attrs.frozen``."""
        return _decorated(cls, partial(attrs.frozen, **options), options, hashed=_hash)


__all__ = ("define", "frozen")


def _decorated(
    cls: type | None, made: Callable[[type], type], options: dict[str, Any], *, hashed: Callable[[Any], int] | None
) -> Any:
    """``cls`` with our methods where attrs would generate its own; attrs leaves alone what a class brings along."""

    def decorate(cls: type) -> Any:
        own: dict[str, Any] = {"__repr__": _repr} if options.get("repr", True) else {}
        if options.get("eq", True) and "__eq__" not in cls.__dict__:
            own |= {"__eq__": _eq, "__hash__": hashed}
        for name, method in own.items():
            if name not in cls.__dict__:
                setattr(cls, name, method)
        return _laid_out(cls, partial(made, cls))

    return decorate if cls is None else decorate(cls)


# --- what is made later ------------------------------------------------------------------------------------------

_LATER = ("__init__", "__attrs_attrs__", "__match_args__", "__setstate__")
"""What may be asked of a class that has no instance yet. Whatever else attrs makes comes with it."""


_OF_THE_CLASS = ("ClassVar", "typing.ClassVar")
"""How annotations begin that make no field: as they are written, or evaluated."""


class _Later:
    """A member that attrs makes: whoever looks at one has all members of its class made.

    Threads that look at the same time each have them made; those are alike, and the class keeps some of each.
    """

    __slots__ = ("make", "name", "owner")

    def __init__(self, make: Callable[[], type]) -> None:
        self.make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name

    def __get__(self, instance: object, kind: type | None = None) -> Any:
        _complete(self.owner, self.make)
        member = self.owner.__dict__[self.name]
        return member.__get__(instance, kind) if hasattr(member, "__get__") else member


def _complete(cls: type, make: Callable[[], type]) -> None:
    """Have attrs make its class of what was written, and take over all that ours lacks."""
    for base in cls.__mro__[1:]:  # attrs wants to know more of them than their fields: are they frozen?
        getattr(base, "__attrs_attrs__", None)
    for name, member in make().__dict__.items():
        if name not in cls.__dict__ or isinstance(cls.__dict__[name], _Later):
            setattr(cls, name, member)


def _laid_out(written: type, make: Callable[[], type]) -> type:
    """``written`` with slots for its fields, as attrs lays it out.

    Within its methods, ``super()`` would still mean ``written``, and a cached property would find no ``__dict__``.
    """
    fields = [name for name, kind in written.__annotations__.items() if not str(kind).startswith(_OF_THE_CLASS)]
    bases = [vars(base) for base in written.__mro__[1:-1]]
    inherited = {slot for base in bases for slot in base.get("__slots__", ())}
    slots = [name for name in fields if name not in inherited]
    if not any("__weakref__" in base for base in bases):
        slots.append("__weakref__")
    dropped = {*fields, "__dict__", "__weakref__"}
    members = {name: member for name, member in vars(written).items() if name not in dropped}
    members |= {name: _Later(make) for name in _LATER if name not in members}
    members |= {"__slots__": tuple(slots), "__qualname__": written.__qualname__}
    return type(written)(written.__name__, written.__bases__, members)


# --- what is written once ----------------------------------------------------------------------------------------


def _fields(instance: Any) -> Iterator[Attribute[Any]]:
    fields: tuple[Attribute[Any], ...] = instance.__attrs_attrs__
    return iter(fields)


def _values(instance: Any) -> tuple[Any, ...]:
    return tuple(getattr(instance, field.name) for field in _fields(instance) if field.eq)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash((self.__class__, _values(self)))


@recursive_repr("...")
def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in _fields(self) if field.repr)
    return f"{self.__class__.__qualname__.rpartition('.')[2]}({', '.join(shown)})"
