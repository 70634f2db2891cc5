"""Whose process holds the other end of a connection from this machine, as Linux says it."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def peer_user(connection: socket.socket) -> int | None:
    """The id of the user whose process is the client of a TCP connection between loopback addresses.

    None where the system has no such tables, -1 when they do not have the connection: nobody's.
    """
    if not TABLES[0].exists():
        return None
    here, there = (_endpoint(*name[:2]) for name in (connection.getsockname(), connection.getpeername()))
    for table in TABLES:
        if table.exists():
            for line in table.read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if (fields[1], fields[2]) == (there, here):
                    return int(fields[7])
    return -1


def _endpoint(address: str, port: int) -> str:
    """An address and a port as the tables have them: words in the machine's order of bytes, in hexadecimal."""
    parsed = ip_address(address.partition("%")[0])
    packed = (getattr(parsed, "ipv4_mapped", None) or parsed).packed
    words = [int.from_bytes(packed[start : start + 4], sys.byteorder) for start in range(0, len(packed), 4)]
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
