from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ragstack.catalog.lock import WriteLock
from ragstack.errors import BaseError, BaseLocked

HOLD = """
import sys, time
from ragstack.catalog.lock import WriteLock
lock = WriteLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""

FORK = """
import os, sys
from ragstack.catalog.lock import WriteLock
lock = WriteLock(sys.argv[1])
lock.acquire()
read, write = os.pipe()
child = os.fork()
if not child:
    os.close(write)
    os.read(read, 1)
    os._exit(0)
lock.release()
with WriteLock(sys.argv[1]):
    print("again", flush=True)
os.close(write)
os.waitpid(child, 0)
"""

ORPHAN = """
import os, sys, time
from ragstack.catalog.lock import WriteLock
lock = WriteLock(sys.argv[1])
lock.acquire()
if not os.fork():
    os.close(1)
    os.close(2)
    time.sleep(3)
    os._exit(0)
time.sleep(0.3)
print("dies", flush=True)
os._exit(1)
"""


def test_second_object_is_refused_and_told_who(tmp_path: Path) -> None:
    with WriteLock(tmp_path) as lock:
        assert lock.held
        with pytest.raises(BaseLocked, match=f"this process \\({os.getpid()}\\)"):
            WriteLock(tmp_path).acquire()
    assert not lock.held
    with WriteLock(tmp_path):
        pass


def test_other_process_is_named_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(BaseLocked, match=f"process {child.pid} is writing") as caught:
        WriteLock(tmp_path).acquire()
    assert caught.value.retryable
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with WriteLock(tmp_path) as lock:
        assert lock.held


def test_one_object_may_enter_again_from_any_thread(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)
    with lock:
        with lock:
            other = threading.Thread(target=lock.acquire)
            other.start()
            other.join()
        with pytest.raises(BaseLocked):
            WriteLock(tmp_path).acquire()
    assert lock.held
    lock.release()
    assert not lock.held
    lock.release()
    WriteLock(tmp_path).acquire()


def test_close_lets_go_at_once(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)
    lock.acquire()
    lock.acquire()
    lock.close()
    lock.close()
    with WriteLock(tmp_path):
        pass


def test_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    # in a process of its own: this one may have threads, which a fork does not copy
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("again\n", 0), done.stderr


def test_forked_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("dies\n", 1), done.stderr
    with WriteLock(tmp_path) as lock:
        assert lock.held


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="cannot be written to"):
        WriteLock(tmp_path / "nowhere").acquire()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": "x", "host": 1}'])
def test_unreadable_holder(tmp_path: Path, content: bytes) -> None:
    with WriteLock(tmp_path):
        (tmp_path / "write.lock").write_bytes(content)
        with pytest.raises(BaseLocked, match="another process"):
            WriteLock(tmp_path).acquire(patience_s=0.05)


def test_holder_on_another_host(tmp_path: Path) -> None:
    with WriteLock(tmp_path):
        (tmp_path / "write.lock").write_text('{"pid": 12, "host": "elsewhere"}')
        with pytest.raises(BaseLocked, match="process 12 on 'elsewhere'"):
            WriteLock(tmp_path).acquire()


def test_a_writer_waits_for_who_passes_by(tmp_path: Path) -> None:
    reader, writer = WriteLock(tmp_path), WriteLock(tmp_path)
    came = threading.Event()

    def write() -> None:
        with writer:
            came.set()

    with reader.passing():
        thread = threading.Thread(target=write)
        thread.start()
        assert not came.wait(0.1)
    thread.join(10)
    assert came.is_set()


def test_patience_ends(tmp_path: Path) -> None:
    with WriteLock(tmp_path).passing(), pytest.raises(BaseLocked, match="is writing"):
        WriteLock(tmp_path).acquire(patience_s=0.05)


def test_who_passes_by_waits_for_nobody(tmp_path: Path) -> None:
    second = WriteLock(tmp_path)
    with WriteLock(tmp_path).passing(), pytest.raises(BaseLocked), second.passing():
        pass
    with WriteLock(tmp_path), pytest.raises(BaseLocked), second.passing():
        pass
    assert not second.held


def test_a_writer_that_joined_who_passes_by_is_not_waited_for(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path)
    with lock.passing(), lock, pytest.raises(BaseLocked):
        WriteLock(tmp_path).acquire()
    with lock, lock.passing(), pytest.raises(BaseLocked):
        WriteLock(tmp_path).acquire()


def test_another_thread_passes_by_while_one_waits(tmp_path: Path) -> None:
    first, shared = WriteLock(tmp_path), WriteLock(tmp_path)
    with first.passing():
        thread = threading.Thread(target=shared.acquire)
        thread.start()
        with pytest.raises(BaseLocked), shared.passing():
            pass
    thread.join(10)
    assert shared.held
    shared.close()
