"""The names of all settings, and suggestions for unknown names. Pure.

A generic name has `*` in place of names that the operator chooses: `SITES__*__ORIGINS`.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from app.settings.model import Settings

Path = tuple[str, ...]

RENAMED: Final = {
    "delivered_title": "placed_title",
    "per_client": "per_address",
    "per_client_phones": "per_address_phones",
}
"""Former names of settings, by their last step, and the names that replaced them."""


def table_at(path: Sequence[str]) -> Any:
    """Return the type of the table at a path, a model or `dict[...]`; None if there is a plain value or nothing."""
    table: Any = Settings
    for step in path:
        table = _table(_member(table, step))
        if table is None:
            return None
    return table


def is_setting(path: Sequence[str]) -> bool:
    """Return whether a path leads to a plain setting, with any names in place of `*`."""
    *above, last = path
    table = table_at(above)
    return table is not None and last in (members(above) or (last,)) and table_at(path) is None


def members(path: Sequence[str]) -> tuple[str, ...]:
    """Return the names that the table at a path allows; empty if the operator chooses them."""
    table = table_at(path)
    if get_origin(table) is not dict:
        return tuple(table.model_fields) if table is not None else ()
    names = get_args(table)[0]
    return get_args(names) if get_origin(names) is Literal else ()


@cache
def generic_names() -> tuple[str, ...]:
    """Return the generic name of every setting, as in the environment. A table with free keys is one setting."""
    return tuple(dict.fromkeys(re.sub(r"(__\*)+$", "", "__".join(path).upper()) for path in _walk(Settings, ())))


def did_you_mean(name: str) -> str | None:
    """Return the setting that differs from a name only in underscores and plurals, or that replaced it; else None.

    For `CHASER_CLIENT_ID` this is `CHASER__CLIENT_ID`, for `QUOTAS__PER_CLIENT` it is `QUOTAS__PER_ADDRESS`.
    """
    candidates = []
    present = _present_name(name)
    for generic in {*generic_names(), *("__".join(path).upper() for path in _walk(Settings, ()))}:
        match = _loose_pattern(generic).fullmatch(present)
        if match and not any("__" in chosen for chosen in match.groups()):
            chosen = iter(match.groups())
            setting = "__".join(next(chosen) if step == "*" else step for step in generic.split("__"))
            # SITES_SHOP_MANAGER_PHONE is the MANAGER_PHONE of SHOP, not the PHONE of SHOP_MANAGER.
            candidates.append((len("".join(match.groups())), setting))
    return next((setting for _, setting in sorted(candidates) if setting != name), None)


def closest(path: Sequence[str]) -> str | None:
    """Return the full name of the setting closest to a path with an unknown last step; None if none is similar."""
    *above, last = path
    for start in range(1, len(path)):
        end = "__".join(path[start:]).upper()
        if end in generic_names():
            return end  # a general setting that was written inside a table
    if setting := did_you_mean("__".join(path).upper()):
        return setting
    table = table_at(above)
    inside = () if table is None else ("__".join(steps) for steps in _walk(table, ()))
    names = {_normalized(name): name for name in (*inside, *members(above)) if "*" not in name}
    last_steps = {_normalized(name.rpartition("__")[2]): name for name in names.values()}
    last = RENAMED.get(last, last)
    matches = difflib.get_close_matches(_normalized(last), [*names, *last_steps], 1, 0.75)
    return "__".join([*above, (last_steps | names)[matches[0]]]).upper() if matches else None


def _present_name(name: str) -> str:
    """Return a name in upper case with a former last step replaced by the present one."""
    for former, present in RENAMED.items():
        if re.search(rf"(^|_){former.upper()}$", name):
            return name[: -len(former)] + present.upper()
    return name


def _walk(table: Any, above: Path) -> Iterator[Path]:
    for name in ("*",) if get_origin(table) is dict else tuple(table.model_fields):
        inner = _table(_member(table, name))
        yield from [(*above, name)] if inner is None else _walk(inner, (*above, name))


def _member(table: Any, name: str) -> Any:
    if get_origin(table) is dict:
        return get_args(table)[1]
    field = table.model_fields.get(name)
    return None if field is None else field.annotation


def _table(annotation: Any) -> Any:
    if get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return next(filter(None, map(_table, get_args(annotation))), None)
    return None


@cache
def _loose_pattern(generic: str) -> re.Pattern[str]:
    """Return the pattern of a name, in which groups match the chosen names, with any number of underscores."""
    steps = [r"_+(.+?)(?=_|$)" if step == "*" else step.replace("_", "_*") for step in generic.split("__")]
    if len(steps) > 1 and steps[0].endswith("S"):
        steps[0] += "?"
    return re.compile("_*".join(steps))


def _normalized(name: str) -> str:
    return name.replace("_", "").upper()
