"""Files are fetched from a server that does what servers do: breaks off, changes its mind, does not resume, sends nonsense."""

import hashlib
import http.server
import re
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from minicnn.errors import WeightsError
from minicnn.models.published import Entry
from minicnn.pretrained import downloads
from minicnn.pretrained.downloads import fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server has, and how it behaves."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    resumes: bool = True
    breaks_after: list[int] = field(default_factory=list)  # bytes that each of the next answers sends of what it announces
    status: int | None = None  # answer with this, and nothing else
    redirect: str | None = None
    announces_length: bool = True
    length: int | None = None  # announce this one
    ignores_if_range: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def site(monkeypatch):
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            site.requests.append(dict(self.headers))
            if site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect)
                return self.end_headers()
            if site.status:
                return self.send_error(site.status)
            start = 0
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = site.ignores_if_range or self.headers.get("If-Range") == site.etag
            if asked and site.resumes and same:
                start = int(asked[1])
                if start >= len(site.content):
                    return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
            if site.announces_length:
                self.send_header("Content-Length", str(site.length or len(site.content) - start))
            if site.etag:
                self.send_header("ETag", site.etag)
            self.end_headers()
            stop = site.breaks_after.pop(0) if site.breaks_after else None
            self.wfile.write(site.content[start:][:stop])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}/net.pth"
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0)
    monkeypatch.setenv("no_proxy", "*")
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture
def entry(site):
    return Entry(
        name="net", architecture="resnet18", source="torchvision", file="net.pth", licence="MIT", paper="-", page="-",
        url=site.address, size=len(CONTENT), hash=f"sha256:{SHA256}",
    )  # fmt: skip


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- it works


def test_a_file_is_fetched_once_and_then_used(site, entry, tmp_path, capsys):
    path = fetch(entry, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT and names(path.parent) == ["net.pth"]
    assert capsys.readouterr().err.startswith(f"downloading net: {site.address} (0.3 MB) to {path}")
    assert fetch(entry, path.parent, progress=False) == path and len(site.requests) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "known",
    [{"hash": f"sha256:{SHA256[:8]}"}, {"hash": f"sha1:{hashlib.sha1(CONTENT).hexdigest()}"},
     {"hash": f"md5:{hashlib.md5(CONTENT).hexdigest()}"}, {"hash": None, "size": None}],
    ids=["prefix", "sha1", "md5", "nothing"],
)  # fmt: skip
def test_what_is_known_of_a_file_is_enough(entry, tmp_path, known):
    assert fetch(replace(entry, **known), tmp_path, progress=False).read_bytes() == CONTENT


def test_a_server_that_does_not_say_how_long_the_file_is(site, entry, tmp_path):
    site.announces_length = False
    assert fetch(replace(entry, size=None), tmp_path, progress=False).read_bytes() == CONTENT


# ---- it breaks off


def test_a_connection_that_breaks_off_is_resumed_where_it_broke(site, entry, tmp_path):
    site.breaks_after = [100_000, 50_000]
    assert fetch(entry, tmp_path, progress=False).read_bytes() == CONTENT
    assert [request.get("Range") for request in site.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert [request.get("If-Range") for request in site.requests] == [None, '"one"', '"one"']
    assert names(tmp_path) == ["net.pth"]


def test_another_run_goes_on_with_what_an_earlier_one_has_left(site, entry, tmp_path):
    site.breaks_after = [100_000, *[0] * 20]
    with pytest.raises(WeightsError, match=r"ended after 100000 of 300000 bytes\. Try again, it goes on"):
        fetch(entry, tmp_path, progress=False)
    assert names(tmp_path) == ["net.pth.part"]
    site.breaks_after, site.requests = [], []
    assert fetch(entry, tmp_path, progress=False).read_bytes() == CONTENT
    assert [request["Range"] for request in site.requests] == ["bytes=100000-"] and names(tmp_path) == ["net.pth"]


@pytest.mark.parametrize("change", [{"resumes": False}, {"etag": None}, {"etag": 'W/"weak"'}], ids=str)
def test_where_resuming_is_not_safe_the_file_is_fetched_from_its_beginning(site, entry, tmp_path, change):
    for name, value in change.items():
        setattr(site, name, value)
    site.breaks_after = [100_000]
    assert fetch(entry, tmp_path, progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_pieces_of_two_versions_are_never_put_together(site, entry, tmp_path, ignores_if_range):
    """Without a hash to tell it afterwards."""
    entry = replace(entry, hash=None)
    site.content, site.breaks_after = bytes(300_000), [100_000, *[0] * 20]
    with pytest.raises(WeightsError, match="Try again"):
        fetch(entry, tmp_path, progress=False)
    site.content, site.etag, site.breaks_after, site.ignores_if_range = CONTENT, '"two"', [], ignores_if_range
    assert fetch(entry, tmp_path, progress=False).read_bytes() == CONTENT


def test_a_file_that_became_shorter_is_fetched_anew(site, entry, tmp_path):
    site.breaks_after = [200_000, *[0] * 20]
    with pytest.raises(WeightsError):
        fetch(entry, tmp_path, progress=False)
    site.content, site.breaks_after = CONTENT[:1000], []
    shorter = replace(entry, size=1000, hash=f"sha256:{hashlib.sha256(CONTENT[:1000]).hexdigest()}")
    assert fetch(shorter, tmp_path, progress=False).read_bytes() == CONTENT[:1000]


def test_a_resumed_file_with_a_wrong_hash_is_fetched_once_more_in_one_piece(site, entry, tmp_path):
    site.content, site.breaks_after = bytes(300_000), [100_000, *[0] * 20]
    with pytest.raises(WeightsError):
        fetch(entry, tmp_path, progress=False)
    site.content, site.breaks_after, site.requests = CONTENT, [], []  # another file with the same ETag
    assert fetch(entry, tmp_path, progress=False).read_bytes() == CONTENT
    assert [request.get("Range") for request in site.requests] == ["bytes=100000-", None]


def test_ctrl_c_leaves_what_has_arrived(site, entry, tmp_path, monkeypatch):
    def interrupted(response):
        yield response.read(5000)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(downloads, "_blocks", interrupted)
        fetch(entry, tmp_path, progress=False)
    assert fetch(entry, tmp_path, progress=False).read_bytes() == CONTENT
    assert site.requests[-1]["Range"] == "bytes=5000-"


# ---- it is not the file


def test_a_wrong_hash_is_refused_with_both_hashes_and_leaves_nothing(site, entry, tmp_path):
    site.content = bytes(300_000)
    wrong = hashlib.sha256(site.content).hexdigest()
    with pytest.raises(WeightsError, match=f"{site.address} is not the file .* its SHA-256 is {wrong}, not {SHA256}"):
        fetch(entry, tmp_path, progress=False)
    assert names(tmp_path) == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(site, entry, tmp_path):
    site.content = CONTENT[:200_000]
    with pytest.raises(WeightsError, match="has 200000 bytes, and net should have 300000 bytes: it is another file"):
        fetch(entry, tmp_path, progress=False)
    site.announces_length = False
    with pytest.raises(WeightsError, match="has 200000 bytes"):
        fetch(entry, tmp_path, progress=False)
    assert names(tmp_path) == []


def test_a_rounded_size_is_shown_and_not_insisted_on(entry, tmp_path):
    assert fetch(replace(entry, size=300_100, exact=False), tmp_path, progress=False).read_bytes() == CONTENT


def test_a_server_without_end_is_not_followed(site, entry, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "LARGEST_FILE_BYTES", 50_000)
    site.announces_length = False
    with pytest.raises(WeightsError, match="should have at most 50000"):
        fetch(replace(entry, size=None, hash=None), tmp_path, progress=False)
    assert names(tmp_path) == []


def test_a_file_that_was_there_and_is_another_is_not_used(entry, tmp_path):
    (tmp_path / "net.pth").write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(WeightsError, match=r"net\.pth is not the file that is expected.*Remove it and fetch it again"):
        fetch(entry, tmp_path, progress=False)


# ---- it cannot be had


@pytest.mark.parametrize(("status", "phrase"), [(404, "Not Found"), (403, "Forbidden"), (503, "Service Unavailable")])
def test_an_answer_that_is_no_file_is_passed_on_with_what_to_do(site, entry, tmp_path, status, phrase):
    site.status = status
    with pytest.raises(WeightsError) as refused:
        fetch(entry, tmp_path, progress=False)
    assert f"the server answers {status} {phrase}" in str(refused.value)
    assert f"fetch {site.address} (0.3 MB) elsewhere, and put it as net.pth into {tmp_path}" in str(refused.value)
    assert "MINICNN_DATA" in str(refused.value) and len(site.requests) == 1 and names(tmp_path) == []


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(entry, tmp_path):
    with socket.socket() as taken:  # a port on which nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/net.pth"
        with pytest.raises(WeightsError, match=rf"no connection \(.*\)\. .*fetch {url} \(0\.3 MB\) elsewhere"):
            fetch(replace(entry, url=url), tmp_path, progress=False)


@pytest.mark.parametrize("url", ["http://example.com/net.pth", "ftp://localhost/net.pth", "file:///etc/passwd", "", None])
def test_addresses_without_https_are_refused(entry, tmp_path, url):
    with pytest.raises(WeightsError, match="only addresses with https are safe enough"):
        fetch(replace(entry, url=url), tmp_path, progress=False)


@pytest.mark.parametrize("target", ["http://example.com/net.pth", "ftp://127.0.0.1/net.pth"])
def test_a_server_cannot_send_us_to_an_unsafe_address(site, entry, tmp_path, target):
    site.redirect = target
    with pytest.raises(WeightsError, match=f"is not downloaded from '{target}'|redirect"):
        fetch(entry, tmp_path, progress=False)
    assert names(tmp_path) == []


def test_a_safe_address_does_not_lead_to_this_computer():
    request = urllib.request.Request("https://example.com/net.pth")
    with pytest.raises(WeightsError, match=r"example\.com/net\.pth leads to 'http://localhost/admin'"):
        downloads._SafeRedirects().redirect_request(request, None, 302, "Found", {}, "http://localhost/admin")


def test_a_folder_that_cannot_be_written_is_said_so(entry, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=r"cannot be kept in .*choose another folder"):
        fetch(entry, tmp_path / "file" / "folder", progress=False)


# ---- several at once


def test_processes_that_fetch_the_same_file_do_not_spoil_each_other(site, entry, tmp_path):
    """Threads here, which share no more than the disk; one of them finds what an earlier run has left."""
    site.breaks_after = [100_000, *[0] * 20]
    with pytest.raises(WeightsError):
        fetch(entry, tmp_path, progress=False)
    site.breaks_after = [70_000, 20_000, 90_000, 10]
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch(entry, tmp_path, progress=False), range(4)))
    assert set(paths) == {tmp_path / "net.pth"} and paths[0].read_bytes() == CONTENT
    assert names(tmp_path) == ["net.pth"]
