"""Addresses of cores: parsing, name resolution and connections. Used by the service and by `Streams`."""

import asyncio
import ipaddress
import logging
import os
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import grpc.aio

from .errors import StartError
from .tls import TlsFiles

MAX_ADDRESSES = 64
"""Most addresses per service, and most socket addresses used per host name."""
LOOKUP_TIMEOUT = 5.0
"""Deadline of one DNS lookup, in seconds."""
MAX_RESPONSE_BYTES = 32 << 20
"""Largest accepted response, well above the batches of a core."""

_log = logging.getLogger("minerva_app")

_OPTIONS = {
    "grpc.max_receive_message_length": MAX_RESPONSE_BYTES,
    # A dead core is noticed within 20 s.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
    # Retries with back-off are those of the service.
    "grpc.enable_retries": 0,
    # Connections of two services in one process are not shared.
    "grpc.use_local_subchannel_pool": 1,
    # The addresses are resolved here, and the proxies of the environment are for the web.
    "grpc.enable_http_proxy": 0,
}


@dataclass(frozen=True)
class Address:
    """One configured address of a core."""

    host: str
    port: int
    tls: TlsFiles | None = None

    @property
    def key(self) -> str:
        """Identifies the core until the core's id is known."""
        return f"{self.host}:{self.port}"

    @property
    def is_ip(self) -> bool:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    async def resolve(self) -> frozenset[str]:
        """The gRPC targets of the host; empty if the lookup fails now."""
        lookup = asyncio.get_running_loop().getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.wait_for(lookup, LOOKUP_TIMEOUT)
        except (OSError, TimeoutError) as error:
            _log.warning("cannot resolve the host %s of a core: %s", self.host, error or "timed out")
            return frozenset()
        targets = dict.fromkeys(_target(family, str(at[0]), self.port) for family, _, _, _, at in found)
        return frozenset(list(targets)[:MAX_ADDRESSES])


def parse_addresses(cores: str | list[str] | tuple[str, ...], tls: TlsFiles | None) -> list[Address]:
    """Parses `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`, as one text with commas or as a list, and removes
    duplicates. With files of TLS, by default those of the environment, `HOST:PORT` is an address of TLS. Raises StartError
    if a file is unreadable."""
    tls = TlsFiles.from_environment() if tls is None else tls
    if tls is not None:
        tls.credentials()
    texts = [text.strip() for text in cores.split(",")] if isinstance(cores, str) else list(cores)
    addresses = list(dict.fromkeys(_parse(text, tls) for text in texts))
    if not 0 < len(addresses) <= MAX_ADDRESSES:
        raise StartError(f"{len(addresses)} addresses of cores: 1 to {MAX_ADDRESSES} are possible")
    return addresses


def credentials(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of each call: the token, or that of the variable MINERVA_TOKEN."""
    token = os.environ.get("MINERVA_TOKEN") if token is None else token
    if not token:
        return ()
    if not re.fullmatch("[!-~]+", token):
        raise StartError("the token has other characters than 0x21-0x7E: copy it again")
    return (("authorization", f"Bearer {token}"),)


def connect(address: Address, target: str) -> grpc.aio.Channel:
    """A connection to one target of an address, made by the first call."""
    options = {**_OPTIONS, "grpc.default_authority": address.key}
    if address.tls is not None:
        # The certificate names the host; the target is one of its socket addresses.
        options["grpc.ssl_target_name_override"] = address.host
        return grpc.aio.secure_channel(target, address.tls.credentials(), options=list(options.items()))
    return grpc.aio.insecure_channel(target, options=list(options.items()))


def _parse(text: str, tls: TlsFiles | None) -> Address:
    problem = StartError(f"`{text}` is not the address of a core: use HOST:PORT, http://HOST:PORT or https://HOST:PORT")
    scheme = "http" if tls is None else "https"
    try:
        url = urlsplit(text if "://" in text else f"{scheme}://{text}")
        host, port = url.hostname, url.port
    except ValueError:
        raise problem from None
    is_plain = url.path in ("", "/") and not url.query and not url.fragment and url.username is None
    if url.scheme not in ("http", "https") or not host or not is_plain:
        raise problem
    if url.scheme == "http":
        return Address(host, 80 if port is None else port)
    if tls is None:
        raise StartError(
            f"`{text}` needs files of TLS: set MINERVA_MTLS_CA, MINERVA_MTLS_CERT and MINERVA_MTLS_KEY, or `tls`"
        )
    return Address(host, 443 if port is None else port, tls)


def _target(family: int, host: str, port: int) -> str:
    return f"ipv6:[{host}]:{port}" if family == socket.AF_INET6 else f"ipv4:{host}:{port}"
