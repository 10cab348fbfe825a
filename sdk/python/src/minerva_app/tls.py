"""The files of mutual TLS between this process and the cores; docs/security.md describes the certificates."""

import os
from dataclasses import dataclass

import grpc

from .errors import StartError


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the private CA, and the certificate of this process (role `app:SERVICE`) with its key. They are read again
    for each connection, so that renewed files need no restart."""

    ca: str
    cert: str
    key: str

    @classmethod
    def from_environment(cls) -> "TlsFiles | None":
        """The files of MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY; None if none of them is set."""
        names = ["MINERVA_MTLS_CA", "MINERVA_MTLS_CERT", "MINERVA_MTLS_KEY"]
        files = [os.environ.get(name, "") for name in names]
        if not any(files):
            return None
        if not all(files):
            missing = [name for name, file in zip(names, files, strict=True) if not file]
            raise StartError(f"{' and '.join(missing)}: mutual TLS needs a CA, a certificate and a key")
        return cls(*files)

    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a new connection. Raises StartError if a file cannot be read."""
        return grpc.ssl_channel_credentials(*(_read(path) for path in (self.ca, self.key, self.cert)))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise StartError(f"a file of TLS cannot be read: {error}") from None
    if b"-----BEGIN " not in content:
        raise StartError(f"{path} has neither a certificate nor a key in PEM form")
    return content
