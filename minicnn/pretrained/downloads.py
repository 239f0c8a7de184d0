"""Fetching published files: resumed where they broke off, checked, and put in their place in one step.

What has arrived of a file is kept in a folder beside its place, ``NAME.part``, with what the server said identifies this very
version of it (its ETag or date). The next attempt asks for the rest of that version only (``Range`` with ``If-Range``), so that
pieces of two versions are never put together. A process that resumes a part first renames the part's folder to a name of its
own: two processes never write to one file.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from .. import __version__
from ..errors import WeightsError
from ..models.published import Entry
from .checks import check_file

TIMEOUT_SECONDS = 30.0  # without a byte
TRIES = 5  # in a row without any progress
PAUSE_SECONDS = 1.0  # before the next try
READ_BYTES = 1 << 18
LARGEST_FILE_BYTES = 4 << 30  # no file of weights here has nearly as many
THIS_COMPUTER = ("localhost", "127.0.0.1", "::1")


class _Interrupted(Exception):
    """The connection failed or broke off; the download can be resumed after what has arrived."""


class _OtherVersion(_Interrupted):
    """What has arrived is not the beginning of what the server has now."""


# ---- fetching


def fetch(entry: Entry, folder: str | os.PathLike, progress: bool = True) -> Path:
    """The published file in this folder, downloaded if it is not there yet.

    Parameters
    ----------
    entry : Entry
        One with a ``url``.
    folder : path
        Made if need be.
    progress : bool
        Whether to show a bar on a terminal, and to say in one line what is downloaded.

    Raises
    ------
    WeightsError
        If the file cannot be had, or is not the published one; it says what to fetch and where to put it.
    """
    target = Path(folder) / entry.file
    if target.is_file():
        check_file(entry, target)
        return target
    _check_url(entry.url or "", entry.name)
    if progress:
        print(f"downloading {entry.name}: {entry.url} ({entry.size_in_words}) to {target}", file=sys.stderr)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _part(target) as part:
            _download(entry, part, progress)
            try:
                check_file(entry, part / "data", entry.url)
            except WeightsError:
                was_resumed = (part / "resumed").exists()
                _empty(part)
                if not was_resumed:
                    raise
                _download(entry, part, progress)  # in one piece it may be right
                check_file(entry, part / "data", entry.url)
            os.replace(part / "data", target)
    except _Interrupted as error:
        raise WeightsError(f"{entry.name} cannot be downloaded from {entry.url}: {error}. {by_hand(entry, folder)}") from error
    except OSError as error:
        raise WeightsError(
            f"{entry.name} cannot be kept in {folder}: {error.strerror or error}. Free some space, or choose another folder"
        ) from error
    return target


def by_hand(entry: Entry, folder: str | os.PathLike) -> str:
    """What a user without a connection can do."""
    return (
        f"Try again, it goes on where it broke off; or fetch {entry.url} ({entry.size_in_words}) elsewhere, and put it "
        f"as {entry.file} into {folder} or into the folder that the environment variable MINICNN_DATA names"
    )


def _check_url(url: str, name: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in THIS_COMPUTER):
        raise WeightsError(f"{name} is not downloaded from {url!r}: only addresses with https are safe enough")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address only if that is safe, too."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.type == "https" and not newurl.startswith("https://"):  # not to this computer either
            raise WeightsError(f"{req.full_url} leads to {newurl!r}: only addresses with https are safe enough")
        _check_url(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


# ---- parts


@contextlib.contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A folder for what arrives: the one that an earlier attempt has left, or a new one; left again if the body fails."""
    kept = target.with_name(f"{target.name}.part")
    own = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        kept.rename(own)  # in one step: of two processes one gets it
    except OSError:
        own.mkdir()
    try:
        yield own
    except BaseException:
        with contextlib.suppress(OSError):
            if any(own.iterdir()):
                own.rename(kept)  # fails if another process has left its part meanwhile
        raise
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _empty(part: Path) -> None:
    for name in ("data", "version", "resumed"):
        (part / name).unlink(missing_ok=True)


# ---- one file


def _download(entry: Entry, part: Path, progress: bool) -> None:
    """Bring ``part / "data"`` to its full length, with new attempts as long as there is progress."""
    failures = 0
    with tqdm(desc=entry.file, total=entry.size, unit="B", unit_scale=True, disable=None if progress else True) as bar:
        while True:
            before = _length(part)
            try:
                return _resume(entry, part, bar)
            except _Interrupted as error:
                failures = 1 if _length(part) > before else failures + 1
                if isinstance(error, _OtherVersion):
                    _empty(part)
                elif _length(part) == 0:  # nothing has ever arrived
                    raise
                if failures >= TRIES:
                    raise
                time.sleep(PAUSE_SECONDS)


def _length(part: Path) -> int:
    data = part / "data"
    return data.stat().st_size if data.exists() else 0


def _resume(entry: Entry, part: Path, bar: tqdm) -> None:
    """Ask for what is missing, and add it."""
    version = part / "version"
    if not version.exists():
        _empty(part)
    arrived = _length(part)
    headers = {"User-Agent": f"minicnn/{__version__}", "Accept-Encoding": "identity"}
    if arrived:
        headers |= {"Range": f"bytes={arrived}-", "If-Range": version.read_text()}
    with _response_to(urllib.request.Request(entry.url, headers=headers)) as response:
        start, total = _byte_range(response)
        received = _version_of(response)
        if start and (start != arrived or received != version.read_text()):
            raise _OtherVersion("the server sends another part than it was asked for")
        if not start:
            _empty(part)  # the server does not resume, or its file has changed
        if total is not None and (total > LARGEST_FILE_BYTES or entry.length not in (None, total)):
            raise WeightsError(_other_file(entry, total))
        if received:
            version.write_text(received)
        if start:
            (part / "resumed").touch()
        bar.total, bar.n = total, start
        bar.refresh()
        length = start
        with open(part / "data", "ab") as data:
            for block in _blocks(response):
                length += len(block)
                if length > (LARGEST_FILE_BYTES if total is None else total):
                    break
                data.write(block)
                bar.update(len(block))
            data.flush()
            os.fsync(data.fileno())  # on the disk before it gets its name
    if total is not None and length < total:
        raise _Interrupted(f"the connection ended after {length} of {total} bytes")
    if length > LARGEST_FILE_BYTES or length != (entry.length or total or length):
        _empty(part)
        raise WeightsError(_other_file(entry, length))


def _other_file(entry: Entry, length: int) -> str:
    expected = f"{entry.length} bytes" if entry.length else f"at most {LARGEST_FILE_BYTES}"
    return f"{entry.url} has {length} bytes, and {entry.name} should have {expected}: it is another file"


@contextlib.contextmanager
def _response_to(request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
    """The server's response; a failure is an ``_Interrupted``."""
    try:
        response = urllib.request.build_opener(_SafeRedirects).open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        exception = _OtherVersion if error.code == 416 else _Interrupted  # 416: it has nothing after the part that is here
        raise exception(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"no connection ({getattr(error, 'reason', error)})") from error
    with response:
        yield response


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The bytes of a response, block by block."""
    while True:
        try:
            block = response.read(READ_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(f"the connection broke off ({error})") from error
        if not block:
            return
        yield block


def _byte_range(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """The first byte that a response brings, and the length of the whole file if it says so."""
    if response.status == 206:
        content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not content_range:
            raise _Interrupted(f"the server sends a part, and does not say which ({response.headers.get('Content-Range')!r})")
        return int(content_range[1]), None if content_range[2] == "*" else int(content_range[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _version_of(response: http.client.HTTPResponse) -> str | None:
    """What identifies this version of the file to the byte: a strong ETag, else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")
