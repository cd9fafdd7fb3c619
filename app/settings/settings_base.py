"""Shared by all settings: the base class, names of sites and keys, and errors that concern several settings."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
_MAX_NAME = 64


class ConflictingSettings(ValueError):
    """Settings that are valid one by one, but not together.

    `conflicts` has a pair for each: the name of the setting to change, and the error with its fix. Names are relative
    to the model that raises this, with `__` between their steps.
    """

    def __init__(self, conflicts: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(message for _, message in conflicts))
        self.conflicts = tuple(conflicts)


class SettingsModel(BaseModel):
    """A table of settings. Unknown names are refused; values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


def validate_name(text: str) -> str:
    """Return a valid name of a site, department or API key. Raises ValueError with the fix for another text."""
    if len(text) > _MAX_NAME or not _NAME.fullmatch(text):
        raise ValueError(
            f"write this name in lower case: a-z, 0-9, single - or _ between them, at most {_MAX_NAME} characters"
        )
    return text


Name = Annotated[str, AfterValidator(validate_name)]
"""The name of a site, department or API key. It has no `__`, which separates the steps of a setting's name."""


def without_empty(table: Any) -> Any:
    """Return a table without empty texts and empty tables: an empty value counts as not set, at any depth."""
    if not isinstance(table, dict):
        return table
    tidy = {name: without_empty(value) for name, value in table.items()}
    return {name: value for name, value in tidy.items() if value != {} and not _blank(value)}


def _blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
