"""Servers for the tests: the real program with the model in the box, on a free port, over a folder of their own."""

import json
import os
import pathlib
import subprocess
import tempfile

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]


def program():
    """The program: what ENCAUSTIC names, else what cargo built."""
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return os.environ.get("ENCAUSTIC", str(pathlib.Path(target) / "release" / "encaustic"))


class Server:
    """A running server."""

    def __init__(self, *settings, environment=None, keys=None):
        self.folder = tempfile.TemporaryDirectory(prefix="encaustic-clients-")
        home = pathlib.Path(self.folder.name)
        self.log = open(home / "log", "w+")
        command = [program(), "serve", "--json", "--listen", "127.0.0.1:0", "--open", "false", "--data", str(home / "data"), *settings]
        environment = {**os.environ, "ENCAUSTIC_HOME": str(home / "home"), "ENCAUSTIC_LOG_LEVEL": "info", **(environment or {})}
        self.keys = {name: self.add(home / "data", environment, name, scopes) for name, scopes in (keys or {}).items()}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, env=environment, text=True)
        line = self.process.stdout.readline()
        assert line, f"the server did not start: {self.told()}"
        ready = json.loads(line)
        assert "address" in ready, f"the server did not start: {line}"
        self.url = ready["address"]
        self.port = int(self.url.rsplit(":", 1)[1])

    @staticmethod
    def add(data, environment, name, scopes):
        """A key of this name with these scopes."""
        command = [program(), "key", "add", name, "--scopes", scopes, "--data", str(data), "--json"]
        return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)["key"]

    def told(self):
        """What it has logged."""
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def get(self, path):
        return requests.get(self.url + path, timeout=30)

    def post(self, path, body):
        return requests.post(self.url + path, json=body, timeout=30)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()
            self.folder.cleanup()


@pytest.fixture(scope="session")
def server():
    """A server that draws on the processor."""
    running = Server("--devices", "cpu", "--shutdown-secs", "1")
    yield running
    running.stop()
