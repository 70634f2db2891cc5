"""What a process no longer needs goes back to the system."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

from sb_api.memory import page_out, release_memory, resident_bytes

MEGABYTE = 2**20


def print_numbers(program: str) -> list[int]:
    """The numbers that a program prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [*map(int, done.stdout.split())]


def test_what_is_free_goes_back() -> None:
    # Each too small for a mapping of its own, and every hundredth is kept, so that what is free lies in between.
    made = [bytearray(60_000) for _ in range(2000)]
    kept = made[::100]
    del made
    before = resident_bytes()
    release_memory()
    assert before - resident_bytes() > 50 * MEGABYTE
    assert len(kept) == 20


def test_what_is_freed_is_kept_where_it_is_needed_again_until_it_is_released() -> None:
    """In a process of its own, because it stays so."""
    program = (
        "from sb_api.memory import keep_freed_memory, release_memory, resident_bytes\n"
        "keep_freed_memory()\n"
        "before = resident_bytes()\n"
        "arrays = [bytearray(b'x') * 2**20 for _ in range(64)]\n"
        "del arrays\n"
        "kept = resident_bytes() - before\n"
        "release_memory()\n"
        "print(kept >> 20, resident_bytes() - before >> 20)"
    )
    kept, left = print_numbers(program)
    assert kept > 60
    assert left < 5


def test_a_process_tells_what_it_has_in_memory() -> None:
    before = resident_bytes()
    held = bytearray(64 * MEGABYTE)
    assert resident_bytes() - before > 60 * MEGABYTE
    assert len(held)


def test_mapped_files_that_are_not_needed_go_back_and_are_there_when_they_are(tmp_path: Path) -> None:
    library, other = tmp_path / "library", tmp_path / "other"
    pages = {}
    for path in (library, other):
        path.write_bytes(bytes(range(256)) * (16 * MEGABYTE // 256))
        with path.open("rb") as file:
            pages[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            assert pages[path][:].count(b"\xff") == 16 * MEGABYTE // 256
    pages[library][5] = 77  # changed here alone, and not in the file
    before = resident_bytes()
    page_out("/library")
    assert 10 * MEGABYTE < before - resident_bytes() < 20 * MEGABYTE
    assert pages[library][4:7] == bytes([4, 77, 6])


def test_what_is_loaded_is_no_longer_looked_at() -> None:
    program = (
        "import gc, time, sb_api.classify\n"
        "from sb_api.memory import freeze_objects\n"
        "loaded = len(gc.get_objects())\n"
        "freeze_objects()\n"
        "print(loaded, len(gc.get_objects()))"
    )
    loaded, looked_at = print_numbers(program)
    assert loaded > 20_000
    assert looked_at < 100
