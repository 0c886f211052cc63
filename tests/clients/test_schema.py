"""`schemathesis`: whatever the document allows, and what it does not, is answered, and never with a 5xx."""

import os
import pathlib
import subprocess
import sys

from conftest import Server

# Streams have no end, and models come from elsewhere.
ENDLESS = ["/api/v1/events", "/api/v1/ws", "/api/v1/jobs/{id}/events", "/api/v1/models/pull"]

# What is not there yet says so with 501; a server without a device that works is not ready, with 503.
ALLOWED = [
    "/sdapi/v1/img2img",
    "/sdapi/v1/extra-single-image",
    "/sdapi/v1/extra-batch-images",
    "/sdapi/v1/interrogate",
    "/v1/images/edits",
    "/v1/images/variations",
    "/ready",
]

CHECKS = ["not_a_server_error", "content_type_conformance", "response_schema_conformance", "response_headers_conformance"]


def run(server, *arguments):
    """Runs schemathesis over the server's document."""
    command = [pathlib.Path(sys.executable).parent / "schemathesis", "run", f"{server.url}/api/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--request-timeout", "20", "--max-failures", "20", "--seed", "1", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", os.environ.get("ENCAUSTIC_EXAMPLES", "8"), "--generation-database", "none", "--no-color"]
    for path in ENDLESS + ALLOWED:
        command += ["--exclude-path", path]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=1800, cwd=server.folder.name)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def test_whatever_is_asked_is_answered():
    # A full queue answers at once: what is drawn is not the question here.
    server = Server("--devices", "none", "--capacity", "0")
    try:
        print(run(server))
        assert server.get("/health").status_code == 200
    finally:
        server.stop()


def test_jobs_are_taken_or_refused():
    # No device works, so jobs wait.
    server = Server("--devices", "none", "--capacity", "100000")
    try:
        print(run(server, "--include-path-regex", "^/api/v1/(jobs|queue|images|collections)"))
        assert server.get("/api/v1/queue").json()["waiting"] > 0
    finally:
        server.stop()
