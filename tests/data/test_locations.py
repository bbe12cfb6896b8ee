"""Where datasets may lie: no string of a stranger's makes fsspec do more than read files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from adamas import cli
from adamas.core.errors import UserError
from adamas.data import NEW, EpisodeStore
from adamas.data.index import is_link, link_recordings
from adamas.data.locations import check_url, filesystem, place_name, read_file
from adamas.data.pack import pack

CHAINS = (
    "reference::file:///tmp/references.json",
    "reference://",
    "reference::memory://x",
    "blockcache::reference::file:///tmp/references.json",
    "https://example.org/x::reference://",
    "s3://bucket/a::b",
    "zip://a::https://example.org/x.zip",
    "dir::file:///tmp",
    "generic://x",
    "github://owner:repository@main/x",
    "jupyter://x",
    "git:///tmp/x:main@index.json",
    "libarchive://x",
    "S3\u017f://x",
    "",
    "x",
)


def small(folder: Path) -> EpisodeStore:
    store = EpisodeStore.create(folder, (1, 2, 2))
    no = np.zeros(1, bool)
    store.append(np.array([NEW]), np.ones((1, 1, 2, 2), np.uint8), np.zeros(1, int), np.zeros(1), no, no)
    store.append_final(np.array([0]), np.ones((1, 1, 2, 2), np.uint8))
    store.commit()
    return store


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run on recordings at a URL, as training makes it."""
    for part in ("train", "test"):
        list(pack(small(tmp_path / "raw" / part), f"memory://{tmp_path.name}/{part}"))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").touch()
    link_recordings(folder / "dataset", f"memory://{tmp_path.name}")
    return folder


@pytest.mark.parametrize("url", CHAINS)
def test_chains_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="give a folder, or a URL that begins with one of s3, gs"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["s3://bucket/x", "https://example.org/a%3A%3Ab", "blockcache::https://example.org/x"]
)
def test_plain_urls_and_a_cache_are_fine(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize("url", [url for url in CHAINS if "://" in url])
def test_no_command_opens_a_chain(url: str, tmp_path: Path) -> None:
    small(tmp_path / "mine")
    for words in (["inspect", url], ["pack", str(tmp_path / "mine"), "--out", url]):
        with pytest.raises(UserError, match="give a folder, or a URL"):
            cli.run(["data", *words])


def test_links_of_runs_are_followed(run: Path) -> None:
    assert is_link(run / "dataset" / "train")
    assert EpisodeStore.open(run / "dataset" / "train").num_episodes == 1
    with pytest.raises(UserError, match="give a folder, or a URL"):
        link_recordings(run / "other", "reference::file:///x")
    assert not (run / "other").exists()


def test_links_of_older_runs_with_a_cache_are_followed(run: Path) -> None:
    index = run / "dataset" / "train" / "index.json"
    link = json.loads(index.read_text())["link"]
    index.write_text(json.dumps({"version": 3, "link": f"simplecache::{link}"}))
    assert EpisodeStore.open(run / "dataset" / "train").num_episodes == 1


@pytest.mark.parametrize("url", [*CHAINS, 3, ["s3://x"]])
def test_links_of_runs_are_no_chains(run: Path, url: object) -> None:
    (run / "dataset" / "train" / "index.json").write_text(json.dumps({"version": 3, "link": url}))
    with pytest.raises(UserError, match="give a folder, or a URL"):
        EpisodeStore.open(run / "dataset" / "train")


def test_links_of_datasets_are_refused(run: Path, tmp_path: Path) -> None:
    """Those of strangers: outside a run, in a folder that a run points to, and at a URL."""
    content = (run / "dataset" / "train" / "index.json").read_bytes()
    strange = tmp_path / "strange" / "dataset"
    (strange / "train").mkdir(parents=True)
    (strange / "train" / "index.json").write_bytes(content)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").touch()
    (other / "dataset").symlink_to(strange)
    fsspec.filesystem("memory").pipe_file(f"{tmp_path.name}/dataset/train/index.json", content)
    for place in (
        strange / "train",
        other / "dataset" / "train",
        f"memory://{tmp_path.name}/dataset/train",
    ):
        with pytest.raises(
            UserError, match=r"is not a dataset but a link to 'memory://.*followed only within a run"
        ):
            EpisodeStore.open(place)


def test_a_folder_is_never_taken_for_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec takes ``reference::x/frames.zst`` for a chain: x/frames.zst would be read for templates."""
    monkeypatch.chdir(tmp_path)
    list(pack(small(tmp_path / "raw"), tmp_path / "reference::x"))
    assert filesystem("reference::x")[1] == str(tmp_path / "reference::x")
    assert EpisodeStore.open("reference::x").episode(0).obs.shape == (2, 1, 2, 2)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
@pytest.mark.parametrize("name", ["index.json", "frames.bin", "rows.bin", "frames.zst", "blocks.bin"])
def test_what_is_no_file_is_not_read(tmp_path: Path, name: str, kind: str) -> None:
    """Reading a pipe that nobody writes to, or /dev/zero, would never end."""
    store = small(tmp_path / "raw")
    list(pack(store, tmp_path / "packed"))
    path = tmp_path / ("packed" if name in ("frames.zst", "blocks.bin") else "raw") / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    reason = "Is a directory" if kind == "folder" else "it is no regular file"
    with pytest.raises(UserError, match=reason):
        EpisodeStore.open(path.parent)
    if name in ("frames.bin", "rows.bin"):
        with pytest.raises(UserError, match="cannot write to"):
            store.commit()
    if name == "index.json":
        with pytest.raises(OSError, match=reason):
            read_file(path)


INDEX = '"version": 1, "action_spec": null, "obs_shape": [1, 2, 2], "num_rows": 2'


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"version": 1, "a": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"version": 1, "action_spec": null, "obs_shape": [1, 2, 2], "num_rows": 1e999}',
        '{"version": 1, "action_spec": null, "obs_shape": [1, 2, 2], "num_rows": NaN}',
        '{"version": 1, "action_spec": null, "obs_shape": [1, 2, 2], "num_rows": 2.5}',
        '{"version": 1, "action_spec": null, "obs_shape": [1, 2, 2], "num_rows": true}',
        '{"version": 1, "action_spec": null, "obs_shape": [1, 2, 2], "num_rows": ' + "9" * 5_000 + "}",
        '{"version": 1, "action_spec": null, "obs_shape": [1e999, 2, 2], "num_rows": 2}',
        '{"version": 1, "action_spec": null, "obs_shape": [4294967296, 4294967296, 1], "num_rows": 2}',
        '{"version": 1, "action_spec": null, "obs_shape": [4294967296, 4294967296, 1], "num_rows": 0}',
        '{"version": 1, "action_spec": null, "obs_shape": [1, 2, 2], "num_rows": 1' + "0" * 30 + "}",
        '{"version": NaN, "action_spec": null, "obs_shape": null, "num_rows": 2}',
        "{" + INDEX + ', "game": ["suite", "game"]}',
        "{" + INDEX + ', "game": "suite game"}',
        "{" + INDEX + ', "game": {"suite": 1, "game": []}}',
        "{" + INDEX + ', "game": {"suite": "minatar"}}',
        "{" + INDEX + ', "packed": "no"}',
        "{" + INDEX + ', "checksums": []}',
        "{" + INDEX + ', "checksums": {"frames.bin": [1.5], "rows.bin": [1]}}',
        "{" + INDEX + ', "crc32": 12}',
        "{" + INDEX + ', "crc32": []}',
    ],
)
def test_an_impossible_index_is_refused(tmp_path: Path, content: str) -> None:
    small(tmp_path)
    (tmp_path / "index.json").write_text("{" + INDEX + "}")
    assert EpisodeStore.open(tmp_path).num_rows == 2
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(UserError, match=r"index\.json is damaged") as caught:
        EpisodeStore.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_packed_block_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    """Memory is asked for by what the block says of itself, before a byte is unpacked."""
    zstandard = pytest.importorskip("zstandard")
    list(pack(small(tmp_path / "raw"), tmp_path / "packed"))
    bomb = zstandard.ZstdCompressor().compress(bytes(2**24))
    (tmp_path / "packed" / "frames.zst").write_bytes(bomb)
    np.array([0, len(bomb)], "<i8").tofile(tmp_path / "packed" / "blocks.bin")
    index = json.loads((tmp_path / "packed" / "index.json").read_text())
    del index["checksums"], index["crc32"]
    (tmp_path / "packed" / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"frames\.zst, rows 0 to 3: damaged"):
        EpisodeStore.open(tmp_path / "packed").episode(0)


def test_a_raw_dataset_at_a_url_is_refused(tmp_path: Path) -> None:
    raw = small(tmp_path / "raw")
    for path in Path(raw.folder).iterdir():
        fsspec.filesystem("memory").pipe_file(f"{tmp_path.name}/raw/{path.name}", path.read_bytes())
    message = (
        r"memory://.*/raw is not packed, and only packed datasets can be read at a URL; put a packed copy there "
        r"\(adamas data pack makes one\)"
    )
    with pytest.raises(UserError, match=message):
        EpisodeStore.open(f"memory://{tmp_path.name}/raw")


def test_a_storage_that_cannot_be_reached(tmp_path: Path) -> None:
    """The file system of FTP connects as soon as it is made."""
    url, store = "ftp://127.0.0.1:1/mine", small(tmp_path)
    actions: tuple[Callable[[], object], ...] = (
        lambda: list(pack(store, url)),
        lambda: EpisodeStore.open(url),
        lambda: filesystem(url),
    )
    for action in actions:
        with pytest.raises(
            UserError, match=r"cannot open ftp://.* \(.*\); check the URL and the conn"
        ) as error:
            action()
        assert "\n" not in str(error.value)


def test_places_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drives").mkdir()
    monkeypatch.chdir(tmp_path / "drives")
    assert place_name(".") == place_name(tmp_path / "drives") == place_name("../drives/") == "drives"
    assert place_name("s3://bucket/drives/") == "drives"
