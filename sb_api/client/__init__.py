"""The Python client: protocol without I/O, HTTP, files in bulk.

`Client` is for threads, `AsyncClient` for event loops.
"""

from sb_api.client.event_loops import AsyncClient
from sb_api.client.http import Client

__all__ = ["AsyncClient", "Client"]
