"""Packs from a hub: looked at first, agreed to, then fetched and put into the store."""

from __future__ import annotations

import dataclasses
import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.engine.packs.folder_packs import describe_folder, family_for, licence_of
from vlmtool_core.engine.packs.hub import Hub
from vlmtool_core.engine.packs.hub_files import PART, HubFiles
from vlmtool_core.engine.packs.hub_info import COMMIT, HubFile, RepoInfo
from vlmtool_core.engine.packs.hub_reference import Reference
from vlmtool_core.engine.packs.licences import Consent, Terms, consent
from vlmtool_core.engine.packs.model_folder import read_model_folder
from vlmtool_core.engine.packs.pack import Pack, check_id, read_pack, verify_pack, write_pack
from vlmtool_core.engine.packs.pack_files import (
    INDEX,
    WEIGHTS,
    read_index,
    small_files,
    weight_files,
)
from vlmtool_core.engine.packs.store_folders import PARTIAL, check_space, children, publish
from vlmtool_core.engine.packs.wheels import storage_error
from vlmtool_core.errors import (
    PackIntegrityError,
    StorageError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken

log = logging.getLogger(__name__)

_VERSION_LENGTH = 12
# A tokenizer of a quarter of a million words is 35 MB.
_MOST_SMALL_BYTES = 512 << 20
_SPARE = 1.02


@dataclass(frozen=True, slots=True)
class HubWish:
    """A repository that the user wants as a pack.

    pack_id : its name in the store; made from the repository's when None
    accepted : whether the user accepts its terms
    """

    reference: Reference
    pack_id: str | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class PullWatch:
    """Who is told how a pull goes on.

    expect : told how many bytes more are to come
    report : told how many bytes have arrived since the beginning, and what is being done
    """

    expect: Callable[[int], None]
    report: Callable[[int, str], None]


def pull_from_hub(
    root: Path,
    wish: HubWish,
    taken: Collection[str],
    watch: PullWatch,
    cancel: CancelToken,
    *,
    hub: Hub | None = None,
) -> Pack:
    """Install a repository as a pack, pinned to the commit that its revision means now.

    The order spares the user useless downloads: what the hub says, the small files, whether the
    model can be used, the terms, the disk, then the weights.

    Parameters
    ----------
    taken : names that the catalogue gives to other packs

    Raises
    ------
    UsageError : no family serves it, pickles only, remote code, or the name is taken.
    LicenceError : its terms were not accepted. PackAccessError : gated, or a wrong token.
    PackDownloadError, PackIntegrityError, StorageError, CancelledError
    """
    pack_id = check_id(wish.pack_id or id_from(wish.reference.repo))
    known = _installed_at(root, wish.reference, pack_id)
    if known is not None:
        return known
    with hub or Hub() as source:
        watch.report(0, f"{pack_id}: asking {source.endpoint}")
        info = source.info(wish.reference, cancel)
        _check_name(root, pack_id, info.repo, taken)
        final = root / pack_id / info.commit[:_VERSION_LENGTH]
        if (found := _whole(final)) is not None:
            return found
        with _partial(root, info) as folder:
            pack = _fetch(source, info, folder, pack_id, wish, watch, cancel)
            write_pack(dataclasses.replace(pack, path=final, location=final), folder)
            publish(folder, final)
    return read_pack(final)


def id_from(name: str) -> str:
    """A pack's name made from a repository's or a folder's: the last part, in small letters.

    Raises
    ------
    UsageError : nothing is left of it.
    """
    last = name.rsplit("/", 1)[-1].lower()
    found = re.sub(r"[^a-z0-9._]+", "-", last).strip("-._")[:64].rstrip("-._")
    if not found:
        raise UsageError(f"{name!r} gives no pack id", remedy="Give one with --id.", field="id")
    return found


def _source(repo: str) -> str:
    return f"hub {repo}"


def _check_name(root: Path, pack_id: str, repo: str, taken: Collection[str]) -> None:
    other = "a pack of the catalogue" if pack_id in taken else ""
    for folder in children(root / pack_id):
        try:
            source = read_pack(folder).source
        except PackIntegrityError:
            continue  # it is in the way of nothing
        if source.partition("@")[0] != _source(repo):
            other = f"the pack from {source}"
    if other:
        raise UsageError(
            f"the name {pack_id!r} belongs to {other}",
            field="id",
            remedy=f"Choose another name: vlmtool-cli models pull {repo} --id NAME",
        )


def _installed_at(root: Path, reference: Reference, pack_id: str) -> Pack | None:
    """The pack of exactly this commit if it is installed and whole; asks nobody."""
    if not COMMIT.fullmatch(reference.revision):
        return None
    pack = _whole(root / pack_id / reference.revision[:_VERSION_LENGTH])
    is_it = pack is not None and pack.source == f"{_source(reference.repo)}@{reference.revision}"
    return pack if is_it else None


def _whole(final: Path) -> Pack | None:
    if not final.is_dir():
        return None
    try:
        pack = read_pack(final)
        verify_pack(pack)
    except PackIntegrityError as error:
        log.warning("pulling %s again: %s", final, error)
        return None
    return pack


@contextmanager
def _partial(root: Path, info: RepoInfo) -> Iterator[Path]:
    """Where a repository's files gather; kept when the pull ends early, so that the next goes on.

    Raises
    ------
    StorageError : another process pulls the same repository, or the store cannot be written to.
    """
    from filelock import FileLock, Timeout

    home = root / f"{PARTIAL}{info.repo.replace('/', '--')}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StorageError(
            f"{info.repo} is being pulled by another process",
            path=home,
            remedy="Wait for it to end.",
        ) from error
    except OSError as error:
        raise storage_error(error, root) from error
    try:
        for old in children(home):
            if old.name != info.commit:
                shutil.rmtree(old, ignore_errors=True)
        folder = home / info.commit
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(home, ignore_errors=True)
    except OSError as error:
        raise storage_error(error, root) from error
    finally:
        lock.release()


def _fetch(
    source: Hub,
    info: RepoInfo,
    folder: Path,
    pack_id: str,
    wish: HubWish,
    watch: PullWatch,
    cancel: CancelToken,
) -> Pack:
    by_name = {file.name: file for file in info.files}
    _require_layout(info, by_name)
    # The licence is seen while there is still time to stop.
    doing = f"{pack_id} ({info.licence or 'no licence stated'}): downloading"
    files = HubFiles(source, info, folder, lambda count: watch.report(count, doing))
    small = _sized([by_name[name] for name in small_files(by_name)], info)
    _expect(folder, small, pack_id, watch)
    files.bring(small, cancel)
    family_for(folder, read_model_folder(folder), by_name)
    index = read_index(folder, by_name)
    weights = [by_name[name] for name in weight_files(by_name, index)]
    agreed = _agree(info, folder, wish)
    _expect(folder, weights, pack_id, watch)
    files.bring(weights, cancel)
    _forget_others(folder, {file.name for file in (*small, *weights)})
    watch.report(files.arrived, f"{pack_id}: checking")
    pack = describe_folder(folder, pack_id, known=files.hashes)
    return dataclasses.replace(
        pack,
        version=info.commit[:_VERSION_LENGTH],
        title=info.repo,
        licence=info.licence or pack.licence,
        source=f"{_source(info.repo)}@{info.commit}",
        revision=info.commit,
        licence_accepted_at=agreed.at,
        licence_accepted_by=agreed.by,
    )


def _require_layout(info: RepoInfo, names: Collection[str]) -> None:
    if "config.json" not in names:
        raise UsageError(
            f"{info.repo} is no model in the layout of transformers: it has no config.json",
            remedy="Choose another repository: vlmtool-cli models recommend",
        )
    if INDEX not in names or WEIGHTS in names:
        weight_files(names, None)


def _sized(files: list[HubFile], info: RepoInfo) -> list[HubFile]:
    if sum(file.size for file in files) > _MOST_SMALL_BYTES:
        raise PackIntegrityError(
            f"the settings of {info.repo} are larger than {_MOST_SMALL_BYTES >> 20} MB, which no "
            "model needs",
            remedy="Do not use this repository.",
        )
    return files


def _agree(info: RepoInfo, folder: Path, wish: HubWish) -> Consent:
    stated = info.licence or licence_of(folder).removeprefix("unknown")
    terms = Terms(stated, info.terms_url, info.gated)
    return consent(str(wish.reference), terms, accepted=wish.accepted)


def _expect(folder: Path, files: list[HubFile], pack_id: str, watch: PullWatch) -> None:
    """Tell how much is to come, and refuse what the disk cannot hold."""
    missing = sum(max(0, file.size - _there(folder / file.name)) for file in files)
    check_space(folder, int(missing * _SPARE), pack_id)
    watch.expect(missing)


def _there(path: Path) -> int:
    """Bytes of a file that an earlier try brought."""
    for found in (path, path.with_name(path.name + PART)):
        if found.is_file():
            return found.stat().st_size
    return 0


def _forget_others(folder: Path, wanted: set[str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
