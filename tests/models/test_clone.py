import http.client
import io
import json
import sys
import threading
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from textwrap import dedent

import pytest
import torch

from landscape.models.card import find
from landscape.models.clone import UntrustedError, remember

TIP, PAST, FORK = "a" * 40, "b" * 40, "f" * 40
FILES = {
    "hubconf.py": """
        from network import Net as _Net
        def tiny(pretrained=False):
            return _Net()
    """,
    "network.py": """
        from torch import nn
        class Net(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    """,
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder for torch.hub, and nothing trusted."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    folder = tmp_path / "torch" / "hub"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def cached(home):
    """Put a repository where torch.hub would have put it."""

    def put(name):
        (home / name).mkdir()
        for file, text in FILES.items():
            (home / name / file).write_text(dedent(text))
        return home / name

    return put


def archive():
    """A zip as GitHub makes it: one folder, named after owner, repository and commit."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("some-nets-aaaaaaa/", "")
        for name, text in FILES.items():
            file.writestr(f"some-nets-aaaaaaa/{name}", dedent(text))
    return content.getvalue()


@pytest.fixture
def github(monkeypatch):
    """A server on this machine to which every https request goes; its list says what was asked.

    It has what torch.hub asks of github.com and api.github.com for ``some/nets``.
    """
    tips = [{"name": "main", "commit": {"sha": TIP}}, {"name": "fix/it", "commit": {"sha": TIP}}]
    answers = {
        "/some/nets/tree/main/": b"page",
        "/repos/some/nets/branches?per_page=100&page=1": json.dumps(tips).encode(),
        "/repos/some/nets/branches?per_page=100&page=2": b"[]",
        "/repos/some/nets/tags?per_page=100&page=1": b"[]",
        f"/repos/some/nets/compare/{TIP}...HEAD": b'{"status": "identical"}',
        f"/repos/some/nets/compare/{PAST}...HEAD": b'{"status": "ahead"}',
        f"/repos/some/nets/compare/{FORK}...HEAD": b'{"status": "diverged"}',
    }
    for ref in ("main", "HEAD", "fix/it", TIP, PAST, FORK):
        answers[f"/some/nets/zipball/{ref}"] = archive()
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(f"{self.command} {self.path}")
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    class Here(urllib.request.HTTPSHandler):
        def https_open(self, request):
            def connect(host, **options):
                return http.client.HTTPConnection(*server.server_address, timeout=10)

            return self.do_open(connect, request)

    monkeypatch.setattr("urllib.request._opener", urllib.request.build_opener(Here))
    yield asked
    server.shutdown()
    server.server_close()


def test_a_remote_repository_runs_only_when_trusted(cached, home, offline):
    cached("some_nets_main")  # that it is here is no leave
    spec = "hub:some/nets/tiny"
    with pytest.raises(UntrustedError, match=r"the code of https://github.com/some/nets ") as e:
        find(spec)
    assert "give --trust" in str(e.value)
    assert str(home / "trusted_list") in str(e.value)
    assert "\n" not in str(e.value)
    assert e.value.repository == "some/nets"
    assert not any(name == "network" for name in sys.modules)
    assert find(spec, trust=True).name == spec
    assert not (home / "trusted_list").exists()  # for that call only
    with pytest.raises(UntrustedError):
        find(spec)
    (home / "trusted_list").write_text("another_repository")
    remember("some/nets")
    assert (home / "trusted_list").read_text() == "another_repository\nsome_nets\n"
    card = find(spec)
    assert not card.offline
    assert card.source.startswith("https://github.com/some/nets, ref main (the default), code ")


def test_an_owner_that_torch_trusts_is_asked_for_as_well(cached, home, offline):
    cached("facebookresearch_nets_main")
    with pytest.raises(UntrustedError):
        find("hub:facebookresearch/nets/tiny")
    with pytest.raises(UntrustedError):
        find(f"hub:facebookresearch/nets:{TIP}/tiny")


def test_the_cache_is_used_without_a_network(cached, home, offline):
    cached("some_nets_master")
    assert "ref master (the default)" in find("hub:some/nets/tiny", trust=True).source
    cached("some_nets_main")
    assert "ref main (the default)" in find("hub:some/nets/tiny", trust=True).source
    cached("some_nets_v1.2_fix")
    assert ", ref v1.2/fix, code " in find("hub:some/nets:v1.2/fix/tiny", trust=True).source
    cached(f"some_nets_{PAST}")
    assert f", commit {PAST}, code " in find(f"hub:some/nets:{PAST}/tiny", trust=True).source
    with pytest.raises(OSError, match=r"github.com could not be reached for some/nets:v2 \("):
        find("hub:some/nets:v2/tiny", trust=True)


def test_without_a_network_the_remedy_is_a_clone(home, offline):
    with pytest.raises(OSError, match=r"some/nets .*use hub:/path/to/clone/ENTRY") as caught:
        find("hub:some/nets/tiny", trust=True)
    assert "\n" not in str(caught.value)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("ref", "folder", "told"),
    [
        ("", "some_nets_main", "ref main (the default)"),
        (":main", "some_nets_main", "ref main"),
        (":fix/it", "some_nets_fix_it", "ref fix/it"),
        (f":{TIP}", f"some_nets_{TIP}", f"commit {TIP}"),
        (f":{PAST}", f"some_nets_{PAST}", f"commit {PAST}"),
    ],
)
def test_torch_hub_fetches_what_the_cache_lacks(home, github, capfd, ref, folder, told):
    (home / "trusted_list").write_text("another_repository\n")
    modules, path = dict(sys.modules), list(sys.path)
    card = find(f"hub:some/nets{ref}/tiny", trust=True)
    assert f"https://github.com/some/nets, {told}, code " in card.source
    assert isinstance(card.build(), torch.nn.Module)
    assert sorted(p.name for p in home.iterdir()) == sorted([folder, "trusted_list"])
    assert (home / "trusted_list").read_text() == "another_repository\n"
    out, err = capfd.readouterr()
    assert out == ""
    line = (
        f"landscape: downloading the code of some/nets{ref} from https://github.com/some/nets/zip"
    )
    assert err.startswith(line)
    assert sys.path == path
    assert all(sys.modules[name] is module for name, module in modules.items())
    left = [sys.modules[name] for name in set(sys.modules) - set(modules)]
    files = [m.__name__ for m in left if str(home) in (getattr(m, "__file__", None) or "")]
    assert all(name.startswith("landscape_file_") for name in files)
    asked = len(github)
    find(f"hub:some/nets{ref}/tiny", trust=True)
    assert len(github) == asked


def test_a_commit_of_a_fork_is_refused(home, github):
    with pytest.raises(OSError, match=rf"Cannot find {FORK} in https://github.com/some/nets"):
        find(f"hub:some/nets:{FORK}/tiny", trust=True)
    assert not any("zipball" in line for line in github if line.startswith("GET"))
    assert list(home.iterdir()) == []


def test_a_refusal_of_github_is_told(home, github):
    match = r"could not fetch other/nets: https://api.github.com/repos/other/nets/branches\S* answ"
    with pytest.raises(OSError, match=match) as caught:
        find("hub:other/nets/tiny", trust=True)
    assert "answers 404" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_asked_before_it_is_trusted(home, github):
    for ref in ("", ":main", f":{PAST}"):
        with pytest.raises(UntrustedError):
            find(f"hub:some/nets{ref}/tiny")
    assert github == []


def test_a_fetched_repository_that_does_not_run_says_so_itself(home, request, monkeypatch):
    monkeypatch.setitem(FILES, "network.py", "import no_such_package_at_all")
    request.getfixturevalue("github")
    match = r"some_nets_main/hubconf.py does not run: ModuleNotFoundError: No module named 'no_such"
    with pytest.raises(ValueError, match=match):
        find("hub:some/nets/tiny", trust=True)
    assert "network" not in sys.modules
