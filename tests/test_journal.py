"""Pieces survive, are never mixed, and are shared by processes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from landscape.journal import Journal, discard

ONE = {"weights": "a", "settings": "b"}


def test_a_piece_is_made_once_and_comes_back_to_the_last_bit(tmp_path):
    values = {
        "x": np.random.default_rng(0).standard_normal((3, 2)),
        "flag": np.array([True, False]),
        "odd": np.array([np.nan, np.inf, -0.0], dtype=np.float32),
        "count": np.array(7),
    }
    made = []

    def make():
        made.append(1)
        return values

    for _ in range(2):
        got = Journal(tmp_path / "j", ONE).piece("first", make)
        assert {k: v.tobytes() for k, v in got.items()} == {
            k: v.tobytes() for k, v in values.items()
        }
        assert got["odd"].dtype == np.float32
    assert len(made) == 1


def test_without_a_place_nothing_is_kept():
    book = Journal(None, ONE)
    assert book.piece("x", lambda: {"a": np.zeros(1)})["a"] == 0
    assert book.piece("x", lambda: {"a": np.ones(1)})["a"] == 1
    assert [n for n, _ in book.pieces(["p", "q"], lambda n: {})] == ["p", "q"]


@pytest.mark.parametrize("which", ["weights", "settings"])
def test_a_journal_of_another_fingerprint_is_refused(tmp_path, which):
    Journal(tmp_path / "j", ONE).piece("x", lambda: {})
    with pytest.raises(ValueError, match=f"begun with other {which}; go on with those, or delete"):
        Journal(tmp_path / "j", ONE | {which: "else"})


def test_a_journal_of_other_code_is_refused(tmp_path):
    Journal(tmp_path / "j", ONE).piece("x", lambda: {})
    head = tmp_path / "j/journal.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | {"code": "older"}))
    with pytest.raises(ValueError, match="begun with other code"):
        Journal(tmp_path / "j", ONE)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path):
    (tmp_path / "photo.txt").write_text("mine")
    with pytest.raises(ValueError, match="is no journal"):
        Journal(tmp_path, ONE)
    (tmp_path / "journal.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        Journal(tmp_path, ONE)
    assert (tmp_path / "photo.txt").read_text() == "mine"


def test_a_folder_that_another_process_is_about_to_begin_is_no_stranger(tmp_path):
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / ".journal.json.123").write_text("{")  # its head, half written
    (tmp_path / "j" / ".lock").touch()
    discard(tmp_path / "j")
    assert Journal(tmp_path / "j", ONE).piece("x", lambda: {"a": np.ones(1)})["a"] == 1


def test_a_damaged_piece_is_named_and_not_made_again(tmp_path):
    book = Journal(tmp_path / "j", ONE)
    book.piece("x", lambda: {"a": np.arange(100)})
    file = tmp_path / "j/x.npz"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"x\.npz is damaged .*; delete it"):
        book.piece("x", lambda: {"a": np.zeros(1)})


def test_an_interrupt_inside_a_piece_keeps_the_others(tmp_path):
    def make(name):
        if name == "c":
            raise KeyboardInterrupt
        return {"a": np.zeros(1)}

    book = Journal(tmp_path / "j", ONE)
    with pytest.raises(KeyboardInterrupt):
        list(book.pieces("abcd", make))
    assert [book.read(n) is not None for n in "abcd"] == [True, True, False, False]
    again = []
    list(Journal(tmp_path / "j", ONE).pieces("abcd", lambda n: again.append(n) or {}))
    assert again == ["c", "d"]


def test_discard_deletes_only_a_journal(tmp_path):
    book = Journal(tmp_path / "j", ONE)
    discard(tmp_path / "j")
    book.piece("x", lambda: {})
    dead = tmp_path / ".j.1"  # of a process that was killed over it
    dead.mkdir()
    (dead / "y.npz").touch()
    (tmp_path / "photo").mkdir()
    discard(tmp_path / "photo")
    discard(tmp_path / "j")
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


WORKER = """
import os, sys, time
import numpy as np
from landscape.journal import Journal, discard
book = Journal(sys.argv[1], {"weights": "a", "settings": "b"})
def make(name):
    time.sleep(float(sys.argv[2]))
    print(name, flush=True)
    return {"who": np.array(os.getpid())}
for _ in book.pieces([str(i) for i in range(12)], make, wait=0.01): pass
print("end", flush=True)
"""

#: three processes that make, finish and delete a journal over and over; status 1 of an exception
CROWD = """
import os, sys
import numpy as np
from landscape.journal import Journal, discard
def rounds(mine):
    for _ in range(40):
        with Journal(sys.argv[1], {"weights": "a"}) as book:
            values = {name: piece["a"].item() for name, piece in
                      book.pieces("abcde", lambda name: {"a": np.array(ord(name))}, wait=0.001)}
        assert values == {name: ord(name) for name in "abcde"}
        discard(sys.argv[1])
children = []
for mine in range(3):
    children.append(os.fork())
    if not children[-1]:
        rounds(mine)
        os._exit(0)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def worker(path, pause):
    argv = [sys.executable, "-c", WORKER, str(path), str(pause)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_processes_share_and_none_does_what_another_did(tmp_path):
    both = [worker(tmp_path / "j", 0.05) for _ in range(3)]
    said = [p.communicate(timeout=60)[0].split() for p in both]
    assert all(words[-1] == "end" for words in said)
    done = [word for words in said for word in words[:-1]]
    assert sorted(done, key=int) == [str(i) for i in range(12)]


def test_a_killed_process_leaves_no_lock(tmp_path):
    stuck = worker(tmp_path / "j", 30)
    while not (tmp_path / "j/.lock").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    stuck.send_signal(signal.SIGKILL)
    stuck.communicate()
    said = worker(tmp_path / "j", 0).communicate(timeout=60)[0].split()
    assert said[:12] == [str(i) for i in range(12)]


def test_the_last_one_deletes(tmp_path):
    """Who is done leaves the pieces to those who wait for them."""
    slow = worker(tmp_path / "j", 1)
    while not (tmp_path / "j/.lock").exists():
        time.sleep(0.01)
    Journal(tmp_path / "j", ONE).piece("11", lambda: {"who": np.array(0)})
    discard(tmp_path / "j")
    assert (tmp_path / "j/11.npz").exists()
    slow.send_signal(signal.SIGKILL)
    slow.communicate()
    discard(tmp_path / "j")
    assert not list(tmp_path.iterdir())


def test_processes_may_begin_while_others_delete(tmp_path):
    argv = [sys.executable, "-c", CROWD, str(tmp_path / "j")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_goes_while_it_is_made_is_made_again(tmp_path, monkeypatch):
    make, failures = Path.mkdir, [FileExistsError(17, "File exists"), FileNotFoundError(2, "gone")]

    def late(self, *args, **kwargs):
        if failures and self.name == "j":
            raise failures.pop()
        make(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", late)
    assert Journal(tmp_path / "j", ONE).piece("a", lambda: {"x": np.ones(1)})["x"] == 1
    assert not failures
    assert (tmp_path / "j/a.npz").exists()


def test_a_file_system_without_locks_is_no_reason_to_wait(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    book = Journal(tmp_path / "j", ONE)
    assert [name for name, _ in book.pieces("ab", lambda name: {})] == ["a", "b"]
    discard(tmp_path / "j")
    assert not list(tmp_path.iterdir())
