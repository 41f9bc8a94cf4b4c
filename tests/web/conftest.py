from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.web.site import Reader, Site, site


@pytest.fixture(name="site")
async def made_site() -> AsyncIterator[Site]:
    async with site() as made:
        yield made


@pytest.fixture
def reader(site: Site) -> Reader:
    """Somebody on the dashboard's own machine."""
    return site.reader()
