"""What goes wrong with object storage is told in one line, which holds no key."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError
from store_servers import KEYS, free_port

from agents.errors import ConfigError, StoreError, UsageError
from flows.profiles import load_profile
from tasks.artifacts import ArtifactStore
from tasks.storage.config import StoreConfig
from tasks.storage.objects import ObjectStore

SECRET = KEYS["AWS_SECRET_ACCESS_KEY"]
QUICK = {"timeout_s": 0.5, "retry_s": 1.0}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@contextmanager
def server_that_answers(status: int, code: str, *, lists: bool = False) -> Iterator[str]:
    """An S3 server that refuses everything in the same words, listing apart where that is said."""

    class Handler(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if lists and "list-type" in self.path:
                answer, body = 200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
            else:
                answer, body = status, f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response(answer)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _refuse

        def log_message(self, *_: object) -> None:
            """Keeps the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def error_of(endpoint: str, uri: str = "s3://bucket/x", **changes: float) -> str:
    """The line that opening such a store ends with, seconds bounded."""
    start = time.monotonic()
    with pytest.raises(StoreError) as caught:
        ArtifactStore.open(StoreConfig(uri=uri, endpoint=endpoint, **{**QUICK, **changes}))
    assert time.monotonic() - start < 15
    line = str(caught.value)
    assert line.startswith(f"cannot open {uri}: ")
    assert "\n" not in line
    assert SECRET not in line
    # A traceback that `--debug` shows must hold no key either.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return line


@pytest.mark.s3
def test_a_wrong_bucket_is_named(s3_server):
    assert "there is no such bucket; make it" in error_of(s3_server.url, "s3://no-such-bucket/x")


def test_a_server_that_is_not_there_is_named():
    assert "connection refused; is a server" in error_of(f"http://127.0.0.1:{free_port()}")


def test_a_server_that_never_answers_is_given_up_on():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "no answer in time" in error_of(url)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", "permission denied: the keys in the environment may not do this"),
        (403, "InvalidAccessKeyId", "keys in the environment are not accepted"),
        (403, "SignatureDoesNotMatch", "keys in the environment are not accepted"),
        (301, "PermanentRedirect", "lies in another region; name it with --set store.region="),
        (507, "XMinioStorageFull", "the disk is full; free some space"),
        (503, "SlowDown", "the server keeps failing; run the same command again later"),
        (404, "NoSuchBucket", "there is no such bucket"),
    ],
)
def test_what_a_server_refuses_is_told(status, code, expected):
    with server_that_answers(status, code) as url:
        assert expected in error_of(url)


def test_no_keys_at_all_is_told(monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name)
    # Where a cloud's machine would find keys of its own, nobody listens.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    line = error_of(f"http://127.0.0.1:{free_port()}")
    assert "no keys were found in the environment; docs/storage.md lists" in line


def test_azure_without_an_account_is_told(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    assert "no keys were found in the environment" in error_of("", "az://container/x")


def test_a_signed_url_stays_out_of_the_error(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "tests")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"sv=2024&sig={SECRET}")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY", raising=False)
    with server_that_answers(418, "Teapot") as url:
        assert error_of(url, "az://container/x").endswith(": the server answered 418 Teapot")


def test_what_may_be_listed_may_still_not_be_written_or_read(tmp_path):
    with server_that_answers(403, "AccessDenied", lists=True) as url:
        objects = ObjectStore.open(StoreConfig(uri="s3://bucket/x", endpoint=url, **QUICK))
        for write in (
            lambda: objects.put_new("a/b", b"x"),
            lambda: objects.put("a/b", b"x"),
            lambda: objects.put_file("a/b", Path(__file__)),
        ):
            with pytest.raises(StoreError, match=r"^cannot write s3://bucket/x/a/b: permission"):
                write()
        with pytest.raises(StoreError, match=r"^cannot read s3://bucket/x/a/b: permission denied"):
            objects.get_file("a/b", tmp_path / "in")
        with pytest.raises(StoreError, match=r"^cannot delete from s3://bucket/x: permission den"):
            objects.delete(["a/b"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "section",
    [
        {"uri": f"s3://key:{SECRET}@bucket/x"},
        {"uri": f"az://container/x?sig={SECRET}"},
        {"endpoint": f"https://key:{SECRET}@minio.example.org"},
        {"endpoint": f"https://minio.example.org/?sig={SECRET}"},
    ],
)
def test_keys_in_the_configuration_are_refused_and_not_repeated(section):
    with pytest.raises(ConfigError, match="hold no keys; they come from the env") as caught:
        load_profile("smoke", {f"store.{key}": value for key, value in section.items()})
    assert SECRET not in str(caught.value)
    if "uri" in section:
        with pytest.raises(UsageError, match="hold no keys") as caught:
            ArtifactStore.open(section["uri"])
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"endpoint": "http://minio.example.org"}, "use https://, or set store.allow_http=true"),
        ({"endpoint": "minio.example.org"}, "expected a URL such as"),
        ({"uri": "s3:///x"}, "got no bucket"),
        ({"uri": "ftp://host/x"}, "expected a folder or one of file://, s3://, gs://, az://"),
        ({"uri": " "}, "got an empty name"),
        ({"part_mib": 1}, "greater than or equal to 5"),
    ],
)
def test_what_names_no_store_is_refused(section, message):
    with pytest.raises(ValidationError, match=message):
        StoreConfig(**section)


def test_plain_http_is_for_this_machine_or_on_demand():
    assert StoreConfig(endpoint="http://127.0.0.1:9000").endpoint
    assert StoreConfig(endpoint="http://[::1]:9000").endpoint
    assert StoreConfig(endpoint="http://minio.example.org", allow_http=True).endpoint
