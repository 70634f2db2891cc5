"""gunicorn as `run` and `web` start it: it reads no gunicorn.conf.py, and imports nothing from the working directory.

What is in the environment is meant: GUNICORN_CMD_ARGS is taken, a `--config` in it, too.
"""

from __future__ import annotations

import os

from gunicorn.app.wsgiapp import WSGIApplication

NO_SETTINGS = "python:sb_api.web"  # a module that has none; without any named, gunicorn reads ./gunicorn.conf.py


class WebServer(WSGIApplication):  # type: ignore[misc]
    """gunicorn, which stays where it is."""

    def chdir(self) -> None:
        """Called before the settings are read: it would put the working directory before all that is installed."""


def main() -> None:
    """Serve as the arguments of this process say."""
    os.environ["GUNICORN_CMD_ARGS"] = f"--config={NO_SETTINGS} {os.environ.get('GUNICORN_CMD_ARGS', '')}"
    WebServer("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").run()


if __name__ == "__main__":
    main()
