"""The Python client: protocol without I/O, HTTP, files in bulk.

`Client` is for threads, `AsyncClient` for event loops.
"""

from sb_api.client.http import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
