"""Which addresses may be reached: what is asked for from outside must not lead inside.

A name is resolved once, its addresses are judged, and the connection goes to one of those that were judged. So a name
that resolves to another address a moment later leads nowhere else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What allows more networks, unless somebody else than webhooks asks.
SETTING = "JOBKIT_WEBHOOK_ALLOW_NETWORKS"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """A host has no address that may be reached."""


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether an address is public, or in one of the networks. An IPv4 address within one of IPv6 counts."""
    if any(address in network for network in networks):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        inner = _within(address)
        if inner is not None:
            return is_allowed(inner, networks)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


def check_literal(host: str, networks: Sequence[Network], *, setting: str = SETTING) -> None:
    """Raise `AddressRefused` where a host is an address, and one that may not be reached. No name is looked up."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not is_allowed(address, networks):
        raise refusal(host, setting)


def address_of(text: str) -> Address:
    """Return a resolved address."""
    # An address of a link has a zone behind it.
    return ipaddress.ip_address(text.partition("%")[0])


def refusal(host: str, setting: str) -> AddressRefused:
    """Return the error that says which setting allows the network of a host."""
    return AddressRefused(f"{host} has no public address: allow its network with {setting}")
