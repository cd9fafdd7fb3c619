"""Run the service for a measurement: every protection is on, and every quota but that of a site is the default."""

import contextlib
import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dose import SITES
from benchmarks.processes import BIN, free_port, running

KEY = "ccb_the-key-of-the-benchmark-which-is-long-enough"
SECRET = "the secret of the benchmark, 32 characters or more"  # noqa: S105  it protects nothing
PER_SITE = "10000/hour;50000/day"
"""Quota of a site."""
WIDE_FLOOD_LIMIT, DEFAULT_FLOOD_LIMIT = "1000000/second", "60/minute"
SITE_NAMES = [f"s{number:03d}" for number in range(SITES)]

_SETTINGS = """\
database_url = "{database}"
secret_key = "{secret}"
# Each visitor has an address, which the load sends in X-Forwarded-For as a reverse proxy would.
trusted_proxies = ["127.0.0.1"]

[limits]
flood = "{flood}"

[chaser]
client_id = "4711"
private_key = "the private key of the benchmark"
api_url = "{upstream}"

# A hundred thousand waiting callbacks are more than the sites' default quotas allow.
[quotas]
per_site = "{per_site}"

[api_keys.benchmark]
sha256 = "{digest}"
scopes = ["callbacks:write", "callbacks:read"]
"""
_SITE = """
[sites.{name}]
site_id = {number}
origins = ["https://shop.example"]
{extra}"""


@dataclass(frozen=True, slots=True)
class RunningService:
    """Port and process of a running service."""

    port: int
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def run_service(
    folder: Path, database: str, upstream: str, *, sites: int = SITES, flood: str = WIDE_FLOOD_LIMIT, wait: bool = True
) -> Iterator[RunningService]:
    """Run the service on the URL of a database, with Chaser at the URL `upstream`, until the end of the block.

    `flood`: the flood limit, which also applies to requests with an API key. `wait`: return when the service listens.
    """
    port = free_port()
    file = folder / "callback.toml"
    file.write_text(settings_text(database, upstream, sites=sites, flood=flood), encoding="utf-8")
    command = [BIN / "chaser-callback", "serve", "--port", str(port)]
    environment = {"CONFIG_FILE": str(file)}
    log = folder / "ours.log"
    with running(command, log, port=port if wait else None, environment=environment) as process:
        yield RunningService(port, process)


def settings_text(
    database: str, upstream: str, *, sites: int, flood: str, per_site: str = PER_SITE, each_site: str = ""
) -> str:
    """Return the settings as TOML. `each_site`: lines that are added to the settings of every site."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    text = _SETTINGS.format(
        database=database, secret=SECRET, upstream=upstream, digest=digest, flood=flood, per_site=per_site
    )
    return text + "".join(
        _SITE.format(name=name, number=number, extra=each_site) for number, name in enumerate(SITE_NAMES[:sites], 1)
    )
