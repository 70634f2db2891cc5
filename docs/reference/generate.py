"""Writes settings.md, http.md and commands.md of this folder from the code: `make docs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sb_api import __version__, create_app
from sb_api.cli import main
from sb_api.config import Settings, describe_settings
from sb_api.web.openapi.document import build_document

FOLDER = Path(__file__).parent
NOTE = "Made from the code by `make docs`; do not edit."
WIDTH = 100  # characters of a help text


def write_settings() -> str:
    """One row per setting."""
    rows = [
        f"| `{name}` | {f'`{default}`' if default else ''} | {description} |"
        for name, default, description in describe_settings()
    ]
    return "\n".join(
        [
            *("# Settings", "", NOTE, ""),
            "Read from the environment, once, when a process starts. An unknown `SB_API_` name, or a value that does",
            "not fit, is an error at start. Times are in seconds.",
            *("", "| setting | default | what it is |", "|---|---|---|"),
            *rows,
            "",
        ]
    )


def write_commands() -> str:
    """The help text of each command and of those below it."""

    def sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
        settings = {"max_content_width": WIDTH, "terminal_width": WIDTH, "color": False, **command.context_settings}
        context = click.Context(command, info_name=name, parent=parent, **settings)
        yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                if found is not None and not found.hidden:
                    yield from sections(found, below, context)

    return "\n".join(["# Commands", "", NOTE, "", *sections(main, "sb-api", None)])


def write_http() -> str:
    """The paths and types of the OpenAPI document."""
    document = build_document(create_app(Settings()), __version__)
    parts = [
        "# HTTP",
        "",
        NOTE,
        f"`GET /openapi.json` is the same for programs. {document['info']['description']}",
        "Besides what is listed, each call may answer 500, a problem document, when something is wrong on our side.",
        "",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _describe_operation(f"{method.upper()} {path}", operation)
    parts += ["# Types", ""]
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema and "anyOf" not in schema and (name == "Problem" or not _is_problem(schema)):
            parts += _describe_type(name, schema)
    return "\n".join(parts)


def _describe_operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    roles = sorted({role for way in operation.get("security", []) for found in way.values() for role in found})
    yield from (f"## {title}", "", operation["description"], "", f"Role: {', '.join(roles) or 'none needed'}.", "")
    if operation.get("parameters"):
        yield from ("| parameter | in | type | what it is |", "|---|---|---|---|")
        for each in operation["parameters"]:
            kind = _name_type(each["schema"])
            yield f"| `{each['name']}` | {each['in']} | {kind} | {_cell(each.get('description', ''))} |"
        yield ""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        example = content.get("example")
        yield f"Body, `{kind}`: {_name_type(content['schema'])}." + (" For example:" if example else "")
        yield ""
        if example:
            yield from ("```json", json.dumps(example), "```", "")
    yield from ("| status | meaning | answer |", "|---|---|---|")
    for status, response in operation["responses"].items():
        if status == "500":
            continue  # whatever goes wrong on our side; the same everywhere
        kinds = [
            _name_type(content["schema"]) if "schema" in content else f"`{kind}`"
            for kind, content in response.get("content", {}).items()
        ]
        answer = "problem document" if int(status) >= 400 and len(kinds) == 1 and "ready" not in title else None
        yield f"| {status} | {_cell(response['description'])} | {answer or ', '.join(kinds)} |"
    yield ""


def _describe_type(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {name}", "")
    if schema.get("description"):
        yield from (schema["description"], "")
    yield from ("| field | type | needed |", "|---|---|---|")
    for field, about in schema["properties"].items():
        yield f"| `{field}` | {_name_type(about)} | {'yes' if field in schema.get('required', ()) else ''} |"
    yield ""


def _is_problem(schema: dict[str, Any]) -> bool:
    return {"type", "title", "status", "detail"} <= schema["properties"].keys()


def _name_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(map(_name_type, schema[several])))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array of {_name_type(schema['items'])}" if schema.get("items") else "array"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_name_type(schema['additionalProperties'])}"
    return kind if isinstance(kind, str) else " or ".join(kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


REFERENCE = {"settings.md": write_settings, "commands.md": write_commands, "http.md": write_http}

if __name__ == "__main__":
    for name, write in REFERENCE.items():
        (FOLDER / name).write_text(write(), "utf-8")
