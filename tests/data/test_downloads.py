"""Downloads from a local server that behaves well or badly."""

import hashlib
import http.server
import threading
from typing import ClassVar

import pytest

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.data import DATASETS, Folders
from benchmark.data.downloads import can_download, download_missing, fetch
from benchmark.data.torchvision_sets import Remote

CONTENT = bytes(range(256)) * 9000  # a little above two blocks
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT`; the path says how.

    `/cut` stops after 100,000 bytes, `/ranges` answers requests to resume, `/cut-ranges` does both.
    """

    asked: ClassVar[list[str | None]] = []

    def do_GET(self):
        self.asked.append(self.headers["Range"])
        if self.path == "/none":
            self.send_error(404)
            return
        start = int((self.headers["Range"] or "bytes=0-")[6:-1]) if "ranges" in self.path else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + 100_000] if "cut" in self.path else CONTENT[start:])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def asked():
    Handler.asked.clear()
    return Handler.asked


def refused(url, to, match, md5=MD5):
    with pytest.raises(BenchmarkError, match=match) as caught:
        fetch(url, to, md5)
    assert "\n" not in str(caught.value)
    assert not to.exists()


@pytest.mark.parametrize("path", ["/whole", "/ranges", "/unsized"])
def test_fetches_a_file(server, tmp_path, path, capsys):
    to = tmp_path / "new" / "file.tgz"
    fetch(server + path, to, MD5)
    assert to.read_bytes() == CONTENT
    assert list(to.parent.iterdir()) == [to]
    assert capsys.readouterr().out == ""


def test_a_complete_file_is_not_downloaded_again(server, tmp_path, asked):
    to = tmp_path / "file.tgz"
    fetch(f"{server}/whole", to, MD5)
    fetch(f"{server}/whole", to, MD5)
    assert len(asked) == 1
    to.write_bytes(b"damaged")
    fetch(f"{server}/whole", to, MD5)
    assert to.read_bytes() == CONTENT


def test_another_checksum_leaves_nothing(server, tmp_path):
    refused(f"{server}/whole", tmp_path / "file.tgz", "wrong checksum", md5="0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_refuses(server, tmp_path):
    to = tmp_path / "file.tgz"
    refused(
        f"{server}/none", to, rf"/none cannot be downloaded: .* 404 Not Found. Save the file as {to} by hand"
    )
    assert list(tmp_path.iterdir()) == []


def test_no_server_answers(server, tmp_path):
    refused("http://127.0.0.1:9/file", tmp_path / "file.tgz", "cannot be downloaded: .*refused")


def test_an_interrupted_download_resumes(server, tmp_path, asked):
    to = tmp_path / "file.tgz"
    for _ in range(2):
        refused(f"{server}/cut-ranges", to, "interrupted")
    assert (tmp_path / "file.tgz.part").read_bytes() == CONTENT[:200_000]
    fetch(f"{server}/ranges", to, MD5)
    assert to.read_bytes() == CONTENT
    assert asked == [None, "bytes=100000-", "bytes=200000-"]


def test_a_server_that_cannot_resume_sends_everything(server, tmp_path):
    to = tmp_path / "file.tgz"
    for _ in range(2):
        refused(f"{server}/cut", to, "interrupted")
        assert (tmp_path / "file.tgz.part").stat().st_size == 100_000
    fetch(f"{server}/whole", to, MD5)
    assert to.read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_another_file(server, tmp_path):
    to = tmp_path / "file.tgz"
    (tmp_path / "file.tgz.part").write_bytes(CONTENT + b"more")
    fetch(f"{server}/ranges", to, MD5)
    assert to.read_bytes() == CONTENT


def test_a_complete_part_is_kept(server, tmp_path, asked):
    to = tmp_path / "file.tgz"
    (tmp_path / "file.tgz.part").write_bytes(CONTENT)
    fetch(f"{server}/ranges", to, MD5)
    assert to.read_bytes() == CONTENT and list(tmp_path.iterdir()) == [to]
    assert asked == [f"bytes={len(CONTENT)}-"]


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    refused(f"{server}/whole", tmp_path / "file" / "x.tgz", "x.tgz cannot be written: ")


def test_a_full_disk(server, tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, _):
            raise OSError(28, "No space left on device")

    opened = type(tmp_path).open
    monkeypatch.setattr(
        type(tmp_path),
        "open",
        lambda path, mode="r", *more: Full(opened(path, mode)) if mode == "wb" else opened(path, mode, *more),
    )
    refused(f"{server}/whole", tmp_path / "x.tgz", "x.tgz cannot be written: No space left on device")


def test_a_data_set_is_fetched_where_it_is_missing(server, tmp_path, asked, monkeypatch):
    folders = Folders(tmp_path / "cache", tmp_path / "data")
    dataset = DATASETS.build("fashion_mnist")
    remotes = [Remote(f"{server}/whole", f"FashionMNIST/raw/{name}.gz", MD5) for name in dataset._shapes()]
    monkeypatch.setattr(type(dataset), "remotes", lambda _: remotes[:3])
    with pytest.raises(BenchmarkError, match=r"was downloaded, but is incomplete: .*t10k-labels"):
        download_missing([dataset], folders)
    monkeypatch.setattr(type(dataset), "remotes", lambda _: remotes)
    download_missing([dataset, dataset, DATASETS.build("digits")], folders)
    assert len(asked) == 4
    assert dataset.missing(folders) is None
    download_missing([dataset], folders)
    assert len(asked) == 4


def test_nothing_is_fetched_when_one_cannot_be(server, tmp_path, asked, monkeypatch):
    folders = Folders(tmp_path / "cache", tmp_path / "data")
    dataset = DATASETS.build("cifar10")
    monkeypatch.setattr(
        type(dataset), "remotes", lambda _: [Remote(f"{server}/whole", "cifar-10-python.tar.gz", MD5)]
    )
    with pytest.raises(UsageError, match="--download cannot fetch 'folder:/not/there': There is no folder"):
        download_missing([dataset, DATASETS.build("folder:/not/there")], folders)
    assert not asked
    assert can_download(dataset) and not can_download(DATASETS.build("digits"))
