"""Turns environment variables into a table of settings, and finds the names among them that are misspelt. Pure."""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.settings.model import Settings
from app.settings.suggestions import did_you_mean, generic_names, table_at

CONFIG_FILE = "CONFIG_FILE"
# slowapi reads these by itself; one of them would switch our flood limit off behind our back.
_FOREIGN_PREFIX = "RATELIMIT_"
# What Kubernetes and Docker links set for every service beside ours, say for one called "chaser" or "sites".
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_TABLES = tuple(name.upper() for name in Settings.model_fields if table_at((name,)) is not None)
_PLAIN = tuple(name.upper() for name in Settings.model_fields if table_at((name,)) is None)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says.

    ``table``: what is set, nested, in lower case. ``faults``: the message for each name that can't be used. ``meant``:
    the names that were probably meant by misspelt ones.
    """

    table: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    meant: set[str] = field(default_factory=set)

    def unknown(self, name: str, meant: str | None) -> None:
        """Note a name that is no setting's, and which one was probably meant."""
        if meant:
            self.meant.add(meant)
        self.faults[name] = "unknown name" + (f", did you mean {meant}?" if meant else ": correct it or unset it")

    def has(self, path: tuple[str, ...]) -> bool:
        """Tell whether the setting at a path, or something inside it, is set here."""
        place: Any = self.table
        for step in path:
            if not isinstance(place, dict):
                return True
            if step not in place:
                return False
            place = place[step]
        return True


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Read the variables that are settings. Empty ones count as not set."""
    read = Environment()
    ours: dict[tuple[str, ...], tuple[str, str]] = {}
    # Shorter names first: what a longer one says of a part of it counts more.
    for name, value in sorted(environ.items(), key=lambda item: (item[0].count("__"), item[0])):
        upper, text = name.upper(), _unquoted(value)
        path = tuple(upper.lower().split("__"))
        if upper.startswith(_FOREIGN_PREFIX):
            read.faults[name] = "slowapi's own settings are not used here: unset it and use LIMITS__FLOOD"
        elif not text or upper == CONFIG_FILE:
            continue
        elif upper not in _PLAIN and path[0].upper() not in _TABLES:
            if meant := _misspelt(upper, environ):
                read.unknown(name, meant)
        elif not all(step and step.strip("_") == step for step in path):
            read.unknown(name, did_you_mean(upper))
        elif (first := ours.setdefault(path, (name, text)))[1] != text:
            read.faults[name] = f"set a second time, beside {first[0]}: unset one of them"
        else:
            _put(read, name, path, text)
    return read


def _unquoted(value: str) -> str:
    """Take off quotes: ``docker --env-file`` makes them a part of the value where other readers of the file don't."""
    text = value.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _put(read: Environment, name: str, path: tuple[str, ...], value: Any) -> None:
    if isinstance(value, str) and value.startswith("{") and table_at(path) is not None:
        value = _json(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            _put(read, name, (*path, key), inner)
        return
    table = read.table
    for depth, step in enumerate(path[:-1], 1):
        inner = table.setdefault(step, {})
        if not isinstance(inner, dict):
            read.faults["__".join(path[:depth]).upper()] = f"can't stand beside {name}: unset one of them"
            table[step] = inner = {}
        table = inner
    table[path[-1]] = value


def _json(text: str) -> Any:
    """Read JSON where a table is expected, so that longer names and the file can add to it; lists are read later."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # which is no table, as validation will say


def _misspelt(name: str, environ: Mapping[str, str]) -> str | None:
    """Find the setting somebody meant by a name that isn't ours. Most variables are other programs': no guesses."""
    if _SERVICE_LINK.fullmatch(name):
        return None
    if meant := did_you_mean(name):
        return meant
    top, nested, rest = name.partition("__")
    if top in _PLAIN and nested:
        return top
    if nested:
        near = difflib.get_close_matches(top, _TABLES, 1, 0.75)
        return f"{near[0]}__{rest}" if near else None
    near = difflib.get_close_matches(name, [known for known in generic_names() if "*" not in known], 1, 0.85)
    return near[0] if near and near[0] not in environ else None
