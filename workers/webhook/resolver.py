"""Names become addresses, but for those that may not be reached."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from workers.webhook.addresses import SETTING, Network, address_of, is_allowed, refusal


class CheckedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be reached. Raises `AddressRefused` where there are none."""

    def __init__(
        self, networks: Sequence[Network], inner: AbstractResolver | None = None, *, setting: str = SETTING
    ) -> None:
        self._networks = networks
        self._setting = setting
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if is_allowed(address_of(one["host"]), self._networks)]
        if found and not allowed:
            raise refusal(host, self._setting)
        return allowed

    async def close(self) -> None:
        await self._inner.close()
