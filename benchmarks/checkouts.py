"""The two checkouts of a comparison: each runs its own code by its own interpreter, with settings that it knows."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ours import WIDE_FLOOD_LIMIT, settings_text
from benchmarks.processes import free_port, running

_ENOUGH = 1_000_000
_QUOTA = re.compile(r"^\| `QUOTAS__PER_SITE` \| `([^`]+)` \|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout of the project whose .venv is installed, for example by `make .make/run`."""

    folder: Path

    def verify(self) -> None:
        """Raise ValueError unless the checkout's own interpreter runs the checkout's own code."""
        try:
            command = [str(self._bin / "python"), "-I", "-c", "import app; print(app.__file__)"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ValueError(f"{self.folder}: run `make .make/run` there, which installs its .venv: {error}") from error
        if not (code := Path(done.stdout.strip())).is_relative_to(self.folder):
            raise ValueError(f"{self.folder}: its .venv runs {code.parent}, which is another checkout")

    @property
    def commit(self) -> str:
        """The short name of the commit, and `modified` after it if files differ from that commit."""
        return self._git("rev-parse", "--short", "HEAD") + (", modified" if self._git("status", "--porcelain") else "")

    def settings(self, database: str, upstream: str, sites: int) -> str:
        """Return the settings of a run as TOML.

        No challenges, which the load would have to solve. The site's quota is raised, which one site alone would reach.
        """
        page = (self.folder / "docs" / "settings.md").read_text(encoding="utf-8")
        no_challenge = 'challenge = "off"\n'
        return settings_text(
            database,
            upstream,
            sites=sites,
            flood=WIDE_FLOOD_LIMIT,
            per_site=raised_quota(page),
            each_site=no_challenge,
        )

    @contextmanager
    def serve(self, folder: Path, settings: str, replicas: int) -> Iterator[list[int]]:
        """Run processes of the service on ports of their own until the end of the block, and return the ports."""
        file = folder / "callback.toml"
        file.write_text(settings, encoding="utf-8")
        ports = []
        with ExitStack() as stack:
            for _ in range(replicas):
                port = free_port()
                command: list[str | Path] = [self._bin / "chaser-callback", "serve", "--port", str(port)]
                environment = {"CONFIG_FILE": str(file)}
                stack.enter_context(running(command, folder / "service.log", port=port, environment=environment))
                ports.append(port)
            yield ports

    @property
    def _bin(self) -> Path:
        return self.folder / ".venv" / "bin"

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def raised_quota(settings_page: str) -> str:
    """Return the default of QUOTAS__PER_SITE with higher counts. Raises ValueError if the page has no such row.

    It keeps the windows of the default, so that each commit counts as much as it does by default.
    """
    row = _QUOTA.search(settings_page)
    if row is None:
        raise ValueError("docs/settings.md has no row for QUOTAS__PER_SITE")
    return re.sub(r"\d+/", f"{_ENOUGH}/", row[1])
