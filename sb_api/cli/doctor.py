"""`sb-api doctor`: checks an installation and says what is wrong."""

from __future__ import annotations

import sys
from typing import Any

import click

from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.options import client_of, with_service
from sb_api.cli.terminal.output import show, wants_json
from sb_api.config import load_settings
from sb_api.errors import SbApiError

COLORS = {"ok": "green", "note": "yellow", "wrong": "red"}


@click.command()
@with_service
def doctor(**options: Any) -> None:
    """Check this installation and the service, and say what is wrong and what to do about it.

    The exit code is 1 when something is wrong. Nothing is changed.
    """
    from sb_api.cli.diagnosis import Finding, Patient, examine

    findings = []
    try:
        settings = load_settings()
        client = client_of(options, timeout=10, patience=0)
    except SbApiError as error:
        findings.append(Finding("settings", "wrong", error.detail, "correct the SB_API_* variables"))
    else:
        with client:
            findings += examine(Patient(settings, client, expected=options["url"] is not None))
    wrong = sum(finding.state == "wrong" for finding in findings)
    if wants_json():
        show({"success": not wrong, "findings": findings})
    else:
        for finding in findings:
            click.secho(f"{finding.state:6}", fg=COLORS[finding.state], nl=False)
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            click.echo(f"{finding.check}: {finding.detail}{remedy}")
    sys.exit(exit_codes.FAILED if wrong else exit_codes.DONE)
