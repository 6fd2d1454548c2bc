"""What a release is built from: a folder, an archive whose SHA-256 is known, or one commit of a git repository.

Used on the controller only. Each source says what sets it apart (`identity`, part of a build's inputs),
where it came from (`origin`, for people), and lays its files into the folder of a build (`copy_to`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ansible.module_utils.urls import open_url
from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import (
    ArchiveError,
    check_members,
    executable,
    file_sha256,
    inner_target,
    inputs_digest,
    matches,
    matching,
    tree_files,
    unpack_member,
)

# What is before the host of an address: `https://user:token@host/` shows as `https://***@host/`.
CREDENTIALS = re.compile(r"//[^/@\s]+@")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
GIT_TIMEOUT = 900
DOWNLOAD_TIMEOUT = 60
# The variables that tie git to one repository (`git rev-parse --local-env-vars`): set when a hook started the play.
GIT_LOCAL = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
    "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
}  # fmt: skip
# Settings of the user's that would change the files of `git archive`, and with them the release.
GIT_PLAIN = ("-c", "core.autocrlf=false", "-c", "core.eol=lf", "-c", "core.attributesFile=/dev/null")


def without_credentials(text: str) -> str:
    """Give the text with user and password taken out of every address in it."""
    return CREDENTIALS.sub("//***@", text)


class Source(Protocol):
    """What `release_archive` asks of a source."""

    @property
    def origin(self) -> dict[str, str]:
        """Where the files came from, for people; empty for a folder of this machine."""

    def inputs(self, recipe: dict[str, Any]) -> str:
        """Give the SHA-256 over the source and the recipe of the build."""

    def copy_to(self, work: Path) -> dict[str, list[str]]:
        """Lay the files that count into the new folder `work`, with modes that no umask changes.

        Give what was left out, pattern to paths.
        """


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, as it is now."""

    path: Path
    exclude: list[str]
    include: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise ArchiveError(
                f"there is no folder {self.path}: set app_source to the folder with the application's source"
            )

    @property
    def origin(self) -> dict[str, str]:
        return {}

    def inputs(self, recipe: dict[str, Any]) -> str:
        digest: str = inputs_digest(tree_files(self.path, self.exclude, self.include), recipe)
        return digest

    def copy_to(self, work: Path) -> dict[str, list[str]]:
        work.mkdir(mode=0o755)
        left_out: dict[str, list[str]] = {}
        for relative, file in tree_files(self.path, self.exclude, self.include, left_out):
            target = work / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.is_symlink():
                target.symlink_to(inner_target(relative, str(file.readlink()), (str(self.path),)))
                continue
            shutil.copyfile(file, target)
            target.chmod(0o755 if executable(file) else 0o644)
        return left_out


@dataclass(frozen=True)
class Archive:
    """A tar archive, by path or by address. Its SHA-256 is what is trusted, so the way it came on need not be."""

    location: str
    sha256: str
    exclude: list[str]
    include: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.sha256:
            raise ArchiveError(
                f"app_source_archive names {self.shown} without its sha256: write what `sha256sum` says of the archive "
                "that you looked at"
            )
        if not SHA256.fullmatch(self.sha256):
            raise ArchiveError(
                f"app_source_archive.sha256 is {self.sha256!r}: write 64 hexadecimal digits in lower case"
            )

    @property
    def shown(self) -> str:
        return without_credentials(self.location)

    @property
    def origin(self) -> dict[str, str]:
        return {"archive": self.shown, "sha256": self.sha256}

    def inputs(self, recipe: dict[str, Any]) -> str:
        # The sum stands for the content, so nothing is fetched to see whether a build is due.
        digest: str = inputs_digest([], {**recipe, "archive": self.sha256})
        return digest

    def copy_to(self, work: Path) -> dict[str, list[str]]:
        with tempfile.TemporaryDirectory(prefix="gatehouse-source-") as temporary:
            file = Path(self.location).expanduser()
            if re.match(r"https?://", self.location):
                file = Path(temporary) / "archive"
                self.download(file)
            elif not file.is_file():
                raise ArchiveError(f"there is no archive {file}: correct app_source_archive.location, or put it there")
            found = file_sha256(file)
            if found != self.sha256:
                raise ArchiveError(
                    f"{self.shown} has SHA-256 {found}, but app_source_archive.sha256 is {self.sha256}: nothing was "
                    "built. Write the new sum if that is the archive you mean"
                )
            return unpack_source(file, work, self.exclude, self.shown, include=self.include)

    def download(self, file: Path) -> None:
        try:
            with (
                open_url(self.location, timeout=DOWNLOAD_TIMEOUT, follow_redirects="safe") as answer,
                file.open("wb") as out,
            ):
                shutil.copyfileobj(answer, out)
        except OSError as error:
            raise ArchiveError(
                f"{self.shown} cannot be fetched ({without_credentials(str(error))}): correct "
                "app_source_archive.location, or fetch it yourself and write its path there"
            ) from error


@dataclass(frozen=True)
class Commit:
    """The files of one commit, by `git archive`: what is not committed never gets in."""

    repository: str
    ref: str
    commit: str
    folder: str
    exclude: list[str]
    include: list[str] = field(default_factory=list)

    @classmethod
    def resolve(
        cls, repository: str, ref: str, folder: str, exclude: list[str], include: list[str] | None = None
    ) -> Commit:
        """Ask the repository which commit a tag is; a full id asks nobody.

        A branch is refused: whoever can push to it would decide what the next run deploys, a run for something else
        included, and nothing in the inventory would say so.
        """
        shown = without_credentials(repository)
        if not ref:
            raise ArchiveError(f"app_source_git names {shown} without a ref: write a tag or a commit's id")
        if repository.startswith("-") or ref.startswith("-"):
            raise ArchiveError(f"app_source_git has {shown} {ref}: neither may begin with -")
        # git runs in a folder of its own, so that it takes no repository around this one for the one meant.
        if (local := Path(repository).expanduser()).exists():
            repository = str(local.absolute())
        if COMMIT.fullmatch(ref):
            return cls(repository, ref, ref, folder, exclude, include or [])
        listed = git("ls-remote", "--", repository, ref, ref + "^{}").decode().splitlines()
        found = {name: commit for commit, _, name in (line.partition("\t") for line in listed)}
        # Of an annotated tag the commit that it names.
        tag = f"refs/tags/{ref.removeprefix('refs/tags/')}"
        for name in (f"{tag}^{{}}", tag):
            if name in found:
                return cls(repository, ref, found[name], folder, exclude, include or [])
        if branch := found.get(f"refs/heads/{ref}") or found.get(ref):
            raise ArchiveError(
                f"{ref} of {shown} is a branch, so whoever pushes there would decide what is deployed: write a tag as "
                f"app_source_git.ref, or the commit's full id (now {branch})"
            )
        raise ArchiveError(f"{shown} has no tag {ref!r}: correct app_source_git.ref, or write the commit's full id")

    @property
    def origin(self) -> dict[str, str]:
        return {"repository": without_credentials(self.repository), "ref": self.ref, "commit": self.commit}

    def inputs(self, recipe: dict[str, Any]) -> str:
        digest: str = inputs_digest([], {**recipe, "commit": self.commit, "folder": self.folder})
        return digest

    def copy_to(self, work: Path) -> dict[str, list[str]]:
        with tempfile.TemporaryDirectory(prefix="gatehouse-source-") as temporary:
            clone, file = Path(temporary) / "clone", Path(temporary) / "archive.tar"
            git("init", "--quiet", "--bare", str(clone))
            git("fetch", "--quiet", "--depth=1", "--no-tags", "--", self.repository, self.commit, cwd=clone)
            tree = f"{self.commit}:{self.folder}" if self.folder else self.commit
            git("archive", "--format=tar", f"--output={file}", tree, cwd=clone)
            what = f"commit {self.commit[:12]}"
            return unpack_source(file, work, self.exclude, what, strip=False, include=self.include)


def git(*words: str, cwd: Path | None = None) -> bytes:
    """Run git, which asks nobody for a password, and give its output; a failure is an ArchiveError with git's words."""
    environment = {name: value for name, value in os.environ.items() if name not in GIT_LOCAL}
    environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    environment.update(GIT_TERMINAL_PROMPT="0", GIT_ATTR_NOSYSTEM="1", LC_ALL="C.UTF-8")
    program = shutil.which("git")
    if program is None:
        raise ArchiveError("app_source_git needs git on this controller: install it (apt-get install git)")
    try:
        done = subprocess.run(  # noqa: S603 (an argument list, never a shell)
            [program, *GIT_PLAIN, *words], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=GIT_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ArchiveError(f"`git {words[0]}` took more than {GIT_TIMEOUT} s: see app_source_git") from error
    if done.returncode:
        said = without_credentials(done.stderr.decode(errors="replace")).strip()
        raise ArchiveError(f"`git {words[0]}` failed, see app_source_git:\n{said}")
    return done.stdout


def common_folder(names: Iterable[str]) -> str:
    """Give the one folder that holds all these paths, with its slash, as forges' archives have it; '' if none does."""
    tops = {name.split("/")[0] + "/" if "/" in name else "" for name in names}
    return tops.pop() if len(tops) == 1 else ""


def unpack_source(
    file: Path, work: Path, exclude: list[str], what: str, strip: bool = True, include: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Unpack the files that count into the new folder `work`, without the one folder that holds them all.

    Every member is checked as one of a release is; what `exclude` names may be anything, since it is not unpacked. Give
    what was left out, pattern to paths.
    """
    include, left_out = list(include), dict[str, list[str]]()
    try:
        with tarfile.open(file, mode="r:*") as tar:
            members = [(PurePosixPath(member.name).as_posix(), member) for member in tar if not member.isdir()]
            top = common_folder(name for name, _ in members) if strip else ""
            if top in ("/", "../"):
                raise ArchiveError(f"{what}: archive member {members[0][0]!r} would leave the release's folder")
            kept = []
            for name, member in ((name.removeprefix(top), member) for name, member in members):
                pattern = matching(name, exclude)
                if pattern and not matches(name, include):
                    left_out.setdefault(pattern, []).append(name)
                else:
                    if member.issym():
                        member.linkname = os.path.normpath(member.linkname)
                    kept.append((name, member))
            check_members(kept)
            work.mkdir(mode=0o755)
            for name, member in kept:
                unpack_member(tar, member, work / name)
    except tarfile.TarError as error:
        raise ArchiveError(f"{what} is no tar archive ({error}): pack it as .tar.gz, .tar.xz or .tar.bz2") from error
    except FileExistsError as error:
        raise ArchiveError(f"{what} has {error.filename} twice: pack it again") from error
    return left_out


def chosen_source(
    folder: str,
    archive: Mapping[str, str],
    commit: Mapping[str, str],
    exclude: list[str],
    include: list[str] | None = None,
) -> Source:
    """Give the source that the inputs name: an archive or a commit where one is written, else the folder."""
    if archive.get("location") and commit.get("repository"):
        raise ArchiveError("app_source_archive and app_source_git are both written: keep one of them")
    if archive.get("location"):
        return Archive(archive["location"], archive.get("sha256") or "", exclude, include or [])
    if commit.get("repository"):
        folder = (commit.get("folder") or "").strip("/")
        return Commit.resolve(commit["repository"], commit.get("ref") or "", folder, exclude, include)
    if archive.get("sha256") or commit.get("ref"):
        field = "app_source_archive.location" if archive.get("sha256") else "app_source_git.repository"
        raise ArchiveError(f"{field} is missing: write where the source is, or take the rest away")
    return Folder(Path(folder), exclude, include or [])
