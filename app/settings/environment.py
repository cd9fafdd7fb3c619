"""Parses environment variables into a table of settings, and suggests fixes for misspelt names. Pure."""

import contextlib
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.settings.model import Settings
from app.settings.suggestions import did_you_mean, generic_names, table_at

CONFIG_FILE = "CONFIG_FILE"
# slowapi reads these variables itself: one of them could switch the rate limit off without notice.
_FOREIGN_PREFIX = "RATELIMIT_"
# Variables that Kubernetes and Docker set for every linked service, which may be named "chaser" or "sites".
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_TABLES = tuple(name.upper() for name in Settings.model_fields if table_at((name,)) is not None)
_PLAIN = tuple(name.upper() for name in Settings.model_fields if table_at((name,)) is None)


@dataclass(frozen=True, slots=True)
class Environment:
    """The settings in the environment.

    `table`: nested values by name in lower case. `errors`: a message for each variable that can't be used, by its name.
    `suggested`: the names that were suggested for misspelt ones.
    """

    table: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    suggested: set[str] = field(default_factory=set)

    def add_unknown(self, name: str, suggestion: str | None) -> None:
        """Add the error for an unknown name, with the name that was probably meant if there is one."""
        if suggestion:
            self.suggested.add(suggestion)
        fix = f", did you mean {suggestion}?" if suggestion else ": correct it or unset it"
        self.errors[name] = "unknown name" + fix

    def is_set(self, path: tuple[str, ...]) -> bool:
        """Return whether the environment has the setting at a path, a part of it or a table that it belongs to."""
        value: Any = self.table
        for step in path:
            if not isinstance(value, dict):
                return True
            if step not in value:
                return False
            value = value[step]
        return True


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Parse the variables that are settings, and ignore those of other programs. Empty ones count as not set."""
    result = Environment()
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    # Shorter names first: a longer name overrides a part of a table that a shorter one sets.
    for name, value in sorted(environ.items(), key=lambda item: (item[0].count("__"), item[0])):
        upper, text = name.upper(), _unquoted(value)
        path = tuple(upper.lower().split("__"))
        if upper.startswith(_FOREIGN_PREFIX):
            result.errors[name] = "slowapi's own settings are not used here: unset it and use LIMITS__FLOOD"
        elif not text or upper == CONFIG_FILE:
            continue
        elif upper not in _PLAIN and path[0].upper() not in _TABLES:
            if suggestion := _suggestion(upper, environ):
                result.add_unknown(name, suggestion)
        elif not all(step and step.strip("_") == step for step in path):
            result.add_unknown(name, did_you_mean(upper))
        elif (first := seen.setdefault(path, (name, text)))[1] != text:
            result.errors[name] = f"set twice, also as {first[0]}: unset one of them"
        else:
            _put(result, name, path, text)
    return result


def _unquoted(value: str) -> str:
    """Return a value without quotes around it: `docker --env-file` keeps them, other readers of the file do not."""
    text = value.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _put(result: Environment, name: str, path: tuple[str, ...], value: Any) -> None:
    if isinstance(value, str) and value.startswith("{") and table_at(path) is not None:
        # So longer names and the file can add to the table. Otherwise validation reports that it is none.
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            _put(result, name, (*path, key), inner)
        return
    table = result.table
    for depth, step in enumerate(path[:-1], 1):
        inner = table.setdefault(step, {})
        if not isinstance(inner, dict):
            result.errors["__".join(path[:depth]).upper()] = f"can't be set together with {name}: unset one of them"
            table[step] = inner = {}
        table = inner
    table[path[-1]] = value


def _suggestion(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the setting that was probably meant by an unknown name, or None.

    Most variables belong to other programs: only names that are very similar to a setting get a suggestion.
    """
    if _SERVICE_LINK.fullmatch(name):
        return None
    if suggestion := did_you_mean(name):
        return suggestion
    top, nested, rest = name.partition("__")
    if top in _PLAIN and nested:
        return top
    if nested:
        matches = difflib.get_close_matches(top, _TABLES, 1, 0.75)
        return f"{matches[0]}__{rest}" if matches else None
    matches = difflib.get_close_matches(name, [known for known in generic_names() if "*" not in known], 1, 0.85)
    return matches[0] if matches and matches[0] not in environ else None
