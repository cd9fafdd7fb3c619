"""What the parts of the settings share: the base class, the names people choose, and faults that concern several."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
_LONGEST_NAME = 64


class ConflictingSettings(ValueError):
    """Settings that are right one by one, but not together.

    ``found`` has a pair for each: the name of the setting to change, relative to the part that raises this and with
    ``__`` between its steps, and the message with the cure.
    """

    def __init__(self, found: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(message for _, message in found))
        self.found = tuple(found)


class SettingsModel(BaseModel):
    """A table of settings: unknown names are refused, and nothing changes after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)


def validate_name(text: str) -> str:
    """Give the name of a site, department or API key back; raises ValueError with the cure when it is none."""
    if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
        raise ValueError(
            f"write this name in lower case: a-z, 0-9, single - or _ between them, at most {_LONGEST_NAME} characters"
        )
    return text


Name = Annotated[str, AfterValidator(validate_name)]
"""How sites, departments and API keys are called. No double underscore, which separates names in the environment."""


def without_empty(table: Any) -> Any:
    """Leave out what is set to empty text, and tables that hold nothing else: empty means not set, wherever it is."""
    if not isinstance(table, dict):
        return table
    tidy = {name: without_empty(value) for name, value in table.items()}
    return {name: value for name, value in tidy.items() if value != {} and not _blank(value)}


def _blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
