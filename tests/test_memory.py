"""What a process no longer needs goes back to the system."""

from __future__ import annotations

from sb_api.memory import release_memory, resident_bytes

MEGABYTE = 2**20


def test_what_is_free_goes_back() -> None:
    # Each too small for a mapping of its own, and every hundredth is kept, so that what is free lies in between.
    made = [bytearray(60_000) for _ in range(2000)]
    kept = made[::100]
    del made
    before = resident_bytes()
    release_memory()
    assert before - resident_bytes() > 50 * MEGABYTE
    assert len(kept) == 20


def test_a_process_tells_what_it_has_in_memory() -> None:
    before = resident_bytes()
    held = bytearray(64 * MEGABYTE)
    assert resident_bytes() - before > 60 * MEGABYTE
    assert len(held)
