"""Brokers may do what they do, no more: the calls of a broker's life, recorded, against `broker-actions.json`.

A proxy stands between the broker and an S3 server. It names the IAM action of each request, and refuses what the policy does not allow, as S3
would. The life: a new store, topics, records, groups, retention, deletion of topics, kill -9, recovery, a drain; then the commands that read a store.
"""

import contextlib
import http.client
import http.server
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse

import stores
from run import program, start_broker, stop_broker
from tf import ROOT

LIMIT = 300
# Many requests, and SeaweedFS is slow where several write one key.
LONG = [["store", "check"]] if os.environ.get("FLOE_TEST_FULL") == "1" else []
SETTINGS = ["floe.index.every.slots=2", "floe.flush.age.ms=100ms", "log.retention.check.interval.ms=1s", "floe.settle.least.bytes=64KiB"]
SETTINGS += ["floe.settle.age.ms=2s", "floe.settle.bytes=1MiB", "floe.wal.file.bytes=1MiB"]


def action(method, bucket, key, query, headers):
    """The IAM actions that S3 checks for a request; one that is not known here is named by the request itself."""
    if key:
        if method in ("GET", "HEAD") and not query.keys() - {"partNumber", "x-id"}:
            return ["s3:GetObject"]
        if method == "PUT" and not query.keys() - {"partNumber", "uploadId", "x-id"}:
            return ["s3:PutObject", "s3:GetObject"] if "x-amz-copy-source" in headers else ["s3:PutObject"]
        if method == "POST" and query.keys() & {"uploads", "uploadId"}:
            return ["s3:PutObject"]
        if method == "DELETE":
            return ["s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"]
    elif bucket and method == "GET" and not query.keys() - {"list-type", "prefix", "delimiter", "start-after", "continuation-token", "max-keys", "encoding-type"}:
        return ["s3:ListBucket"]
    elif bucket and method == "HEAD":
        return ["s3:ListBucket"]
    elif bucket and method == "POST" and "delete" in query:
        return ["s3:DeleteObject"]
    return [f"{method} {'object' if key else 'bucket'} {' '.join(sorted(query))}".strip()]


class Recorder(http.server.BaseHTTPRequestHandler):
    """Passes requests on with the headers they came with: the signature covers the host that the client dialled."""

    protocol_version = "HTTP/1.1"
    server_port = bucket = prefix = None
    allowed = frozenset()

    def pass_on(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length) if length else None
        url = urllib.parse.urlsplit(self.path)
        bucket, _, key = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        names = action(self.command, bucket, key, query, self.headers)
        inside = bucket == self.bucket and (not key or key.startswith(f"{self.prefix}/"))
        allowed = inside and set(names) <= self.allowed
        with self.server.lock:
            for name in names:
                counts = self.server.seen if allowed else self.server.refused
                counts[name] = counts.get(name, 0) + 1
        if not allowed:
            text = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>not in the policy</Message></Error>"
            return self.answer(403, [("Content-Type", "application/xml")], text)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=LIMIT)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            found = connection.getresponse()
            self.answer(found.status, found.getheaders(), found.read(), found.getheader("content-length"))

    def answer(self, status, headers, body, length=None):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        # A HEAD has the length of what it does not carry.
        self.send_header("Content-Length", length if length and self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        # A broker that was killed leaves its connections.
        pass


@contextlib.contextmanager
def recording(behind, bucket, prefix, allowed):
    handler = type("Handler", (Recorder,), {"bucket": bucket, "prefix": prefix, "allowed": frozenset(allowed)})
    server = Server(("127.0.0.1", 0), handler)
    server.behind, server.seen, server.refused, server.lock = behind, {}, {}, threading.Lock()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def check(folder):
    actions = json.loads((ROOT / "terraform" / "modules" / "floe" / "broker-actions.json").read_text())
    allowed = set(actions["objects"]) | set(actions["bucket"])
    with stores.s3(folder) as store:
        options = store("floe")
        at = next(n for n, word in enumerate(options) if word.startswith("s3.endpoint="))
        port = int(options[at].rsplit(":", 1)[1])
        with recording(port, stores.BUCKET, "floe", allowed) as recorder:
            options[at] = f"s3.endpoint=http://127.0.0.1:{recorder.server_address[1]}"
            live(folder, options, recorder)
    assert not recorder.refused, f"calls that the policy does not allow: {recorder.refused}"
    unused = allowed - recorder.seen.keys()
    assert not unused, f"allowed and never called: {sorted(unused)}"
    return ", ".join(f"{count} {name}" for name, count in sorted(recorder.seen.items()))


def live(folder, options, recorder):
    floe = str(program())

    def run(*arguments, given=""):
        done = subprocess.run([floe, *arguments], input=given, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, f"floe {' '.join(arguments)}: {done.stdout} {done.stderr}; refused: {recorder.refused}"
        return done.stdout

    broker, bootstrap = start_broker(folder, SETTINGS, options)
    try:
        there = ["-b", bootstrap]
        run("topic", "create", "events", "-p", "3", "-c", "floe.durability=object", "-c", "retention.bytes=1000", *there)
        run("topic", "create", "gone", *there)
        lines = "".join(f"{n}:{'x' * 1000}\n" for n in range(300))
        for topic in ["events", "gone", "events"]:
            run("produce", topic, "-k", ":", *there, given=lines)
        assert len(run("consume", "gone", "-e", "-g", "readers", *there).splitlines()) == 300
        run("topic", "delete", "gone", *there)
        broker.send_signal(signal.SIGKILL)
        broker.wait()
        broker, bootstrap = start_broker(folder, SETTINGS, options)
        run("produce", "events", "-b", bootstrap, given=lines)
        run("consume", "events", "-e", "-b", bootstrap)
        # Objects of the deleted topic go, and so do slots that an index has.
        deadline = time.monotonic() + LIMIT
        while "s3:DeleteObject" not in recorder.seen and time.monotonic() < deadline:
            time.sleep(0.1)
        assert stop_broker(broker) == 0, (folder / "broker.log").read_text()
    finally:
        broker.kill()
        broker.wait()
    settings = options[2:]
    for command in (["verify", "--store"], ["du", "--store"], ["gc", "--dry-run", "--store"], *LONG):
        run(*command, options[1], *settings)
