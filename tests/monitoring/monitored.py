"""Programs of the monitoring tests: processes on free ports, and a Prometheus that scrapes them each second."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.parse
import urllib.request

PROGRAMS = pathlib.Path(os.environ.get("MINERVA_PROGRAMS", pathlib.Path(__file__).resolve().parents[2] / "target" / "release"))
STOP_SECONDS = 10


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def get(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read().decode()


def wait_for(condition, seconds, what="a condition"):
    """The seconds until the condition held. Errors of a server that does not run yet are not errors."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        with contextlib.suppress(OSError):
            if condition():
                return time.monotonic() - start
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not within {seconds} s")


class Process:
    """A process with its output in a file of the folder, killed at the end of the block."""

    def __init__(self, folder, name, command, **options):
        self.output = pathlib.Path(folder) / f"{name}.log"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output, **options)

    def kill(self):
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def signal(self, number):
        self.process.send_signal(number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Minerva(Process):
    """All of Minerva in one process, without an application."""

    def __init__(self, folder):
        self.admin = free_address()
        super().__init__(folder, "minerva", [
            PROGRAMS / "minerva", "--listen", free_address(), "--api", free_address(), "--admin", self.admin,
            "--data-dir", pathlib.Path(folder) / "data", "--demo", "off"])
        wait_for(self.metrics, 20, "minerva")

    def metrics(self):
        return get(f"http://{self.admin}/metrics")


class Prometheus(Process):
    """Scrapes each second the targets (lists of addresses by job), and evaluates the rules."""

    def __init__(self, folder, targets, rules):
        folder = pathlib.Path(folder)
        self.address = free_address()
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rule) for rule in rules],
            "scrape_configs": [{"job_name": job, "static_configs": [{"targets": addresses}]} for job, addresses in targets.items()],
        }
        (folder / "prometheus.json").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        super().__init__(folder, "prometheus", [
            "prometheus", f"--config.file={folder / 'prometheus.json'}", f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={self.address}", "--log.level=warn"])
        wait_for(lambda: get(f"http://{self.address}/-/ready"), 30, "prometheus")

    def query(self, expression):
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            return json.loads(get(url))
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def value(self, expression):
        """The value of the first series, or None without series."""
        result = self.query(expression)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def firing(self):
        alerts = json.loads(get(f"http://{self.address}/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
