"""A stand-in for the Hugging Face hub on this machine: what huggingface_hub asks for small files, and no more."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

TOKEN, READ_TOKEN = "hf_writes", "hf_reads"

Files = dict[str, bytes]


@dataclass
class Repo:
    """A repository: the files of every commit, the newest last."""

    private: bool = False
    gated: bool = False
    """Everybody sees it; its files are for those whom its owner lets in."""
    commits: dict[str, Files] = field(default_factory=dict)

    def commit(self, files: Files) -> str:
        """Add files; returns the commit."""
        head = next(reversed(self.commits.values()), {})
        sha = hashlib.sha1(str(len(self.commits)).encode()).hexdigest()
        self.commits[sha] = head | files
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision means."""
        return (
            next(reversed(self.commits))
            if revision == "main"
            else (revision if revision in self.commits else None)
        )

    @property
    def head(self) -> Files:
        """The newest files."""
        return next(reversed(self.commits.values()))


@dataclass
class StandIn:
    """The hub: repositories by "owner/name", and every request as "METHOD path"."""

    endpoint: str
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    """Of the commits."""
    broken: bool = False
    """Answer every request with an error of the server's."""
    cut: int | None = None
    """Break off every file after so many bytes."""

    def add(self, name: str, files: Files, private: bool = False) -> Repo:
        """A repository with one commit."""
        self.repos[name] = Repo(private)
        self.repos[name].commit(files)
        return self.repos[name]

    def posts(self) -> list[str]:
        """Requests that write, or could."""
        return [request for request in self.requests if request.startswith("POST")]


@contextlib.contextmanager
def stand_in() -> Iterator[tuple[StandIn, ThreadingHTTPServer]]:
    """A running one, and the server, for those who want to stop it early."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = StandIn(f"http://127.0.0.1:{server.server_port}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub, server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def connect(monkeypatch: pytest.MonkeyPatch, endpoint: str, home: Path, token: str | None) -> None:
    """Make huggingface_hub, which reads its environment when it is imported, talk to ``endpoint``."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(home / "harnesses.json"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    @property
    def hub(self) -> StandIn:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, content: bytes | Any = b"", **headers: str) -> None:
        if not isinstance(content, bytes):
            content, headers = json.dumps(content).encode(), headers | {"Content_Type": "application/json"}
        self.send_response(status)
        for name, value in (headers | {"Content_Length": str(len(content))}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: self.hub.cut] if "ETag" in headers else content)

    def token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def parts(self) -> list[str]:
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {path}")
        return [unquote(part) for part in path.strip("/").split("/")]

    def do_GET(self) -> None:
        match self.parts():
            case _ if self.hub.broken:
                self.answer(503)
            case ["api", "models", owner, name, *rest]:
                revision = rest[1] if rest else "main"
                if found := self.find(owner, name, revision):
                    repo, sha = found
                    files = [{"rfilename": path} for path in repo.commits[sha]]
                    info = {"id": f"{owner}/{name}", "sha": sha, "private": repo.private, "siblings": files}
                    self.answer(200, info)
            case [owner, name, "resolve", revision, *path]:
                if found := self.find(owner, name, revision):
                    repo, sha = found
                    content = repo.commits[sha].get("/".join(path))
                    if repo.gated:
                        self.answer(403, X_Error_Code="GatedRepo")
                    elif content is None:
                        self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
                    else:
                        etag = f'"{hashlib.sha1(content).hexdigest()}"'
                        self.answer(200, content, ETag=etag, X_Repo_Commit=sha)
            case _:
                self.answer(404)

    do_HEAD = do_GET

    def find(self, owner: str, name: str, revision: str) -> tuple[Repo, str] | None:
        """A repository and its commit; None, and an answer as the hub's, if they are not to be seen."""
        repo = self.hub.repos.get(f"{owner}/{name}")
        if repo is None or (repo.private and self.token() is None):
            status = 404 if self.token() else 401
            self.answer(status, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            return None
        sha = repo.resolve(revision)
        if sha is None:
            self.answer(404, X_Error_Code="RevisionNotFound")
            return None
        return repo, sha

    def do_POST(self) -> None:
        parts, body = self.parts(), self.rfile.read(int(self.headers["Content-Length"]))
        match parts:
            case ["api", "validate-yaml"]:
                unknown = "license: nonsense" in json.loads(body)["content"]
                errors = [{"message": '"license" must be one of [mit, ...]'}] if unknown else []
                self.answer(400 if unknown else 200, {"errors": errors, "warnings": []})
            case _ if self.token() != TOKEN:
                self.answer(403, {"error": "this token is for reading"})
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                self.hub.repos[f"{asked['organization']}/{asked['name']}"] = Repo(
                    asked["visibility"] == "private"
                )
                self.answer(200, {"url": f"{self.hub.endpoint}/{asked['organization']}/{asked['name']}"})
            case ["api", "models", owner, name, "preupload", "main"]:
                paths = [file["path"] for file in json.loads(body)["files"]]
                modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
                self.answer(200, {"files": modes})
            case ["api", "models", owner, name, "commit", "main"]:
                items = [json.loads(line) for line in body.splitlines()]
                self.hub.messages += [i["value"]["summary"] for i in items if i["key"] == "header"]
                files = [item["value"] for item in items if item["key"] == "file"]
                contents = {file["path"]: base64.b64decode(file["content"]) for file in files}
                sha = self.hub.repos[f"{owner}/{name}"].commit(contents)
                url = f"{self.hub.endpoint}/{owner}/{name}/commit/{sha}"
                self.answer(200, {"commitUrl": url, "commitOid": sha})
            case _:
                self.answer(404)
