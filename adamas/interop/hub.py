"""Agents on the Hugging Face hub: ``hf://owner/name[/folder or file.pt][@revision]``.

A repository holds an agent where it has ``agent.safetensors`` and ``config.yaml``, at its root or in a folder;
or published checkpoints (``.pt``). huggingface_hub does the work, and keeps whole files alone in its cache.

Tested against a stand-in for the hub (``tests/hub_stand_in.py``), never against the hub itself. The stand-in
takes every file for a small one: large ones travel by other ways (LFS, Xet), which are huggingface_hub's own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from adamas.core.errors import UserError, nearest, require
from adamas.evaluation.scores import references

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

AGENT_FILES = ("agent.safetensors", "config.yaml")
"""What a folder must hold to be loaded as an agent."""

GAMES = {"eloialonso/diamond": "atari_100k/models/{}.pt"}
"""Repositories that have one published file for every game of Atari 100k: there the game's name is enough."""

NAMES_SHOWN = 12  # files that an error message lists

# A pathlib.Path made of an address has lost one of the slashes.
_ADDRESS = re.compile(r"hf:/{1,2}([^/@]+/[^/@]+)(?:/([^@]*))?(?:@(.+))?")


class Address(NamedTuple):
    """A place on the hub.

    Attributes:
        repository: owner and name.
        path: a folder, or a published file, in it; empty: its root.
        revision: branch, tag or commit; None: the newest.
    """

    repository: str
    path: str
    revision: str | None


class Fetched(NamedTuple):
    """What was brought here: a folder or a published file on this machine, and the commit that it is from."""

    path: Path
    commit: str


class Repository(NamedTuple):
    """What there is before something is uploaded: whether others cannot see it, and its files."""

    private: bool
    files: frozenset[str]


def is_address(word: Path | str) -> bool:
    """Whether ``word`` means a place on the hub."""
    return str(word).startswith("hf:")


def parse_address(word: Path | str) -> Address:
    """``hf://owner/name[/folder or file.pt][@revision]``, taken apart.

    Raises:
        UserError: it has another form.
    """
    match = _ADDRESS.fullmatch(str(word))
    if match is None:
        raise UserError(
            f"{word} is no address on the hub; give hf://owner/name[/folder or file.pt][@revision]"
        )
    return Address(match[1], (match[2] or "").strip("/"), match[3])


def fetch(word: Path | str) -> Fetched:
    """Bring an agent here, unless it already is: its folder, or its published file, in huggingface_hub's cache.

    Without a connection, what was fetched before is taken.

    Raises:
        UserError: there is no such repository, revision or agent, the hub cannot be reached and the cache has no
            copy, or huggingface_hub is not installed.
    """
    repository, path, revision = parse_address(word)
    path = _published_path(repository, path)
    is_file = path.endswith(".pt")
    names = [path] if is_file else [str(PurePosixPath(path, name)) for name in AGENT_FILES]
    with _hub(word, reading=True) as api:
        from huggingface_hub import constants
        from huggingface_hub.errors import LocalEntryNotFoundError

        offline = constants.HF_HUB_OFFLINE
        # All files come from one commit. Without a connection it is the one that was fetched last.
        commit = api.resolve_revision(repository, revision=revision, local_files_only=offline).resolved
        try:
            files = [
                api.hf_hub_download(repository, n, revision=commit, local_files_only=True) for n in names
            ]
        except LocalEntryNotFoundError:
            # This fails at once where there is no connection; a download would try again for half a minute.
            there = _names(api.model_info(repository, revision=commit))
            if not there.issuperset(names):
                raise UserError(
                    f"no agent in {word}: {' and '.join(names)} should be there; {repository} has {_listed(there)}"
                ) from None
            files = [api.hf_hub_download(repository, name, revision=commit) for name in names]
    first = Path(files[0])
    return Fetched(first if is_file else first.parent, commit)


def look_up(word: str) -> Repository | None:
    """A repository to upload to; None: it is new, or out of sight of this token.

    Raises:
        UserError: no token is saved here, the hub refuses it, or it cannot be reached.
    """
    with _hub(word) as api:
        from huggingface_hub import get_token
        from huggingface_hub.errors import RepositoryNotFoundError

        if get_token() is None:
            raise UserError(f"{word}: uploading needs a token; log in with: hf auth login (or set HF_TOKEN)")
        try:
            info = api.model_info(parse_address(word).repository)
        except RepositoryNotFoundError:
            return None
    return Repository(bool(info.private), _names(info))


def upload(word: str, files: Mapping[str, Path | bytes], message: str, *, create: bool, private: bool) -> str:
    """Put files into a repository, all in one commit.

    Args:
        word: the repository, ``hf://owner/name``.
        files: what goes there, by name. One of them is ``README.md``, the model card, as bytes.
        message: of the commit.
        create: make the repository first.
        private: make it such that others cannot see it.

    Returns:
        The address of the commit.

    Raises:
        UserError: the hub refuses the model card (before anything is created), the token may not write there, or
            the hub cannot be reached.
    """
    repository = parse_address(word).repository
    with _hub(word) as api:
        from huggingface_hub import CommitOperationAdd, ModelCard

        ModelCard(bytes(files["README.md"]).decode()).validate()
        if create:
            api.create_repo(repository, private=private)
        additions = [CommitOperationAdd(name, content) for name, content in files.items()]
        return api.create_commit(repository, additions, commit_message=message).commit_url


@contextlib.contextmanager
def _hub(word: Path | str, *, reading: bool = False) -> Iterator[HfApi]:
    """The hub's client. Whatever goes wrong in the block becomes one line that its user can act on."""
    try:
        from httpx2 import HTTPError  # what the client makes its requests with
        from huggingface_hub import HfApi, constants, errors
    except ImportError as error:
        raise require("huggingface_hub", "hub") from error
    try:
        yield HfApi()
    except errors.GatedRepoError as error:
        raise UserError(
            f"{word}: its owner must grant access; ask on its page, then log in: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{word}: there is no such repository, or it is private and your token does not open it; "
            "check the name, or log in with: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            f"{word}: the repository has no such revision; give a branch, a tag or a commit, as in "
            "hf://owner/name/path@revision"
        ) from error
    except errors.HfHubHTTPError as error:
        status, said = error.response.status_code, _line(error.server_message or "")
        remedy = "log in with a token that may: hf auth login" if status in (401, 403) else "try again later"
        raise UserError(f"{word}: the hub answers {status} {said}".rstrip() + f"; {remedy}") from error
    except (
        HTTPError,
        errors.OfflineModeIsEnabled,
        errors.RevisionResolutionError,
        errors.LocalEntryNotFoundError,
    ) as error:
        no_copy = f", and the cache {constants.HF_HUB_CACHE} has no copy" if reading else ""
        why, remedy = f"{constants.ENDPOINT} cannot be reached ({_line(error.__cause__ or error)})", "connect"
        if constants.HF_HUB_OFFLINE:
            why, remedy = "HF_HUB_OFFLINE is set", "unset it"
        raise UserError(f"{word}: {why}{no_copy}; {remedy} and try again") from error
    except (ValueError, RuntimeError) as error:  # a name or a model card that will not do; a broken transfer
        raise UserError(f"{word}: {_line(error)}; correct that, or try again") from error
    except OSError as error:
        reason = error.strerror or _line(error)
        raise UserError(
            f"{word}: {reason}; look at the cache {constants.HF_HUB_CACHE} and its free space"
        ) from error


def _published_path(repository: str, path: str) -> str:
    """``path``, or the file of a game where ``path`` is its name and nothing else."""
    if repository not in GAMES or not path or "/" in path or path.endswith(".pt"):
        return path
    games = {name.lower(): name for name in references()}
    if path.lower() not in games:
        raise UserError(f"hf://{repository} has no game {path!r}; {nearest(path, references())}")
    return GAMES[repository].format(games[path.lower()])


def _names(info: ModelInfo) -> frozenset[str]:
    return frozenset(file.rfilename for file in info.siblings or ())


def _listed(names: frozenset[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(sorted(names)[:NAMES_SHOWN]) or "no files") + more


def _line(message: object) -> str:
    return " ".join(str(message).split())
