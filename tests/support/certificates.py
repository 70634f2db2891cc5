"""Certificates made on the spot: an authority, a server that it vouches for, a client, and a stranger."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import urlencode


def make_certificates(folder: Path, *addresses: str) -> None:
    """`ca`, `server` (for these IP addresses), `client` and `stranger` (of no known authority), each .pem and .key."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ",".join(f"IP:{address}" for address in addresses)
    for name in ("ca", "stranger"):
        _openssl(folder, "req", "-x509", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name, extension in (("server", f"subjectAltName={names}"), ("client", "extendedKeyUsage=clientAuth")):
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", extension)
        _openssl(
            folder, "req", "-x509", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", *signed
        )


def _openssl(folder: Path, command: str, *arguments: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    subprocess.run(["openssl", command, *key, *arguments], cwd=folder, check=True, capture_output=True)


def tls_options(folder: Path, name: str = "client") -> str:
    """The options of a rediss:// URL for one who shows the certificate `name`."""
    files = {"ssl_ca_certs": "ca.pem", "ssl_certfile": f"{name}.pem", "ssl_keyfile": f"{name}.key"}
    return urlencode({option: str(folder / file) for option, file in files.items()})


def tls_arguments(folder: Path, port: int) -> list[str]:
    """The arguments of a redis-server that speaks TLS alone, with those who show a certificate of the authority."""
    files = {"cert": "server.pem", "key": "server.key", "ca-cert": "ca.pem"}
    given = [part for option, file in files.items() for part in (f"--tls-{option}-file", str(folder / file))]
    return ["--port", "0", "--tls-port", str(port), *given, "--tls-auth-clients", "yes", "--protected-mode", "no"]
