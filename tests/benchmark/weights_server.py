"""A web server on this machine that can cut connections, change files and refuse ranges; and tiny weights."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from benchmark.weights import Weight


def some_bytes(n: int, seed: int = 0) -> bytes:
    """`n` bytes without a period, so that a piece in the wrong place changes them."""
    blocks = (hashlib.sha256(f"{seed} {index}".encode()).digest() for index in range(n // 32 + 1))
    return b"".join(blocks)[:n]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tiny_weight(url: str, content: bytes, **changes: object) -> Weight:
    known: dict[str, object] = {
        "id": "tiny",
        "purpose": "a test",
        "file": "tiny.bin",
        "bytes": len(content),
        "sha256": sha256(content),
        "licence": "none",
        "url": url,
        "revision": None,
    }
    return Weight(**(known | changes))  # pyright: ignore[reportArgumentType]


@dataclass
class Server:
    """What is served, what goes wrong, and what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    """For each request in turn: how many bytes of the body are sent before the connection is cut."""
    etags: bool = True
    ranges: bool = True
    lengths: bool = True
    delay_s: float = 0.0
    """Before each answer."""
    stalls: list[int] = field(default_factory=list)
    """For each request in turn: how many bytes are sent before nothing more comes until `stalled` is set."""
    stalled: Event = field(default_factory=Event)
    url: str = ""
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """(path, Range, If-Range) in the order of arrival."""
    sent: int = 0
    """Bytes of bodies in all."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked, condition = self.headers["Range"], self.headers["If-Range"]
            server.requests.append((self.path, asked, condition))
            time.sleep(server.delay_s)
            content = server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            etag = f'"{sha256(content)[:16]}"'
            start = 0
            if asked and server.ranges and condition in (None, etag):
                match = re.fullmatch(r"bytes=(\d+)-", asked)
                assert match, asked
                start = int(match[1])
            if start and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.etags:
                self.send_header("ETag", etag)
            if server.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            if server.cuts:
                body = body[: server.cuts.pop(0)]
            if server.stalls:
                body = body[: server.stalls.pop(0)]
                self.wfile.write(body)
                server.stalled.wait(60)
            else:
                self.wfile.write(body)
            server.sent += len(body)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
