"""PHP's parse_str and http_build_query, as far as a receiver of signed requests needs them.

Written from PHP's documentation and the rules of main/php_variables.c (PHP 8.2). Works on bytes, because PHP strings
are bytes. The simulator has its own implementation on purpose: otherwise an encoding error of the service's client
would also be in the receiver, and no test would find it.

Left out: the cookie prefixes `__Host-` and `__Secure-`, which no parameter of this API has.
"""

import re
from itertools import pairwise
from typing import TypeAlias

Array: TypeAlias = "dict[int | bytes, bytes | Array]"
"""A PHP array from parse_str: keys in order, integers where PHP converts them; values are bytes or arrays."""

MAX_INPUT_VARS = 1000
"""PHP's default: pairs after the thousandth are dropped with a warning."""

MAX_NESTING = 64
"""PHP's default max_input_nesting_level: a deeper name is dropped together with the array it would extend."""

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_KEPT = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
_ENCODED = [bytes([byte]) if byte in _KEPT else b"%%%02X" % byte for byte in range(256)]
_ENCODED[0x20] = b"+"
_MANGLED = bytes.maketrans(b" .", b"__")
_MANGLED_TAIL = bytes.maketrans(b" .[", b"___")


def url_decode(text: bytes) -> bytes:
    """Decode as PHP's urldecode: `+` is a space, `%XX` a byte; a `%` without two hex digits stays."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.replace(b"+", b" "))


def url_encode(text: bytes) -> bytes:
    """Encode as PHP's urlencode: letters, digits and `-_.` stay, a space is `+`, the rest upper-case `%XX`."""
    return b"".join([_ENCODED[byte] for byte in text])


def parse_str(query: bytes) -> Array:
    """Parse a query string or form body into the array that PHP would have in $_GET or $_POST.

    Of equal names the last value wins, at the position of the first. `a[]`, `a[0]` and `a[b][c]` create arrays.
    Blanks and dots in names become `_`; a name ends at a NUL byte. Never raises: PHP accepts any bytes.
    """
    result: Array = {}
    for pair in [pair for pair in query.split(b"&") if pair][:MAX_INPUT_VARS]:
        name, _, value = pair.partition(b"=")
        _register(result, _split_name(url_decode(name)), url_decode(value))
    return result


def http_build_query(params: Array) -> bytes:
    """Encode an array as PHP's http_build_query does with its default arguments; empty arrays vanish."""
    return b"&".join(url + b"=" + url_encode(value) for url, value in _flatten(params, b""))


def _flatten(params: Array, prefix: bytes) -> list[tuple[bytes, bytes]]:
    pairs: list[tuple[bytes, bytes]] = []
    for key, value in params.items():
        name = b"%d" % key if isinstance(key, int) else url_encode(key)
        name = prefix + b"%5B" + name + b"%5D" if prefix else name
        pairs.extend(_flatten(value, name) if isinstance(value, dict) else [(name, value)])
    return pairs


def _split_name(name: bytes) -> list[bytes | None]:
    """Split `a[b][]` into [a, b, None], where None means the next free index; an unusable name returns []."""
    name = name.split(b"\0", 1)[0].lstrip(b" ")
    head, bracket, rest = name.partition(b"[")
    head = head.translate(_MANGLED)
    if not head:
        return []
    keys: list[bytes | None] = [head]
    while bracket:
        after_blank = rest[1:] if rest[:1].isspace() else rest
        end = rest.find(b"]")
        if end < 0:
            # No closing bracket: at the first level PHP mangles the bracket as part of the name, deeper it drops the
            # unfinished part.
            return [head + b"_" + rest.translate(_MANGLED_TAIL)] if len(keys) == 1 else keys
        keys.append(None if after_blank.startswith(b"]") else rest[:end])
        bracket, rest = rest[end + 1 : end + 2], rest[end + 2 :]
        if bracket != b"[":
            break
    return keys


def _register(result: Array, keys: list[bytes | None], value: bytes) -> None:
    if not keys:
        return
    if len(keys) - 1 > MAX_NESTING:
        result.pop(_key(keys[0], result), None)
        return
    table = result
    for key, _ in pairwise(keys):
        index = _key(key, table)
        child = table.get(index)
        if not isinstance(child, dict):
            child = {}
            table[index] = child
        table = child
    table[_key(keys[-1], table)] = value


def _key(key: bytes | None, table: Array) -> int | bytes:
    if key is None:
        return max([index + 1 for index in table if isinstance(index, int) and index >= 0], default=0)
    if _INTEGER.fullmatch(key) and -(2**63) < int(key) < 2**63:
        return int(key)
    return key
