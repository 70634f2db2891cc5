"""A name that no other process has, wherever it runs."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field


@dataclass
class Identity:
    """A name of the process that asks for it, made when it first does: after a fork each process has its own.

    Host name and process number alone would not do: the containers of a pod share the first and are each number 1.
    """

    prefix: str = ""
    _names: dict[int, str] = field(default_factory=dict)  # by process number

    @property
    def name(self) -> str:
        pid = os.getpid()
        # The first to set it decides for all threads that ask at the same time.
        return self._names.get(pid) or self._names.setdefault(pid, f"{self.prefix}{pid}:{uuid.uuid4().hex}")
