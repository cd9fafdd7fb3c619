import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.simulator.php import MAX_INPUT_VARS, MAX_NESTING, http_build_query, parse_str, url_decode, url_encode


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"a=1&b=2", {b"a": b"1", b"b": b"2"}),
        (b"a=1&&b=2&", {b"a": b"1", b"b": b"2"}),
        (b"a", {b"a": b""}),
        (b"a=b=c", {b"a": b"b=c"}),
        (b"=1", {}),
        (b"a=+%20%2B", {b"a": b"  +"}),
        (b"a=%D0%B9%zz%4", {b"a": b"\xd0\xb9%zz%4"}),
        (b"a=%00", {b"a": b"\0"}),
        (b"a=1&b=2&a=3", {b"a": b"3", b"b": b"2"}),
        (b"A=1&a=2", {b"A": b"1", b"a": b"2"}),
        (b"7=x", {7: b"x"}),
    ],
)
def test_pairs_are_decoded_as_in_php(query, expected):
    assert list(parse_str(query).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"utm.source", {b"utm_source": b"x"}),
        (b"utm+source", {b"utm_source": b"x"}),
        (b"++a", {b"a": b"x"}),
        (b"+", {}),
        (b"a%00b", {b"a": b"x"}),
        (b"a[b", {b"a_b": b"x"}),
        (b"a[b.c+d[e", {b"a_b_c_d_e": b"x"}),
        (b"a[", {b"a_": b"x"}),
        (b"a]b", {b"a]b": b"x"}),
        (b"[a]", {}),
        (b"a-b_c", {b"a-b_c": b"x"}),
    ],
)
def test_names_are_mangled_as_in_php(name, expected):
    assert parse_str(name + b"=x") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"a[0]=x&a[1]=y", {b"a": {0: b"x", 1: b"y"}}),
        (b"a%5B0%5D=x", {b"a": {0: b"x"}}),
        (b"a[]=x&a[]=y", {b"a": {0: b"x", 1: b"y"}}),
        (b"a[5]=x&a[]=y", {b"a": {5: b"x", 6: b"y"}}),
        (b"a[-5]=x&a[]=y", {b"a": {-5: b"x", 0: b"y"}}),
        (b"a[+]=x", {b"a": {0: b"x"}}),
        (b"a[+b]=x", {b"a": {b" b": b"x"}}),
        (b"a[b.c]=x", {b"a": {b"b.c": b"x"}}),
        (b"a[b][c]=x", {b"a": {b"b": {b"c": b"x"}}}),
        (b"a[b]c=x", {b"a": {b"b": b"x"}}),
        (b"a[b][c=x", {b"a": {b"b": b"x"}}),
        (b"a[01]=x&a[-0]=y", {b"a": {b"01": b"x", b"-0": b"y"}}),
        (b"a[9223372036854775808]=x", {b"a": {b"9223372036854775808": b"x"}}),
        (b"a=1&a[b]=2", {b"a": {b"b": b"2"}}),
        (b"a[b]=2&a=1", {b"a": b"1"}),
    ],
)
def test_brackets_create_arrays_as_in_php(query, expected):
    assert parse_str(query) == expected


def test_pairs_after_the_thousandth_are_dropped():
    query = b"&".join(b"p%d=x" % number for number in range(MAX_INPUT_VARS + 5))
    assert len(parse_str(query)) == MAX_INPUT_VARS


def test_a_name_nested_too_deeply_is_dropped_with_the_array_it_would_extend():
    deep = b"a" + b"[x]" * (MAX_NESTING + 1)
    assert parse_str(b"a[x]=1&b=2&" + deep + b"=3") == {b"b": b"2"}
    assert parse_str(b"a" + b"[x]" * MAX_NESTING + b"=3") != {}


def test_a_query_is_built_as_in_php():
    params = {b"a": b"1 2~", b"list": {0: b"x", 1: b"y"}, b"m": {b"n o": {b"p": "й".encode()}}, b"empty": {}, b"e": b""}
    assert http_build_query(params) == b"a=1+2%7E&list%5B0%5D=x&list%5B1%5D=y&m%5Bn+o%5D%5Bp%5D=%D0%B9&e="


@given(st.binary())
def test_every_byte_string_survives_encoding_and_decoding(text):
    assert url_decode(url_encode(text)) == text
    assert not set(url_encode(text)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+%")


NAMES = st.text("abcXYZ09_-", min_size=1).map(str.encode).filter(lambda name: not name.lstrip(b"-").isdigit())
VALUES = st.recursive(
    st.binary(max_size=20), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3), max_leaves=10
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_a_built_query_is_parsed_back_to_the_same_array(params):
    assert parse_str(http_build_query(params)) == params


@given(st.binary())
def test_any_bytes_are_parsed_and_the_result_is_stable(query):
    once = parse_str(query)
    again = parse_str(http_build_query(once))
    # Keys with a leading blank, with brackets or NUL can't be encoded so that PHP parses the same key again.
    if not any(set(b"[]\0 ") & set(str(key).encode("latin-1", "replace")) for key in _keys(once)):
        assert http_build_query(again) == http_build_query(once)


def _keys(table):
    for key, value in table.items():
        yield key.decode("latin-1") if isinstance(key, bytes) else key
        if isinstance(value, dict):
            yield from _keys(value)
