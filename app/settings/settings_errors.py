"""Tells what is wrong with the settings: one line for each fault, with the setting's name and the cure. Pure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.settings.environment import Environment
from app.settings.settings_base import ConflictingSettings
from app.settings.suggestions import closest, did_you_mean, members, table_at

_NO_SITE = "no site is set: set SITES__SHOP__SITE_ID and SITES__SHOP__ORIGINS, with a name of yours in place of SHOP"
_SHORT_LIST = 120
_NO_TABLE = {"model_type", "model_attributes_type", "dict_type"}


class SettingsError(Exception):
    """The settings can't be used; ``lines`` has one line for each fault, naming the setting and the cure."""

    def __init__(self, lines: list[str]) -> None:
        # A name in the file may hold anything, line ends too.
        clean = [" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in lines]
        self.lines = list(dict.fromkeys(clean))
        super().__init__("\n".join(self.lines))


def fault_lines(error: ValidationError, environment: Environment, file: Path | None) -> Iterator[str]:
    """Give the lines for what validation found.

    Names are those of the environment; with a ``file``, what the environment does not say has its name there too. What
    is missing only because its name is misspelt isn't told twice.
    """
    faults = [_Fault(details) for details in error.errors(include_input=False, include_url=False)]
    meant = environment.meant | {fault.meant for fault in faults if fault.meant}
    for fault in faults:
        if fault.kind == "missing" and any(_covers(name, fault.name) for name in meant):
            continue
        in_file = file is not None and not environment.has(fault.path)
        there = f" ({'.'.join(fault.path)} in {file})" if in_file else ""
        for name, message in fault.messages():
            yield f"{name}: {message}{there if name == fault.name else ''}"


def _covers(meant: str, missing: str) -> bool:
    return f"{meant}__".startswith(f"{missing}__") or missing.startswith(f"{meant}__")


class _Fault:
    """One fault as pydantic tells it; ``name``: the setting's, as in the environment."""

    def __init__(self, details: ErrorDetails) -> None:
        steps = [step for step in details["loc"] if step != "[key]"]
        self.kind = details["type"]
        self.path = tuple(step for step in steps if isinstance(step, str))
        self._is_key = details["loc"][-1:] == ("[key]",)
        self._entry = next((step for step in steps if isinstance(step, int)), None)
        self._context: dict[str, Any] = details.get("ctx", {})
        self._told = details["msg"]
        self.name = _name(self.path)
        self.unknown = self.kind == "extra_forbidden" or (self.kind == "literal_error" and self._is_key)
        self.meant = closest(self.path) if self.unknown else None
        if self.kind in _NO_TABLE and (meant := did_you_mean(self.name)):
            self.unknown, self.meant = True, meant  # SITES__SHOP_SITE_ID looks like a site of the name SHOP_SITE_ID

    def messages(self) -> list[tuple[str, str]]:
        """Give pairs of a name and a message; several where settings contradict each other."""
        error = self._context.get("error")
        if isinstance(error, ConflictingSettings):
            return [(_name((*self.path, *filter(None, name.split("__")))), message) for name, message in error.found]
        return [(self.name, self._message(error))]

    def _message(self, error: Any) -> str:
        if self.unknown:
            if self.path[-1].lower() in members(self.path[:-1]):
                return "unknown name: write names in lower case in the file"
            known = ", ".join(members(self.path[:-1])).upper()
            cure = (
                f": remove it, or write one of {known}"
                if 0 < len(known) <= _SHORT_LIST
                else ": correct it or remove it"
            )
            return "unknown name" + (f", did you mean {self.meant}?" if self.meant else cure)
        if self.path == ("sites",) and self.kind in {"missing", "too_short"}:
            return _NO_SITE
        if self.kind in {"missing", "too_short"}:
            return f"missing: set it to {_description(self.path)}"
        if self.kind in _NO_TABLE:
            inner = next(iter(members(self.path)), "<NAME>").upper()
            return f"is no value but a group of settings: set them one by one, as {self.name}__{inner}"
        entry = f"entry {self._entry + 1}: " if self._entry is not None else ""
        if self.kind == "literal_error":
            return f"{entry}write {self._context['expected']}"
        return f"{entry}{error or self._told}"


def _name(path: tuple[str, ...]) -> str:
    return "__".join(path).upper()


def _description(path: tuple[str, ...]) -> str:
    model = table_at(path[:-1])
    field = model.model_fields.get(path[-1]) if isinstance(model, type) and issubclass(model, BaseModel) else None
    return (field.description if field else None) or "a value"
