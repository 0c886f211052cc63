"""`schemathesis`: whatever the document allows, and what it does not, is answered, and never with a 5xx."""

import io
import json
import os
import pathlib
import subprocess
import sys

import requests
from conftest import Server
from PIL import Image

# Streams have no end.
ENDLESS = ["/api/v1/events", "/api/v1/ws", "/api/v1/jobs/{id}/events"]

# What is not there yet says so with 501; a server without a device that works is not ready, with 503.
STATUSES = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]

[[operations]]
include-path = "/ready"
checks.not_a_server_error.expected-statuses = ["200", "4xx", "503"]
"""

CHECKS = ["not_a_server_error", "content_type_conformance", "response_schema_conformance", "response_headers_conformance"]

# No device works, so jobs wait; models could only come from the hub, which nobody asks.
IDLE = ["--devices", "cuda:9"]
ALONE = {"HF_HUB_OFFLINE": "1"}


def run(server, *arguments, numbers=None):
    """Runs schemathesis over the server's document; `numbers` is the most that a number in a path is then."""
    folder = pathlib.Path(server.folder.name)
    document = server.get("/api/openapi.json").json()
    for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
        for parameter in operation.get("parameters", []):
            if numbers and parameter["in"] == "path" and parameter["schema"]["type"] == "integer":
                parameter["schema"].update(minimum=1, maximum=numbers)
    (folder / "openapi.json").write_text(json.dumps(document))
    statuses = folder / "schemathesis.toml"
    statuses.write_text(STATUSES)
    command = [pathlib.Path(sys.executable).parent / "schemathesis", "--config-file", statuses, "run"]
    command += [folder / "openapi.json", "--url", server.url, "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"]
    command += ["--request-timeout", "20", "--max-failures", "20", "--seed", "1"]
    command += ["--max-examples", os.environ.get("ENCAUSTIC_EXAMPLES", "20"), "--generation-database", "none", "--no-color"]
    for path in ENDLESS:
        command += ["--exclude-path", path]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=1800, cwd=server.folder.name)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def test_whatever_is_asked_is_answered():
    server = Server(*IDLE, "--capacity", "0", environment=ALONE)
    try:
        # A full queue answers at once: what is drawn is not the question here. Jobs by themselves are the next test's.
        while server.post("/api/v1/jobs", {}).status_code == 202:
            pass
        print(run(server, "--exclude-path-regex", "^/api/v1/jobs"))
        assert server.get("/health").status_code == 200
    finally:
        server.stop()


def test_jobs_are_taken_or_refused():
    server = Server(*IDLE, "--capacity", "100000", environment=ALONE)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    try:
        for number in range(20):
            assert server.post("/api/v1/jobs", {}).status_code == 202
            assert server.post("/api/v1/collections", {"name": str(number)}).status_code == 201
            headers = {"content-type": "image/png"}
            sent = requests.post(f"{server.url}/api/v1/images", data=picture.getvalue(), headers=headers, timeout=30)
            assert sent.status_code == 201
        # Pictures stay, so that there is something to ask for: the first test has tried to delete some.
        kept = ["--exclude-path", "/api/v1/images/delete", "--exclude-name", "DELETE /api/v1/images/{id}"]
        print(run(server, "--include-path-regex", "^/api/v1/(jobs|queue|images|collections)", *kept, numbers=20))
        assert server.get("/api/v1/jobs").json()["items"]
    finally:
        server.stop()
