"""The commands for credentials: let someone in, see who may come in, and let someone in no longer."""

from __future__ import annotations

import sys

import click

from sb_api.auth.credentials import ROLES, Role, add_credential, read_credentials, revoke_credential
from sb_api.cli.audit import write_down
from sb_api.cli.terminal.output import JSON, show, show_line, tell, wants_json
from sb_api.config import load_settings


@click.group()
def token() -> None:
    """Who may ask the service. Changes hold at once, without a restart."""


@token.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="Each role includes those before it.")
@click.option("--password", is_flag=True, help="Ask for a password instead of making a token (or read it from a pipe).")
@click.option(
    "--may-name-reporters", is_flag=True, help="Its verdicts may be those of others, whom it names in `reporter`."
)
@JSON
def add(name: str, role: Role, password: bool, may_name_reporters: bool) -> None:
    """Let NAME in. Prints a new token, which is shown this once and kept nowhere.

    Clients send it as `Authorization: Bearer TOKEN`, or as Basic with NAME and TOKEN. A password is for Basic and the
    web page alone.
    """
    chosen = _ask_password() if password else None
    settings = load_settings()
    secret = add_credential(settings.credentials_file, name, role, chosen, may_name_reporters=may_name_reporters)
    also = ", may name reporters" if may_name_reporters else ""
    write_down(settings, "token added", f"{name}, in the role {role}{also}")
    if wants_json():
        show({"success": True, "name": name, "role": role} | ({"token": secret} if chosen is None else {}))
    elif chosen is None:
        click.echo(secret)
    show_line(f"{name} may come in, in the role {role}. The secret is kept nowhere; store it now.", err=True)


@token.command("list")
@JSON
def list_tokens() -> None:
    """Show who may come in. Neither secrets nor their hashes are shown."""
    settings = load_settings()
    try:
        credentials = list(read_credentials(settings.credentials_file).values())
    except FileNotFoundError:
        credentials = []
        if settings.credentials:
            click.echo(f"There is no {settings.credentials_file}, so nobody is let in.", err=True)
        else:
            click.echo("No credentials: the service answers to its own machine alone, and to all there.", err=True)
    if wants_json():
        shown = [
            {"name": each.name, "role": each.role, "created": each.created}
            | ({"may_name_reporters": True} if each.may_name_reporters else {})
            for each in credentials
        ]
        show(shown)
        return
    for each in credentials:
        also = "  may name reporters" if each.may_name_reporters else ""
        show_line(f"{each.name:24}  {each.role:8}  {each.created:%Y-%m-%d %H:%M} UTC{also}")


@token.command("revoke")
@click.argument("name")
@JSON
def revoke(name: str) -> None:
    """Let NAME in no longer; who is signed in by it is out at once."""
    settings = load_settings()
    file = settings.credentials_file
    left = revoke_credential(file, name)
    write_down(settings, "token revoked", name)
    tell({"success": True, "name": name, "left": left}, f"{name} is let in no longer.")
    if not left:
        click.echo(f"No credential is left, so nobody is let in. To go without credentials, remove {file}.", err=True)


def _ask_password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
