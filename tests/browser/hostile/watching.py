"""What a page costs its visitor: requests, shifts of the layout, long tasks, and what the browser keeps."""

from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import CDPSession, Page

_OBSERVERS = """
window.observed = { "layout-shift": [], longtask: [] };
for (const type of Object.keys(observed)) {
  const take = entries => observed[type].push(...entries.map(entry => entry.value || entry.duration));
  const observer = new PerformanceObserver(list => take(list.getEntries()));
  observer.observe({ type, buffered: true });
  observed[type].flush = () => take(observer.takeRecords());
}
"""
_TAKEN = """async type => {
  // An entry is queued after the frame it belongs to.
  for (let frame = 0; frame < 3; frame++) await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  observed[type].flush();
  return [...observed[type]];
}"""
_KEPT = """async () => ({
  cookies: document.cookie,
  local: { ...localStorage },
  session: { ...sessionStorage },
  databases: (await indexedDB.databases()).map(({ name }) => name),
})"""


@dataclass
class Watch:
    """What was seen of a page from before its first byte; see `watched`. The lists grow while it goes on."""

    page: Page
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and address of each request, preflights included."""
    from_cache: list[str] = field(default_factory=list)
    """The addresses that were answered by the browser's own cache."""
    _names: dict[str, str] = field(default_factory=dict)

    def asked_of(self, base: str) -> list[tuple[str, str]]:
        """List the requests to one origin: method and path with query."""
        return [(method, url.removeprefix(base)) for method, url in self.requests if url.startswith(base + "/")]

    def elsewhere(self, *bases: str) -> list[str]:
        """List the requests to any other origin than these."""
        return [url for _, url in self.requests if not url.startswith(tuple(base + "/" for base in bases))]

    async def shifts(self) -> list[float]:
        """Give the size of each layout shift (CLS counts them), also of those that followed a press."""
        return await self.page.evaluate(_TAKEN, "layout-shift")

    async def long_tasks(self) -> list[float]:
        """Give the length of each task of more than 50 ms, in milliseconds."""
        return await self.page.evaluate(_TAKEN, "longtask")

    async def kept(self) -> dict[str, Any]:
        """Give what the page's origin and any other have stored."""
        found: dict[str, Any] = await self.page.evaluate(_KEPT)
        found["cookies"] = await self.page.context.cookies()
        return found

    async def begin(self) -> None:
        await self.page.add_init_script(_OBSERVERS)
        session: CDPSession = await self.page.context.new_cdp_session(self.page)
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.responseReceived", self._answered)
        session.on("Network.requestServedFromCache", self._served)
        await session.send("Network.enable")

    def _asked(self, event: dict[str, Any]) -> None:
        request = event["request"]
        self._names[event["requestId"]] = request["url"]
        if not request["url"].startswith("data:"):
            self.requests.append((request["method"], request["url"]))

    def _answered(self, event: dict[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            self.from_cache.append(event["response"]["url"])

    def _served(self, event: dict[str, Any]) -> None:
        self.from_cache.append(self._names[event["requestId"]])


async def watched(page: Page) -> Watch:
    """Begin to watch a page, which has loaded nothing yet."""
    watch = Watch(page)
    await watch.begin()
    return watch


NOTHING_KEPT: dict[str, Any] = {"cookies": [], "local": {}, "session": {}, "databases": []}
