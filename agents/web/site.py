"""The local web as a site on loopback: for agents that visit over HTTP, browsers and people."""

from __future__ import annotations

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from urllib.parse import parse_qs, quote, unquote, urlsplit

from agents.errors import UsageError
from agents.web.facts.names import WIKI_ROOT
from agents.web.html import home_html, missing_html, page_html, path_of, results_html
from agents.web.local import LocalWeb

_NUM_RESULTS = 10
_MAX_QUERY_CHARS = 300
_EXAMPLES = ("Lyon (city)", "France (country)", "Polonium (element)", "Euro (currency)", "Moon")
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    # No script, no foreign content: whatever a corpus brings along, it stays text.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class WebSite:
    """Serves a web from a thread of its own while its context is open.

    Args:
        web: What to serve.
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.

    Raises:
        UsageError: The port is in use, or the address is not this machine's.
    """

    def __init__(self, web: LocalWeb, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            self._server = _Server((host, port), web)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"cannot listen on {host}, port {port}: {reason}") from error
        self._thread = Thread(target=self._server.serve_forever, name="web site", daemon=True)

    @property
    def url(self) -> str:
        """Address of the front page, without a slash at its end."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> WebSite:
        """Starts to serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops to serve and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self) -> None:
        """Waits until the site is closed or the process is interrupted."""
        self._thread.join()


def serve_forever(web: LocalWeb, host: str, port: int) -> None:
    """Serves a web until Ctrl-C; says on standard error where it is to be found.

    Raises:
        UsageError: As `WebSite`.
    """
    with WebSite(web, host, port) as site:
        print(f"{len(web.pages):,} pages at {site.url} (Ctrl-C ends)", file=sys.stderr, flush=True)
        try:
            site.wait()
        except KeyboardInterrupt:
            print("closed", file=sys.stderr)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], web: LocalWeb) -> None:
        self.web = web
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Passes over clients that went away, and shows everything else."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "evolvesearch"
    # One packet an answer: written piece by piece, each would wait for an acknowledgement.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    # An idle kept-alive connection gives its thread back.
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        """Answers a request for a page, a search or the front page."""
        address = urlsplit(self.path)
        web = self.server.web
        if address.path == "/":
            found = (web.page(title) for title in _EXAMPLES)
            examples = [page for page in found if page is not None]
            self._send(HTTPStatus.OK, home_html(len(web.pages), examples))
        elif address.path == "/search":
            query = parse_qs(address.query).get("q", [""])[0].strip()[:_MAX_QUERY_CHARS]
            if query:
                hits = web.search(query, _NUM_RESULTS)
                self._send(HTTPStatus.OK, results_html(query, hits))
            else:
                self._send(HTTPStatus.FOUND, "", location="/")
        elif address.path.startswith("/wiki/"):
            self._send_page(address.path.removeprefix("/wiki/"))
        else:
            self._send(HTTPStatus.NOT_FOUND, missing_html("", []))

    def do_HEAD(self) -> None:
        """Answers as `do_GET`, without the body."""
        self.do_GET()

    def _send_page(self, slug: str) -> None:
        web = self.server.web
        page = web.pages.get(WIKI_ROOT + slug) or web.page(unquote(slug))
        if page is None:
            name = unquote(slug).replace("_", " ")[:_MAX_QUERY_CHARS]
            hits = web.search(name, _NUM_RESULTS)
            self._send(HTTPStatus.NOT_FOUND, missing_html(name, hits))
        elif path_of(page.url) != f"/wiki/{slug}":
            self._send(HTTPStatus.FOUND, "", location=path_of(page.url))
        else:
            self._send(HTTPStatus.OK, page_html(page))

    def _send(self, status: HTTPStatus, html: str, location: str = "") -> None:
        body = html.encode()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if location:
            self.send_header("Location", quote(location, safe="/%()',.!-_~"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: the trajectories record what was visited."""
