"""Mutual TLS with a running `minerva-core`; certificates by openssl."""

import asyncio
import pathlib
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from minerva_app import Service, StartError, Streams, TlsFiles
from minerva_app.addresses import parse_addresses

from .minerva_process import BIN, free_port

CORE = BIN.with_name("minerva-core")
needs_core = pytest.mark.skipif(not CORE.exists() or not shutil.which("openssl"), reason=f"{CORE} or openssl is missing")


class Certificates:
    """A private CA, and certificates with a role."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._openssl("req", "-x509", *KEY, "-days", "1", "-subj", "/CN=private CA", "-keyout", "ca.key", "-out", "ca.pem")

    def make(self, role: str) -> TlsFiles:
        name = role.replace(":", "-")
        self._openssl("req", *KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self._folder / "san").write_text(f"subjectAltName=URI:minerva:{role},DNS:localhost\n")
        ca = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "san")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *ca, "-out", f"{name}.pem")
        return TlsFiles(*(str(self._folder / file) for file in ("ca.pem", f"{name}.pem", f"{name}.key")))

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def core(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a core that requires mutual TLS."""
    files, (link, api, admin) = certificates.make("core"), (free_port() for _ in range(3))
    ports = [f"--link=127.0.0.1:{link}", f"--api=127.0.0.1:{api}", f"--admin=127.0.0.1:{admin}"]
    tls = [f"--mtls-ca={files.ca}", f"--mtls-cert={files.cert}", f"--mtls-key={files.key}"]
    store = f"--store=redb:{tmp_path_factory.mktemp('store')}"
    process = subprocess.Popen([CORE, *ports, *tls, store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{admin}/healthz", timeout=1)
                break
            except OSError:
                assert time.monotonic() < deadline, "the core does not start"
                time.sleep(0.05)
        yield f"localhost:{api}"
    finally:
        process.kill()
        process.wait()


@needs_core
def test_a_certificate_with_the_role_of_the_service_registers(certificates: Certificates, core: str) -> None:
    async def run() -> None:
        files = certificates.make("app:default")
        service = Service(core, tls=files)
        await asyncio.wait_for(service.start(), 20)
        await service.stop()
        async with Streams(f"https://{core}", tls=files) as streams:
            assert await streams.list_streams() == []

    asyncio.run(run())


@needs_core
def test_a_certificate_of_another_role_is_refused(certificates: Certificates, core: str) -> None:
    async def run() -> None:
        service = Service(core, name="chat", tls=certificates.make("app:other"))
        with pytest.raises(StartError, match="PERMISSION_DENIED: a certificate with the role minerva:app:other"):
            await asyncio.wait_for(service.start(), 20)

    asyncio.run(run())


@needs_core
def test_a_service_without_tls_or_of_another_ca_does_not_connect(
    certificates: Certificates, core: str, tmp_path: pathlib.Path
) -> None:
    async def run(files: TlsFiles | None) -> None:
        service = Service(core, tls=files)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(service.start(), 2)

    asyncio.run(run(None))
    asyncio.run(run(Certificates(tmp_path).make("app:default")))


def test_the_environment_names_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\n")
    for name in ("CA", "CERT"):
        monkeypatch.setenv(f"MINERVA_MTLS_{name}", str(file))
    with pytest.raises(StartError, match="MINERVA_MTLS_KEY: mutual TLS needs"):
        parse_addresses("core:7400", None)
    monkeypatch.setenv("MINERVA_MTLS_KEY", "/none")
    with pytest.raises(StartError, match="/none"):
        parse_addresses("core:7400", None)


def test_https_needs_files() -> None:
    with pytest.raises(StartError, match="needs files of TLS"):
        parse_addresses("https://core:7400", None)
    with pytest.raises(StartError, match="https://HOST:PORT"):
        parse_addresses("ftp://core:7400", None)
