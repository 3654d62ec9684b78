"""attrs classes that start quickly.

For each class, attrs generates Python code and compiles it, at every start of the program: for our classes that was a
fifth of a small run. Only ``__init__`` has to be quick here, so only ``__init__`` is generated; comparison, hash and
``repr`` are written once, below. For everything else, and for type checkers, these are the decorators of attrs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attrs import Attribute, define, frozen
else:
    import attrs

    def define(cls: type | None = None, **options: Any) -> Any:
        """``attrs.define``."""
        return _decorated(cls, attrs.define, options, hashed=None)

    def frozen(cls: type | None = None, **options: Any) -> Any:
        """``attrs.frozen``."""
        return _decorated(cls, attrs.frozen, options, hashed=_hash)


__all__ = ("define", "frozen")


def _decorated(
    cls: type | None, decorator: Callable[..., Any], options: dict[str, Any], *, hashed: Callable[[Any], int] | None
) -> Any:
    """``cls`` with our methods where attrs would generate its own; attrs leaves alone what a class brings along."""

    def decorate(cls: type) -> Any:
        own: dict[str, Any] = {"__repr__": _repr} if options.get("repr", True) else {}
        if options.get("eq", True) and "__eq__" not in cls.__dict__:
            own |= {"__eq__": _eq, "__hash__": hashed}
        for name, method in own.items():
            if name not in cls.__dict__:
                setattr(cls, name, method)
        return decorator(**options)(cls)

    return decorate if cls is None else decorate(cls)


def _fields(instance: Any) -> Iterator[Attribute[Any]]:
    fields: tuple[Attribute[Any], ...] = instance.__attrs_attrs__
    return iter(fields)


def _values(instance: Any) -> tuple[Any, ...]:
    return tuple(getattr(instance, field.name) for field in _fields(instance) if field.eq)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash((self.__class__, _values(self)))


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in _fields(self) if field.repr)
    return f"{self.__class__.__qualname__.rpartition('.')[2]}({', '.join(shown)})"
