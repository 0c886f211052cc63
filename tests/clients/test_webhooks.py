"""`standardwebhooks`, which checks signatures for receivers."""

import http.server
import threading
import time

import standardwebhooks
from conftest import Server


def test_a_signature_is_what_the_library_expects():
    got = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((body, dict(self.headers)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    receiver = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{receiver.server_port}"
    server = Server("--devices", "cpu", "--webhook-hosts", host)
    try:
        secret = server.get("/api/v1/webhooks/secret").json()["secret"]
        wish = {"request": {"prompt": "x", "steps": 1, "width": 64, "height": 64}, "webhook": f"http://{host}/hook"}
        job = server.post("/api/v1/jobs", wish).json()["id"]
        until = time.monotonic() + 120
        while not got and time.monotonic() < until:
            time.sleep(0.05)
        body, headers = got[0]
        told = standardwebhooks.Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})
        assert (told["type"], told["job"]["id"]) == ("job.finished", job)
    finally:
        server.stop()
        receiver.shutdown()
