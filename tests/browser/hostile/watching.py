"""Record the costs of a page: requests, layout shifts, long tasks, and stored data."""

from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import CDPSession, Page

_OBSERVERS = """
window.observed = { "layout-shift": [], longtask: [] };
for (const type of Object.keys(observed)) {
  const record = entries => observed[type].push(...entries.map(entry => entry.value || entry.duration));
  const observer = new PerformanceObserver(list => record(list.getEntries()));
  observer.observe({ type, buffered: true });
  observed[type].flush = () => record(observer.takeRecords());
}
"""
_FLUSHED = """async type => {
  // The browser queues an entry only after its frame.
  for (let frame = 0; frame < 3; frame++) await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  observed[type].flush();
  return [...observed[type]];
}"""
_STORED = """async () => ({
  cookies: document.cookie,
  local: { ...localStorage },
  session: { ...sessionStorage },
  databases: (await indexedDB.databases()).map(({ name }) => name),
})"""


@dataclass
class Watch:
    """The record of a page from before its first byte; see `watched`. The lists grow while the page is open."""

    page: Page
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and address of each request, including CORS preflights."""
    from_cache: list[str] = field(default_factory=list)
    """The addresses that the browser answered from its cache."""
    _urls: dict[str, str] = field(default_factory=dict)

    def requests_to(self, base: str) -> list[tuple[str, str]]:
        """Return the requests to one origin: method, and path with query."""
        return [(method, url.removeprefix(base)) for method, url in self.requests if url.startswith(base + "/")]

    def requests_elsewhere(self, *bases: str) -> list[str]:
        """Return the addresses of the requests to any other origin than these."""
        return [url for _, url in self.requests if not url.startswith(tuple(base + "/" for base in bases))]

    async def shifts(self) -> list[float]:
        """Return the size of each layout shift, as CLS measures it; also of shifts after a click."""
        return await self.page.evaluate(_FLUSHED, "layout-shift")

    async def long_tasks(self) -> list[float]:
        """Return the length of each task of more than 50 ms, in milliseconds."""
        return await self.page.evaluate(_FLUSHED, "longtask")

    async def stored(self) -> dict[str, Any]:
        """Return the stored data: cookies of all origins, and storage and databases of the page's origin."""
        stored: dict[str, Any] = await self.page.evaluate(_STORED)
        stored["cookies"] = await self.page.context.cookies()
        return stored

    async def start(self) -> None:
        await self.page.add_init_script(_OBSERVERS)
        session: CDPSession = await self.page.context.new_cdp_session(self.page)
        session.on("Network.requestWillBeSent", self._on_request)
        session.on("Network.responseReceived", self._on_response)
        session.on("Network.requestServedFromCache", self._on_memory_cache)
        await session.send("Network.enable")

    def _on_request(self, event: dict[str, Any]) -> None:
        request = event["request"]
        self._urls[event["requestId"]] = request["url"]
        if not request["url"].startswith("data:"):
            self.requests.append((request["method"], request["url"]))

    def _on_response(self, event: dict[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            self.from_cache.append(event["response"]["url"])

    def _on_memory_cache(self, event: dict[str, Any]) -> None:
        self.from_cache.append(self._urls[event["requestId"]])


async def watched(page: Page) -> Watch:
    """Start to record a page that has loaded nothing yet."""
    watch = Watch(page)
    await watch.start()
    return watch


NOTHING_STORED: dict[str, Any] = {"cookies": [], "local": {}, "session": {}, "databases": []}
