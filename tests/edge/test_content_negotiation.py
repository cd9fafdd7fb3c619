"""Content codings by Accept-Encoding, and entity tags by If-None-Match."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.edge.content_negotiation import best_coding, is_known

CODINGS: list[tuple[str | None, str]] = [
    (None, "identity"),
    ("", "identity"),
    (" , ", "identity"),
    ("gzip, deflate, br, zstd", "br"),  # as browsers send over HTTPS
    ("gzip, deflate", "gzip"),  # and over HTTP
    ("BR, GZip", "br"),
    ("gzip;q=0", "identity"),
    ("br;q=0, gzip", "gzip"),
    ("br;q=0.0, gzip;q=0.000", "identity"),
    ("br;q=0.5, gzip;q=0.8", "gzip"),
    ("br;q=0.5, gzip;q=0.5", "br"),
    ("gzip;q=0.001", "gzip"),
    ("identity, gzip;q=0.5", "identity"),
    ("identity;q=0.5, gzip", "gzip"),
    ("identity", "identity"),
    ("x-gzip", "gzip"),
    ("*", "br"),
    ("*;q=0", "identity"),
    ("*;q=0, gzip", "gzip"),
    ("gzip;q=0.2, *;q=0.1", "gzip"),
    ("br;q=0, *", "gzip"),
    ("identity;q=0", "identity"),  # no coding is left; see best_coding
    ("identity;q=0, *;q=0", "identity"),
    ("identity;q=0, gzip;q=0.1", "gzip"),
    ("deflate, zstd", "identity"),
    ("gzip ; q=0.5 ,br ;q=1.000", "br"),
    ("br;q=2, gzip", "gzip"),
    ("br;q=-1, gzip", "gzip"),
    ("br;q=0.1234, gzip", "gzip"),
    ("br;level=11, gzip", "gzip"),
    ("br;q=high, gzip", "gzip"),
    ("brotli, gzipped", "identity"),
]


@pytest.mark.parametrize(("accepted", "coding"), CODINGS)
def test_a_client_gets_the_best_coding_that_it_accepts(accepted: str | None, coding: str) -> None:
    assert best_coding(accepted, ("br", "gzip")) == coding


@given(st.text(st.sampled_from("brgzip*identy;=q01.,- \t\xff"), max_size=60), st.sampled_from(["br", "gzip"]))
def test_a_coding_with_weight_zero_is_never_used(before: str, coding: str) -> None:
    assert best_coding(f"{before},{coding};q=0", ("br", "gzip")) != coding


ETAG = '"0123456789abcdef"'
KNOWN = [ETAG, f"W/{ETAG}", f'"other", {ETAG}', f'W/"a,b" ,W/{ETAG}', f",, {ETAG},", "*", " * ", f'"",{ETAG}']
UNKNOWN = [
    *(None, "", ",", '"other"', ETAG.upper(), ETAG.strip('"'), f"w/{ETAG}", f"W/ {ETAG}", f"{ETAG} {ETAG}", f"x{ETAG}"),
    *(f"*, {ETAG}", f'"{ETAG}', f"{ETAG}x", f'"a {ETAG[1:]}', '"x0123456789abcdef"', "0123456789abcdef"),
]


@pytest.mark.parametrize("header", KNOWN)
def test_a_weak_or_strong_tag_is_found_in_a_list(header: str) -> None:
    assert is_known(header, ETAG)


@pytest.mark.parametrize("header", UNKNOWN)
def test_another_tag_or_an_invalid_list_does_not_match(header: str | None) -> None:
    assert not is_known(header, ETAG)


@given(st.lists(st.from_regex(r'(W/)?"[!#-~]{0,8}"', fullmatch=True)))
@example([ETAG] * 3000)
def test_a_list_matches_exactly_the_tags_in_it(tags: list[str]) -> None:
    assert is_known(" , ".join(tags), ETAG) is any(tag.removeprefix("W/") == ETAG for tag in tags)


@pytest.mark.parametrize("header", ["," * 50_000 + "x", " ," * 25_000 + '"', '"a",' * 10_000 + "x"])
def test_a_hostile_list_causes_no_catastrophic_backtracking(header: str) -> None:
    """Without possessive quantifiers the regular expression would run practically for ever."""
    assert not is_known(header, ETAG)
