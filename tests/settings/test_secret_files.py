"""Secrets in files: a variable that ends in `_FILE` has the path of the file with the value."""

from pathlib import Path

import pytest

from tests.settings.conftest import NEEDED, PRIVATE_KEY, errors, load


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in NEEDED.items() if name not in names}


def test_a_secret_is_read_from_its_file_without_white_space_around_it(tmp_path: Path) -> None:
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
def test_every_plain_setting_can_be_in_a_file(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "value").write_text(value, encoding="utf-8")
    required = {"API_KEYS__CRM__SHA256": "ab" * 32} if name.startswith("API_KEYS") else {}
    settings = load(without(name) | required | {f"{name}_FILE": str(tmp_path / "value")})
    assert settings == load(NEEDED | required | {name: value})


def test_an_empty_path_counts_as_not_set(tmp_path: Path) -> None:
    assert load(NEEDED | {"CHASER__PRIVATE_KEY_FILE": "", "SECRET_KEY_FILE": " "}) == load(NEEDED)


def test_a_setting_and_its_file_conflict(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PRIVATE_KEY, encoding="utf-8")
    assert errors(NEEDED | {"CHASER__PRIVATE_KEY_FILE": str(tmp_path / "key")}) == [
        "CHASER__PRIVATE_KEY_FILE: set together with CHASER__PRIVATE_KEY: unset one of them"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read (No such file or directory): correct the path or the file's rights"),
        (b" \n", "is empty: write the value into it"),
        (b"\xff\xfe\x00", "is not in UTF-8: save it as UTF-8"),
    ],
    ids=["missing", "empty", "not text"],
)
def test_a_file_that_cannot_be_used_is_one_error(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    lines = errors(without("CHASER__PRIVATE_KEY") | {"CHASER__PRIVATE_KEY_FILE": str(path)})
    assert lines == [f"CHASER__PRIVATE_KEY_FILE: {path} {message}"]


def test_the_value_in_a_file_is_validated_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("change-me", encoding="utf-8")
    (line,) = errors(without("CHASER__PRIVATE_KEY") | {"CHASER__PRIVATE_KEY_FILE": str(tmp_path / "key")})
    assert line.startswith("CHASER__PRIVATE_KEY: ")
    assert "change-me" not in line


def test_a_misspelt_name_is_reported(tmp_path: Path) -> None:
    lines = errors(without("CHASER__PRIVATE_KEY") | {"CHASER_PRIVATE_KEY_FILE": str(tmp_path / "key")})
    assert lines == ["CHASER_PRIVATE_KEY_FILE: unknown name, did you mean CHASER__PRIVATE_KEY_FILE?"]


def test_files_of_other_programs_are_ignored() -> None:
    others = {"POSTGRES_PASSWORD_FILE": "/nowhere", "SSL_CERT_FILE": "/nowhere", "CHASER_FILE": "/nowhere"}
    assert load(NEEDED | others) == load(NEEDED)
