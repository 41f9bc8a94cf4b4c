"""Servers behind proxies: where somebody is far from them, or comes to be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from jobkit.lab.servers.proxy import Proxy


@asynccontextmanager
async def proxied(urls: Mapping[str, str]) -> AsyncIterator[tuple[dict[str, Proxy], dict[str, str]]]:
    """Lend a proxy for each server of this machine, and the URLs that lead through them, both by the names given."""
    async with AsyncExitStack() as stack:
        proxies: dict[str, Proxy] = {}
        through: dict[str, str] = {}
        for name, url in urls.items():
            port = urlsplit(url).port or 0
            proxies[name] = await stack.enter_async_context(Proxy(port))
            through[name] = url.replace(f":{port}/", f":{proxies[name].port}/")
        yield proxies, through
