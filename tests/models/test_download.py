from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from landscape.models.download import announce


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200 if self.path == "/weights.pth" else 404)
        self.send_header("Content-Length", "12345678")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("urllib.request._opener", None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_source_size_and_target_are_said_on_stderr(server, capsys):
    announce("the weights of x", f"{server}/weights.pth", "/cache")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"landscape: downloading the weights of x from {server}/weights.pth (12.3 MB) to /cache\n"
    )


def test_an_unknown_size_is_said_as_well(server, capsys):
    announce("x", f"{server}/other", "/cache")
    assert "(of unknown size) to /cache" in capsys.readouterr().err


def test_a_server_out_of_reach_fails_in_one_line(offline):
    with pytest.raises(OSError, match=r"example.org could not be reached for x \(.*refused") as e:
        announce("x", "https://example.org/x.pth", "/cache")
    assert "\n" not in str(e.value)
