"""Asks pip-audit about every package of the lock files. Fails on a known vulnerability; says aloud what was not asked.

Where no source of advisories can be reached, or knows a package, nothing can be said of it, and that is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

LOCK_FILES = ("requirements-dev.lock",)  # it holds all of the others


def main(lock_files: list[str]) -> int:
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    command += ["--format", "json", "--timeout", "10"]
    for file in lock_files:
        command += ["--requirement", file]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _not_asked("no answer within 300 s")
    except (ValueError, KeyError):
        return _not_asked((done.stderr.strip().splitlines() or ["no answer"])[-1])
    found = [(package, fault) for package in packages for fault in package.get("vulns", ())]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    for package, fault in found:
        mended = ", ".join(fault["fix_versions"]) or "no release"
        print(f"{package['name']} {package['version']}: {fault['id']}, mended by {mended}")
    if skipped:
        which = "none" if len(skipped) == len(packages) else f"{len(packages) - len(skipped)}"
        print(
            f"WARNING: pip-audit could ask about {which} of {len(packages)} packages; not about: {', '.join(skipped)}"
        )
    print(f"pip-audit: {len(found)} known vulnerabilities in {len(packages) - len(skipped)} packages asked about")
    return 1 if found else 0


def _not_asked(reason: str) -> int:
    print(f"WARNING: pip-audit could ask about no package: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(LOCK_FILES)))
