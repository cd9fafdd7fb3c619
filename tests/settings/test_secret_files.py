"""Secrets in files: a variable with _FILE at its end names the file that holds the setting."""

from pathlib import Path

import pytest

from tests.settings.conftest import NEEDED, PRIVATE_KEY, faults, load


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in NEEDED.items() if name not in names}


def test_a_secret_is_read_from_its_file_without_the_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"\n  {PRIVATE_KEY}\n\n", encoding="utf-8")
    settings = load(without("CHASER__PRIVATE_KEY") | {"CHASER__PRIVATE_KEY_FILE": str(tmp_path / "key")})
    assert settings.chaser.private_key.get_secret_value() == PRIVATE_KEY


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://callback:geheim@db/callback"),
        ("SECRET_KEY", "0123456789abcdef0123456789abcdef-x"),
        ("SITES__SHOP__ORIGINS", "https://a.example,https://b.example"),
        ("SITES__SHOP__TEXTS__RU__TITLE", "Мы перезвоним"),
        ("API_KEYS__CRM__SCOPES", "callbacks:write"),
    ],
)
def test_every_plain_setting_may_stand_in_a_file(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "value").write_text(value, encoding="utf-8")
    beside = {"API_KEYS__CRM__SHA256": "ab" * 32} if name.startswith("API_KEYS") else {}
    named = load(without(name) | beside | {f"{name}_FILE": str(tmp_path / "value")})
    assert named == load(NEEDED | beside | {name: value})


def test_an_empty_name_is_not_set(tmp_path: Path) -> None:
    assert load(NEEDED | {"CHASER__PRIVATE_KEY_FILE": "", "SECRET_KEY_FILE": " "}) == load(NEEDED)


def test_a_setting_and_its_file_are_a_contradiction(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PRIVATE_KEY, encoding="utf-8")
    assert faults(NEEDED | {"CHASER__PRIVATE_KEY_FILE": str(tmp_path / "key")}) == [
        "CHASER__PRIVATE_KEY_FILE: set beside CHASER__PRIVATE_KEY: unset one of them"
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can't be read (No such file or directory): correct the path or the file's rights"),
        (b" \n", "is empty: write the value into it"),
        (b"\xff\xfe\x00", "is not in UTF-8: save it as UTF-8"),
    ],
    ids=["missing", "empty", "not text"],
)
def test_a_file_that_cannot_be_used_is_one_fault(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    lines = faults(without("CHASER__PRIVATE_KEY") | {"CHASER__PRIVATE_KEY_FILE": str(path)})
    assert lines == [f"CHASER__PRIVATE_KEY_FILE: {path} {told}"]


def test_what_the_file_holds_is_checked_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("change-me", encoding="utf-8")
    (line,) = faults(without("CHASER__PRIVATE_KEY") | {"CHASER__PRIVATE_KEY_FILE": str(tmp_path / "key")})
    assert line.startswith("CHASER__PRIVATE_KEY: ")
    assert "change-me" not in line


def test_a_misspelt_name_is_told(tmp_path: Path) -> None:
    lines = faults(without("CHASER__PRIVATE_KEY") | {"CHASER_PRIVATE_KEY_FILE": str(tmp_path / "key")})
    assert lines == ["CHASER_PRIVATE_KEY_FILE: unknown name, did you mean CHASER__PRIVATE_KEY_FILE?"]


def test_other_programs_files_are_not_looked_at() -> None:
    others = {"POSTGRES_PASSWORD_FILE": "/nowhere", "SSL_CERT_FILE": "/nowhere", "CHASER_FILE": "/nowhere"}
    assert load(NEEDED | others) == load(NEEDED)
