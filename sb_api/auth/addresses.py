"""Client addresses: one form for each, whichever way it was written, and the network that one client has to itself."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

UNKNOWN = "unknown"  # whose failures are counted together: all those whose address is none


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`: a port and brackets are cut off, an IPv4 address mapped into IPv6 is an IPv4 address.

    None when there is no address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # IPv4 with a port; an IPv6 address has two colons at least
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_network(text: str) -> str:
    """Whose failures are counted together: an IPv4 address, or the /64 network that one IPv6 client has to itself."""
    address = parse_address(text)
    if address is None:
        return UNKNOWN
    return str(ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address)


def is_loopback(text: str) -> bool:
    """Whether `text` is an address of this machine alone."""
    if text == "127.0.0.1":  # nearly always
        return True
    address = parse_address(text)
    return address is not None and address.is_loopback
