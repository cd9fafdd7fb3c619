"""Error lines for invalid settings: one for each error, with the name of the setting and the fix. Pure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.settings.environment import Environment
from app.settings.settings_base import ConflictingSettings
from app.settings.suggestions import closest, did_you_mean, members, table_at

_NO_SITE = "no site is set: set SITES__SHOP__SITE_ID and SITES__SHOP__ORIGINS, with a name of yours in place of SHOP"
_MAX_LIST = 120  # characters
_TABLE_EXPECTED = {"model_type", "model_attributes_type", "dict_type"}


class SettingsError(Exception):
    """The settings are invalid. `lines` has a line for each error, with the name of the setting and the fix."""

    def __init__(self, lines: list[str]) -> None:
        # Names in the file may contain line ends and control characters.
        clean = [" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in lines]
        self.lines = list(dict.fromkeys(clean))
        super().__init__("\n".join(self.lines))


def error_lines(error: ValidationError, environment: Environment, file: Path | None) -> Iterator[str]:
    """Yield a line for each error of the validation.

    Settings have their names in the environment. If there is a `file`, settings that the environment does not set have
    their names in the file as well. A setting that is missing only because its name is misspelt is not reported twice.
    """
    errors = [_Error(details) for details in error.errors(include_input=False, include_url=False)]
    suggested = environment.suggested | {each.suggestion for each in errors if each.suggestion}
    for each in errors:
        if each.kind == "missing" and any(_covers(name, each.name) for name in suggested):
            continue
        in_file = file is not None and not environment.is_set(each.path)
        location = f" ({'.'.join(each.path)} in {file})" if in_file else ""
        for name, message in each.messages():
            yield f"{name}: {message}{location if name == each.name else ''}"


def _covers(suggested: str, missing: str) -> bool:
    return f"{suggested}__".startswith(f"{missing}__") or missing.startswith(f"{suggested}__")


class _Error:
    """One error of pydantic. `name`: the name of the setting in the environment."""

    def __init__(self, details: ErrorDetails) -> None:
        steps = [step for step in details["loc"] if step != "[key]"]
        self.kind = details["type"]
        self.path = tuple(step for step in steps if isinstance(step, str))
        self._is_key = details["loc"][-1:] == ("[key]",)
        self._entry = next((step for step in steps if isinstance(step, int)), None)
        self._details = details
        self.name = _name(self.path)
        self.unknown = self.kind == "extra_forbidden" or (self.kind == "literal_error" and self._is_key)
        self.suggestion = closest(self.path) if self.unknown else None
        if self.kind in _TABLE_EXPECTED and (suggestion := did_you_mean(self.name)):
            # SITES__SHOP_SITE_ID was parsed as a site with the name SHOP_SITE_ID.
            self.unknown, self.suggestion = True, suggestion

    def messages(self) -> list[tuple[str, str]]:
        """Return pairs of a name and a message; several if settings conflict with each other."""
        error = self._details.get("ctx", {}).get("error")
        if isinstance(error, ConflictingSettings):
            return [
                (_name((*self.path, *filter(None, name.split("__")))), message) for name, message in error.conflicts
            ]
        return [(self.name, self._message(error))]

    def _message(self, error: Any) -> str:
        if self.unknown:
            if self.path[-1].lower() in members(self.path[:-1]):
                return "unknown name: write names in lower case in the file"
            known = ", ".join(members(self.path[:-1])).upper()
            fix = (
                f": remove it, or write one of {known}" if 0 < len(known) <= _MAX_LIST else ": correct it or remove it"
            )
            return "unknown name" + (f", did you mean {self.suggestion}?" if self.suggestion else fix)
        if self.path == ("sites",) and self.kind in {"missing", "too_short"}:
            return _NO_SITE
        if self.kind in {"missing", "too_short"}:
            return f"missing: set it to {_description(self.path)}"
        if self.kind in _TABLE_EXPECTED:
            inner = next(iter(members(self.path)), "<NAME>").upper()
            return f"is a group of settings and not a value: set them one by one, as {self.name}__{inner}"
        entry = f"entry {self._entry + 1}: " if self._entry is not None else ""
        if self.kind == "literal_error":
            return f"{entry}write {self._details['ctx']['expected']}"
        if self.kind in {"bool_parsing", "bool_type"}:
            return f"{entry}write on or off"
        return f"{entry}{error or self._details['msg']}"


def _name(path: tuple[str, ...]) -> str:
    return "__".join(path).upper()


def _description(path: tuple[str, ...]) -> str:
    model = table_at(path[:-1])
    field = model.model_fields.get(path[-1]) if isinstance(model, type) and issubclass(model, BaseModel) else None
    return (field.description if field else None) or "a value"
