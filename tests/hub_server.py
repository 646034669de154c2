"""A server on loopback that takes data sets as the Hugging Face Hub does, small files only."""

from __future__ import annotations

import base64
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HubServer(ThreadingHTTPServer):
    """Keeps what is committed.

    Attributes:
        files: Contents by path, by repository.
        repos: Bodies of the requests that made repositories.
        keys: Authorization headers.
        status: Where given, what every request is refused with.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.repos, self.keys, self.status = {}, [], set(), None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        server.keys.add(self.headers["Authorization"])
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if server.status is not None:
            self._say({"error": f"refused {self.headers['Authorization']}"}, server.status)
        elif self.path == "/api/repos/create":
            body = json.loads(data)
            server.repos.append(body)
            name = body["name"]
            owner = body.get("organization")
            self._say({"url": f"{server.url}/datasets/{owner}/{name}" if owner else name})
        elif self.path == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/preupload/main.*", self.path):
            files = json.loads(data)["files"]
            modes = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in files
            ]
            self._say({"files": modes})
        elif match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/commit/main.*", self.path):
            for line in data.splitlines():
                part = json.loads(line)
                if part["key"] == "file":
                    kept = server.files.setdefault(match[1], {})
                    kept[part["value"]["path"]] = base64.b64decode(part["value"]["content"])
            self._say(
                {
                    "success": True,
                    "commitOid": "0" * 40,
                    "commitUrl": f"{server.url}/datasets/{match[1]}/commit/{'0' * 40}",
                    "hookOutput": "",
                }
            )
        else:
            self._say({"error": f"unknown {self.path}"}, 404)

    def do_GET(self):
        self.server.keys.add(self.headers["Authorization"])
        if self.server.status is not None:
            self._say({"error": "refused"}, self.server.status)
        elif self.path.startswith("/api/datasets/"):
            self._say({"id": "me/mine", "sha": "0" * 40, "siblings": [], "private": True})
        else:
            self._say({"error": f"unknown {self.path}"}, 404)

    do_HEAD = do_GET

    def _say(self, document, status=200):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args):
        pass
