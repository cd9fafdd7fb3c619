"""The settings in the code, the two examples, docs/settings.md and the README have the same names and defaults."""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from app.settings import Settings
from app.settings.suggestions import generic_names
from app.settings.widget_settings import CONSENT_TEXTS, Language, TextName
from tests.settings.conftest import NEEDED, errors, load
from tests.settings.naming import generic

ROOT = Path(__file__).parents[2]
ENV = (ROOT / ".env.example").read_text(encoding="utf-8")
TOML = (ROOT / "callback.example.toml").read_text(encoding="utf-8")
DOCS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLACEHOLDER = "change-me"

File = Callable[[str], dict[str, str]]


def env_values(text: str, *, optional: bool) -> dict[str, str]:
    """Parse `NAME=value` lines; with `optional` also those that are commented out."""
    return dict(re.findall(rf"^{'#?' if optional else ''}([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


def toml_names(text: str) -> Iterator[str]:
    """Yield the names of all settings in a TOML file, commented out or not, as in the environment."""
    table = ""
    for line in text.splitlines():
        if header := re.match(r"\[(.+)\]", line):
            table = header[1] + "."
        elif setting := re.match(r"#?([a-z][a-z0-9_.]*) = ", line):
            yield (table + setting[1]).replace(".", "__").upper()


def rows(text: str) -> list[tuple[str, str]]:
    """Return name and default of each setting in a Markdown table. A row may name several settings."""
    cells = re.findall(r"^\| (`[A-Z][^|]*) \| ?([^|]*?) ?\|", text, re.MULTILINE)
    return [
        (name, default.strip("`")) for names, default in cells for name in re.findall(r"`([A-Z][A-Z0-9_<>]*)`", names)
    ]


def filled_in(text: str) -> str:
    """Replace the placeholders of an example with real values, as its reader does."""
    for value in ("4711", "k7-private", "12345", "https://shop.example"):
        text = re.sub(rf"^([^#].*){PLACEHOLDER}", rf"\g<1>{value}", text, count=1, flags=re.MULTILINE)
    return text


def without(names: set[str], *others: str) -> set[str]:
    return names - set(others)


def test_env_example_has_exactly_all_settings() -> None:
    names = {generic(name) for name in env_values(ENV, optional=True)}
    assert without(names, "CONFIG_FILE") == set(generic_names())


def test_toml_example_has_exactly_all_settings() -> None:
    assert {generic(name) for name in toml_names(TOML)} == set(generic_names())


def test_the_documentation_has_exactly_one_row_for_each_setting() -> None:
    names = [generic(name) for name, _ in rows(DOCS)]
    assert len(names) == len(set(names))
    assert without(set(names), "CONFIG_FILE") == set(generic_names())


def test_the_readme_has_existing_settings_only() -> None:
    names = {generic(name.replace("<NAME>", "SHOP")) for name, _ in rows(README)}
    assert len(names) > 5
    assert names <= set(generic_names())


def test_env_example_has_no_other_errors_than_placeholders() -> None:
    lines = errors(env_values(ENV, optional=False))
    assert [line.partition(":")[0] for line in lines] == list(NEEDED)
    assert all("still a placeholder" in line for line in lines)


def test_toml_example_has_no_other_errors_than_placeholders(file: File) -> None:
    lines = errors(file(TOML))
    assert [line.partition(":")[0] for line in lines] == list(NEEDED)
    assert all("still a placeholder" in line for line in lines)


def test_env_example_with_real_values_has_the_defaults_it_shows() -> None:
    text = filled_in(ENV)
    settings = load(env_values(text, optional=False))
    assert settings == load(env_values(text, optional=True))
    assert settings.sites["shop"].origins == ("https://shop.example",)


def test_toml_example_with_real_values_has_the_defaults_it_shows(file: File) -> None:
    text = filled_in(TOML)
    settings = load(file(text))
    assert settings == load(file(re.sub(r"^#(?=[a-z])", "", text, flags=re.MULTILINE)))
    assert settings.sites["shop"].site_id == 12345


def test_the_documented_defaults_are_those_of_the_code() -> None:
    documented = {name: default for name, default in rows(DOCS) if default != "**needed**"}
    assert load(NEEDED | documented) == load(NEEDED)
    assert {name for name, _ in rows(DOCS)} - set(documented) == set(NEEDED)


def test_the_readme_shows_the_defaults_of_the_code() -> None:
    shown = {name: default for name, default in rows(README) if default not in {"", "none"}}
    assert len(shown) > 3
    assert load(NEEDED | {name.replace("<NAME>", "SHOP"): default for name, default in shown.items()}) == load(NEEDED)


def test_env_example_shows_every_default() -> None:
    shown = {generic(name) for name, value in env_values(ENV, optional=True).items() if value and value != PLACEHOLDER}
    general = {name.upper() for name, field in Settings.model_fields.items() if field.default is not None}
    assert shown >= general & set(generic_names()) - {"TRUSTED_PROXIES"}


@pytest.mark.parametrize("language", get_args(Language))
def test_the_texts_that_an_owner_may_change_are_exactly_those_of_the_widget(language: str) -> None:
    messages = (ROOT / "widget" / f"messages.{language}.js").read_text(encoding="utf-8")
    loader = (ROOT / "widget" / "widget.js").read_text(encoding="utf-8")
    texts = re.findall(r"^  (\w+):", messages, re.MULTILINE)
    assert len(texts) > 20
    assert [*re.findall(r"texts\[lang\]\?\.(\w+)", loader), *texts] == list(get_args(TextName))


@pytest.mark.parametrize("language", get_args(Language))
def test_the_settings_know_the_widgets_own_text_of_consent(language: Language) -> None:
    messages = (ROOT / "widget" / f"messages.{language}.js").read_text(encoding="utf-8")
    assert f'  consent: "{CONSENT_TEXTS[language]}",\n' in messages


@pytest.mark.parametrize("text", [ENV.lower(), TOML], ids=["env", "toml"])
def test_the_examples_name_every_text(text: str) -> None:
    lines = text[text.index("ru and en:\n") :].splitlines()[1:]
    named = [line.removeprefix("#").split() for line in itertools.takewhile(lambda line: line.startswith("#  "), lines)]
    assert list(itertools.chain(*named)) == list(get_args(TextName))
