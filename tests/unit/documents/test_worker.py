from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pypdfium2
import pytest

from ragstack.documents.dispatch import load_document
from ragstack.documents.limits import Limits
from ragstack.documents.pdfpicture import pdf_page
from ragstack.documents.wire import (
    decoded_document,
    decoded_error,
    encoded_document,
    encoded_error,
    read_frame,
    write_frame,
)
from ragstack.documents.worker import LoaderWorker
from ragstack.errors import (
    BrokenDocument,
    DocumentError,
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    InputError,
    NotFound,
    UnsupportedDocument,
)
from ragstack.testing.samples import PdfLine, docx_bytes, mail_bytes, pdf_bytes
from ragstack.types import Document, Mark, Source

PDF = pdf_bytes([[(50, 50, 20, "Bees"), (50, 100, 10, "Bees make honey.")]], info={"Title": "T"})

# A loader that does to its process what its document says.
HOSTILE = """
import os, sys, time
from ragstack.errors import EncryptedDocument
from ragstack.types import Document

class HostileLoader:
    def load(self, data, *, source):
        what = data.decode()
        if what == "crash":
            os.abort()
        if what == "exit":
            sys.stderr.write("last words\\n")
            sys.stderr.flush()
            os._exit(3)
        if what == "hang":
            time.sleep(60)
        if what == "eat":
            return bytearray(1 << 40)
        if what == "raise":
            raise KeyError("inner")
        if what == "refuse":
            raise EncryptedDocument("locked", hint="open it")
        if what == "print":
            os.write(1, b"garbage" * 1000)
            print("more garbage", flush=True)
        return Document("id", what, source, {"type": "text", "pid": os.getpid()})

def draw(path, number, quote):
    HostileLoader().load(path.read_bytes(), source=str(path))
    return b"PNG"
"""


@pytest.fixture(scope="module")
def hostile_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "hostile.py").write_text(HOSTILE)
    info = folder / "hostile-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ragstack.loaders]\nhostile = hostile:HostileLoader\n"
        "[ragstack.pictures]\nhostile = hostile:draw\n"
    )
    return folder


@pytest.fixture(scope="module")
def worker() -> Iterator[LoaderWorker]:
    with LoaderWorker() as made:
        yield made


@pytest.fixture
def hostile(hostile_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoaderWorker]:
    monkeypatch.syspath_prepend(hostile_path)
    with LoaderWorker(limits=Limits(max_seconds=20, max_memory=3_000_000_000)) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pdf", PDF),
        ("a.docx", docx_bytes([("Heading1", "Bees"), ("", "Bees make honey.")])),
        ("a.html", b"<!doctype html><h1>Bees</h1><p>Bees make honey."),
        ("a.eml", mail_bytes("Bees", "Bees make honey.")),
        ("a.txt", b"Bees make honey."),
        ("a.csv", b"a,b\n1,2\n"),
    ],
)
def test_it_reads_as_load_document_does(worker: LoaderWorker, name: str, data: bytes) -> None:
    moment = datetime(2024, 5, 6, tzinfo=UTC)
    source = Source(name, data, modified=moment, meta={"rank": 3}, readers=("ada",))
    assert worker.load(source) == load_document(source)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"%PDF-1.4 nothing", BrokenDocument),
        (pdf_bytes([[]]), EmptyDocument),
        (pdf_bytes([[]], encrypted=True), EncryptedDocument),
        (b"\x89PNG" + bytes(30), UnsupportedDocument),
    ],
)
def test_errors_come_back_as_themselves(
    worker: LoaderWorker, data: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error) as here:
        load_document(Source("a.pdf", data))
    with pytest.raises(error) as there:
        worker.load(Source("a.pdf", data))
    assert str(there.value) == str(here.value)


def test_a_document_over_the_limit_is_refused_before_it_is_sent() -> None:
    with LoaderWorker(limits=Limits(max_bytes=100)) as worker, pytest.raises(DocumentTooLarge):
        worker.load(Source("a.pdf", PDF))


@pytest.mark.parametrize(
    ("what", "reason"), [("crash", "signal 6"), ("exit", "exit status 3: last words")]
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_crash_costs_one_document(hostile: LoaderWorker, what: str, reason: str) -> None:
    first = hostile.load(Source("a", b"fine"), loader="hostile")
    with pytest.raises(BrokenDocument, match=reason):
        hostile.load(Source("bad.pdf", what.encode()), loader="hostile")
    again = hostile.load(Source("a", b"fine"), loader="hostile")
    assert again.text == "fine"
    assert again.meta["pid"] != first.meta["pid"]


def test_a_parser_that_hangs_is_stopped(
    hostile_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(hostile_path)
    with LoaderWorker(limits=Limits(max_seconds=3)) as worker:
        worker.load(Source("a.pdf", PDF))
        started = time.monotonic()
        with pytest.raises(DocumentTooLarge, match=r"'slow' took more than 3 seconds"):
            worker.load(Source("slow", b"hang"), loader="hostile")
        assert time.monotonic() - started < 30
        assert worker.load(Source("a", b"fine"), loader="hostile").text == "fine"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_a_parser_that_eats_memory_is_refused(hostile: LoaderWorker) -> None:
    with pytest.raises(DocumentTooLarge, match="3,000,000,000 bytes of memory"):
        hostile.load(Source("a", b"eat"), loader="hostile")


def test_what_a_parser_raises_or_prints_does_no_harm(hostile: LoaderWorker) -> None:
    with pytest.raises(BrokenDocument, match="KeyError"):
        hostile.load(Source("a", b"raise"), loader="hostile")
    with pytest.raises(EncryptedDocument, match="locked") as caught:
        hostile.load(Source("a", b"refuse"), loader="hostile")
    assert caught.value.hint == "open it"
    assert hostile.load(Source("a", b"print"), loader="hostile").text == "print"


def test_one_process_serves_many_documents_and_threads(hostile: LoaderWorker) -> None:
    found: list[Document] = []

    def read(i: int) -> None:
        found.extend(
            hostile.load(Source(f"{i}", f"{i} {j}".encode()), loader="hostile") for j in range(10)
        )

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert all(document.text.startswith(document.source) for document in found)
    assert len({document.meta["pid"] for document in found}) == 1
    assert found[0].meta["pid"] != os.getpid()


def test_a_closed_worker_says_so() -> None:
    worker = LoaderWorker()
    worker.close()
    worker.close()
    with pytest.raises(InputError, match="closed"):
        worker.load(Source("a.pdf", PDF))


@pytest.mark.parametrize("guard", ["if __name__ == '__main__':\n    main()", "main()"])
def test_a_script_needs_no_guard(tmp_path: Path, guard: str) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\nfrom ragstack.documents.worker import LoaderWorker\n"
        "from ragstack.types import Source\n\n"
        "def main():\n    with LoaderWorker() as worker:\n"
        "        data = Path('a.pdf').read_bytes()\n"
        "        sys.stdout.write(worker.load(Source('a.pdf', data)).text)\n\n" + guard
    )
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "# Bees\n\nBees make honey."


def test_frames() -> None:
    pipe = BytesIO()
    write_frame(pipe, {"a": "é\ud800"}, b"body")
    write_frame(pipe, {})
    whole = pipe.getvalue()
    pipe.seek(0)
    assert read_frame(pipe) == ({"a": "é\ud800"}, b"body")
    assert read_frame(pipe) == ({}, b"")
    assert read_frame(pipe) is None
    for cut in range(1, 30):
        assert read_frame(BytesIO(whole[:cut])) is None


def test_documents_and_errors_travel_whole() -> None:
    marks = (Mark("page", 0, 4, "iv", page=4, box=(0.0, 1.0, 2.0, 3.5), seconds=1.5),)
    document = Document("id", "text", "a", {"title": "é", "n": 1.5, "x": None}, marks)
    assert decoded_document(encoded_document(document)) == document
    error = decoded_error(encoded_error(EmptyDocument("none", hint="do")))
    assert (type(error), error.message, error.hint) == (EmptyDocument, "none", "do")
    odd = decoded_error({"error": "InputError", "message": "m", "hint": ""})
    assert type(odd) is BrokenDocument


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_pdf_is_read_in_bounded_memory() -> None:
    page: list[PdfLine] = [
        (50, 50.0 + 14 * i, 10, f"Line {i} of a page that says a little about bees.")
        for i in range(12)
    ]
    with pypdfium2.PdfDocument(pdf_bytes([page])) as one, pypdfium2.PdfDocument.new() as all_pages:
        for _ in range(300):
            # Each page brings its own copy of everything it uses: the hardest case for memory.
            all_pages.import_pages(one)
        out = BytesIO()
        all_pages.save(out)
    with LoaderWorker(limits=Limits(max_seconds=600)) as worker:
        worker.load(Source("a.pdf", PDF))
        before = _peak(worker)
        document = worker.load(Source("long.pdf", out.getvalue()))
        grown = _peak(worker) - before
    assert [m.page for m in document.marks if m.kind == "page"] == list(range(1, 301))
    assert document.text.count("Line 7 ") == 300
    assert grown < len(out.getvalue()) + 60_000_000


def _peak(worker: LoaderWorker) -> int:
    child = worker._child
    assert child is not None
    status = Path(f"/proc/{child._process.pid}/status").read_text()
    line = next(line for line in status.split("\n") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_a_page_is_drawn_as_here(worker: LoaderWorker, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(PDF)
    assert worker.picture(path, 1, "make honey") == pdf_page(path, 1, "make honey")
    assert worker.picture(path, 1) != pdf_page(path, 1, "make honey")
    for number in (0, 2, -1, 10**9):
        with pytest.raises(NotFound, match="there is no page"):
            worker.picture(path, number)
    with pytest.raises(BrokenDocument):
        worker.picture(tmp_path / "none.pdf", 1)


@pytest.mark.parametrize(
    ("what", "error"),
    [("crash", BrokenDocument), ("exit", BrokenDocument), ("eat", BrokenDocument)],
)
def test_a_page_that_kills_its_drawer_costs_no_other(
    hostile: LoaderWorker, tmp_path: Path, what: str, error: type[Exception]
) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_text(what)
    good.write_text("print")
    with pytest.raises(error):
        hostile.picture(bad, 1, name="hostile")
    assert hostile.picture(good, 1, name="hostile") == b"PNG"


def test_a_page_that_takes_too_long_is_given_up(
    hostile_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(hostile_path)
    (tmp_path / "slow").write_text("hang")
    worker = LoaderWorker(limits=Limits(max_seconds=0.5))
    with worker, pytest.raises(DocumentTooLarge, match="more than"):
        worker.picture(tmp_path / "slow", 1, name="hostile")


def test_damaged_bytes_are_drawn_or_refused(worker: LoaderWorker, tmp_path: Path) -> None:
    chance = random.Random(8)
    path = tmp_path / "damaged.pdf"
    for _ in range(30):
        data = bytearray(PDF)
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.randrange(len(data) // 2, len(data) + 1)])
        with suppress(DocumentError, NotFound):
            assert worker.picture(path, 1, "Bees").startswith(b"\x89PNG")
