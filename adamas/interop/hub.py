"""Download and upload of agents on the Hugging Face hub: ``hf://owner/name[/folder or file.pt][@revision]``.

A repository holds an agent as ``agent.safetensors`` and ``config.yaml``, at its root or in a folder, or as a published
checkpoint (``.pt``). Files are transferred and cached by huggingface_hub.

The tests use a mock of the hub (``tests/hub_stand_in.py``), never the hub itself. The mock treats every file as a small
one. Large files use other protocols (LFS, Xet), which are left to huggingface_hub.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from adamas.core.checkpoint import AGENT_FILES
from adamas.core.errors import UserError, nearest, not_installed
from adamas.evaluation.scores import references
from adamas.world_models import registry  # noqa: F401  # makes all kinds known
from adamas.world_models.base import WorldModelConfig

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

NAMES_SHOWN = 12  # number of files that an error message lists

# An address that was converted to a pathlib.Path has lost one of its slashes.
_ADDRESS = re.compile(r"hf:/{1,2}([^/@]+/[^/@]+)(?:/([^@]*))?(?:@(.+))?")


class Address(NamedTuple):
    """An address on the hub.

    Attributes:
        repository: owner and name.
        path: a folder or a published file in the repository; "" for its root.
        revision: branch, tag or commit; None for the newest commit.
    """

    repository: str
    path: str
    revision: str | None


class Fetched(NamedTuple):
    """A download: the local path of the folder or published file, and the commit it comes from."""

    path: Path
    commit: str


class Repository(NamedTuple):
    """An existing repository: whether it is private, and the names of its files."""

    private: bool
    files: frozenset[str]


def is_address(word: Path | str) -> bool:
    """Whether ``word`` is an address on the hub."""
    return str(word).startswith("hf:")


def parse_address(word: Path | str) -> Address:
    """Parse ``hf://owner/name[/folder or file.pt][@revision]``.

    Raises:
        UserError: if the address has another form.
    """
    match = _ADDRESS.fullmatch(str(word))
    if match is None:
        raise UserError(
            f"{word} is no address on the hub; give hf://owner/name[/folder or file.pt][@revision]"
        )
    return Address(match[1], (match[2] or "").strip("/"), match[3])


def fetch(word: Path | str) -> Fetched:
    """Download an agent (a folder or a published file) to huggingface_hub's cache, unless it is there already.

    Without a connection, a cached copy is used.

    Raises:
        UserError: if there is no such repository, revision or agent, if the hub cannot be reached and the cache has no
            copy, or if huggingface_hub is not installed.
    """
    repository, path, revision = parse_address(word)
    path = _published_path(repository, path)
    is_file = path.endswith(".pt")
    names = [path] if is_file else [str(PurePosixPath(path, name)) for name in AGENT_FILES]
    with _hub(word, reading=True) as api:
        from huggingface_hub import constants
        from huggingface_hub.errors import LocalEntryNotFoundError

        offline = constants.HF_HUB_OFFLINE
        # All files come from one commit. Without a connection, it is the last one that was downloaded.
        commit = api.resolve_revision(repository, revision=revision, local_files_only=offline).resolved
        try:
            files = [
                api.hf_hub_download(repository, n, revision=commit, local_files_only=True) for n in names
            ]
        except LocalEntryNotFoundError:
            # Without a connection this fails at once, whereas a download would retry for half a minute.
            there = _names(api.model_info(repository, revision=commit))
            if not there.issuperset(names):
                raise UserError(
                    f"no agent in {word}: {' and '.join(names)} should be there; {repository} has {_listed(there)}"
                ) from None
            files = [api.hf_hub_download(repository, name, revision=commit) for name in names]
    first = Path(files[0])
    return Fetched(first if is_file else first.parent, commit)


def look_up(word: str) -> Repository | None:
    """Look up a repository to upload to; None if it does not exist, or the user's token cannot see it.

    Raises:
        UserError: if no token is saved, the hub refuses the token, or the hub cannot be reached.
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
    """Upload files to a repository in one commit.

    Args:
        word: the repository, ``hf://owner/name``.
        files: local paths or contents, by their names in the repository. ``README.md``, the model card, must be bytes.
        message: the commit message.
        create: whether to create the repository first.
        private: whether a new repository is private.

    Returns:
        The URL of the commit.

    Raises:
        UserError: if the hub refuses the model card (before anything is created), the token cannot write to the
            repository, or the hub cannot be reached.
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
    """Make the hub's client, and turn errors in the block into one-line messages with a remedy."""
    try:
        from httpx2 import HTTPError  # the client's HTTP library
        from huggingface_hub import HfApi, constants, errors
    except ImportError as error:
        raise not_installed("huggingface_hub", "hub") from error
    try:
        yield HfApi()
    except errors.GatedRepoError as error:
        raise UserError(
            f"{word}: its owner must grant access; ask on its page, then log in: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{word}: there is no such repository, or it is private and your token cannot read it; "
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
    except (ValueError, RuntimeError) as error:  # an invalid name or model card, or a broken transfer
        raise UserError(f"{word}: {_line(error)}; correct that, or try again") from error
    except OSError as error:
        reason = error.strerror or _line(error)
        raise UserError(
            f"{word}: {reason}; check the cache {constants.HF_HUB_CACHE} and its free space"
        ) from error


def _published_path(repository: str, path: str) -> str:
    """Replace the bare name of a game by the path of its file in the repository; return other paths unchanged."""
    files = {name: file for kind in WorldModelConfig.kinds.values() for name, file in kind.hub_games.items()}
    if repository not in files or not path or "/" in path or path.endswith(".pt"):
        return path
    games = {name.lower(): name for name in references()}
    if path.lower() not in games:
        raise UserError(f"hf://{repository} has no game {path!r}; {nearest(path, references())}")
    return files[repository].format(games[path.lower()])


def _names(info: ModelInfo) -> frozenset[str]:
    return frozenset(file.rfilename for file in info.siblings or ())


def _listed(names: frozenset[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(sorted(names)[:NAMES_SHOWN]) or "no files") + more


def _line(message: object) -> str:
    return " ".join(str(message).split())
