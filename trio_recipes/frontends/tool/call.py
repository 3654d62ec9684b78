"""One call of the tool, checked: what can't be taken is refused before anything happens."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from trio_recipes.classes import frozen
from trio_recipes.errors import InvalidCallError
from trio_recipes.frontends.tool.schema import OPERATIONS, PARAMETERS
from trio_recipes.language.wording import did_you_mean, kind_of, listed, shown

if TYPE_CHECKING:
    from trio_recipes.sessions.session import Session

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "object": (dict,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
}
_ARTICLE: Final = {"object": "an object", "integer": "a whole number"}


@frozen(eq=False)
class Call:
    """What the tool was asked.

    Args:
        operation: what to do.
        given: the parameters that it takes and was given.
        on_session: told of the session that the call starts or resumes.
    """

    operation: str
    given: Mapping[str, Any]
    on_session: Callable[[Session], None] | None = None

    @classmethod
    def checked(
        cls, operation: str, arguments: Mapping[str, Any], on_session: Callable[[Session], None] | None = None
    ) -> Call:
        """A call whose parameters are all there and of the right type.

        Parameters of other operations are ignored, as models like to fill in all there are; unknown names are not.

        Raises:
            InvalidCallError: naming the parameter that is missing, unknown or of the wrong type.
        """
        known = OPERATIONS[operation]
        given = {name: value for name, value in arguments.items() if name != "operation" and value is not None}
        for name in given.keys() - PARAMETERS.keys():
            takes = listed((*known.required, *known.optional)) or "none"
            raise InvalidCallError(f"unknown parameter {shown(name)}{_near(name)}; {operation} takes: {takes}")
        taken = {name: given[name] for name in (*known.required, *known.optional) if name in given}
        for name, value in taken.items():
            _check(name, value)
        for name in known.required:
            if not taken.get(name):
                raise InvalidCallError(f"{name} is required for {operation} operation")
        return cls(operation, taken, on_session)

    def __getitem__(self, name: str) -> Any:
        """A parameter's value, or its default; None if it has none."""
        return self.given.get(name, PARAMETERS[name].get("default"))


def _near(name: object) -> str:
    return did_you_mean(name, PARAMETERS) if isinstance(name, str) else ""


def _check(name: str, value: object) -> None:
    schema = PARAMETERS[name]
    wanted = schema["type"]
    is_bool = isinstance(value, bool)
    if not isinstance(value, _TYPES[wanted]) or (is_bool and wanted != "boolean"):
        kind = _ARTICLE.get(wanted, f"a {wanted}")
        itself = "; give the object itself, not its text" if wanted == "object" and isinstance(value, str) else ""
        raise InvalidCallError(f"{name} must be {kind}, found {kind_of(value)} ({shown(value)}){itself}")
    if isinstance(value, (int, float)) and not is_bool:
        _check_range(name, value, schema)


def _check_range(name: str, value: float, schema: Mapping[str, Any]) -> None:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    if not math.isfinite(value) or (least is not None and value < least) or (above is not None and value <= above):
        raise InvalidCallError(f"{name} must be {f'at least {least}' if above is None else f'over {above}'}: {value!r}")
