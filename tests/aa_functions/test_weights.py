"""Finding weights: the order of the folders, and the error if there are none."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from aa_functions.errors import FunctionReferenceError, WeightsNotFoundError
from aa_functions.reference import load_function
from aa_functions.weights import SHIPPED_FOLDER, download, find_weights, weights_folders
from aa_functions.weights.download import DOWNLOAD_URL, no_downloads


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folder of CVAT_FLOWS_WEIGHTS and the one in the home folder."""
    own, home = tmp_path / "own", tmp_path / "home"
    monkeypatch.setenv("CVAT_FLOWS_WEIGHTS", str(own))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    in_home = home / ".cvat-flows" / "weights"
    for folder in (own, in_home):
        folder.mkdir(parents=True)
    return own, in_home


def test_the_order_of_the_folders(folders):
    own, in_home = folders
    assert weights_folders() == (own, in_home, SHIPPED_FOLDER)
    assert find_weights("shapes-yolov8n.pt") == SHIPPED_FOLDER / "shapes-yolov8n.pt"
    for folder in (in_home, own):
        (folder / "shapes-yolov8n.pt").write_bytes(b"mine")
        assert find_weights("shapes-yolov8n.pt") == folder / "shapes-yolov8n.pt"


def test_the_suffix_is_optional(folders):
    assert find_weights("shapes-yolov8n").name == "shapes-yolov8n.pt"


def test_a_path_is_not_searched_in_the_folders(folders, tmp_path):
    own, _ = folders
    (own / "m.pt").write_bytes(b"")
    with pytest.raises(WeightsNotFoundError, match=r"'sub.m\.pt' does not exist"):
        find_weights("sub/m.pt")
    with pytest.raises(WeightsNotFoundError, match="is a folder"):
        find_weights(own)
    assert find_weights(own / "m.pt") == own / "m.pt"


def test_the_current_folder_is_searched_only_by_path(folders, tmp_path):
    """Whoever can write there could run code as the user."""
    (tmp_path / "here.pt").write_bytes(b"")
    for name in ("here.pt", "here"):
        with pytest.raises(WeightsNotFoundError, match=r"give its path: '\./here\.pt'"):
            find_weights(name)
    assert find_weights("./here.pt").samefile(tmp_path / "here.pt")


def test_missing_weights_say_where_to_put_them(folders):
    own, in_home = folders
    with pytest.raises(WeightsNotFoundError) as caught:
        find_weights("yolov8n.pt")
    text = str(caught.value)
    url = f"{DOWNLOAD_URL}/yolov8n.pt"
    for part in ("'yolov8n.pt'", str(own), str(in_home), str(SHIPPED_FOLDER), url):
        assert part in text
    assert "CVAT_FLOWS_WEIGHTS" in text
    assert "CVAT_FLOWS_OFFLINE is set" in text
    assert "Did you mean" not in text


def test_a_similar_name_is_suggested(folders):
    with pytest.raises(WeightsNotFoundError, match=r"Did you mean 'shapes-yolov8n\.pt'"):
        find_weights("shape-yolov8n.pt")


def test_an_empty_name(folders):
    with pytest.raises(WeightsNotFoundError, match="empty"):
        find_weights(" ")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[bytes, int]]]:
    """Serve files of weights; maps names to content and stated length."""
    files: dict[str, tuple[bytes, int]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = files.get(self.path.strip("/"))
            if found is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(found[1]))
            self.end_headers()
            self.wfile.write(found[0])

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.delenv("CVAT_FLOWS_OFFLINE")
        monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
        monkeypatch.setenv("CVAT_FLOWS_WEIGHTS_URL", f"http://127.0.0.1:{server.server_port}/")
        yield files
        server.shutdown()
        thread.join()


def test_download_only_if_requested(folders, published):
    published["new.pt"] = (b"fetched", 7)
    with pytest.raises(WeightsNotFoundError):
        find_weights("new.pt")
    assert find_weights("new.pt", download=True) == folders[0] / "new.pt"
    assert (folders[0] / "new.pt").read_bytes() == b"fetched"
    published.clear()
    assert find_weights("new.pt") == folders[0] / "new.pt"


def test_a_published_name_is_downloaded_on_first_use(folders, published, monkeypatch, capsys):
    content = (SHIPPED_FOLDER / "shapes-yolov8n.pt").read_bytes()
    published["yolov8n.pt"] = (content, len(content))
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(download.KNOWN_DIGESTS, "yolov8n.pt", digest)
    loaded = load_function("yolo", {"model": "yolov8n"})
    assert loaded.function.title == "yolov8n"
    said = capsys.readouterr().err
    assert re.search(
        r"downloading yolov8n\.pt \(6\.\d MB\) from http://127\.0\.0\.1:\d+/yolov8n", said
    )
    assert f"saved {folders[0] / 'yolov8n.pt'}, SHA-256 {digest} (as published)" in said


@pytest.mark.parametrize(
    ("variables", "options", "reason"),
    [
        ({"CVAT_FLOWS_OFFLINE": "1"}, {}, "CVAT_FLOWS_OFFLINE is set"),
        ({"CVAT_FLOWS_OFFLINE": "1"}, {"download": True}, "CVAT_FLOWS_OFFLINE is set"),
        ({}, {"download": False}, "`download` is false"),
        ({"PREFECT__FLOW_RUN_ID": "a-run"}, {}, "setup --download-weights"),
    ],
)
def test_what_forbids_a_download(folders, published, monkeypatch, variables, options, reason):
    published["yolov8s.pt"] = (b"fetched", 7)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FunctionReferenceError, match=rf"{reason}.* Download \S+/yolov8s\.pt "):
        load_function("yolo", {"model": "yolov8s", **options})
    assert list(folders[0].iterdir()) == []


def test_a_worker_downloads_if_the_set_up_allows_it(folders, published, monkeypatch):
    published["yolov8s.pt"] = (b"another", 7)
    monkeypatch.setitem(
        download.KNOWN_DIGESTS, "yolov8s.pt", hashlib.sha256(b"another").hexdigest()
    )
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "a-run")
    monkeypatch.setenv("CVAT_FLOWS_DOWNLOAD", "1")
    with (
        no_downloads(),
        pytest.raises(WeightsNotFoundError, match=r"The first use downloads them from \S+ "),
    ):
        find_weights("yolov8s")
    assert find_weights("yolov8s") == folders[0] / "yolov8s.pt"


@pytest.mark.parametrize("answer", [None, (b"half", 8)])
def test_a_failed_download_leaves_no_file(folders, published, answer):
    if answer:
        published["new.pt"] = answer
    with pytest.raises(WeightsNotFoundError, match="could not be downloaded"):
        find_weights("new.pt", download=True)
    assert list(folders[0].iterdir()) == []


def test_a_known_file_is_checked(folders, published, monkeypatch):
    published["known.pt"] = (b"fetched", 7)
    digest = hashlib.sha256(b"another").hexdigest()
    monkeypatch.setitem(download.KNOWN_DIGESTS, "known.pt", digest)
    with pytest.raises(WeightsNotFoundError, match=f"not {digest}: it was replaced"):
        find_weights("known.pt", download=True)
    assert list(folders[0].iterdir()) == []
    published["known.pt"] = (b"another", 7)
    assert find_weights("known.pt", download=True).read_bytes() == b"another"
