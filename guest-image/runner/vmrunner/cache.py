# SPDX-License-Identifier: MIT
"""The cache that set-up keeps (setup/cache.sh): made ready, and held while what is in it is used."""

import fcntl
import pathlib
import subprocess

from .errors import UsageError

OPENER = pathlib.Path(__file__).resolve().parents[3] / "setup/cache.sh"
_held = []  # open files; their locks last as long as this process


def open_cache():
    """The cache's directory, which is made if it is not there."""
    opened = subprocess.run([str(OPENER)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                            errors="surrogateescape")
    if opened.returncode:
        raise UsageError(opened.stderr.strip())
    directory = pathlib.Path(opened.stdout.removesuffix("\n"))
    _hold(directory / "CACHEDIR.TAG")
    return directory


def hold_image(directory):
    """Keeps `clean` from an image, if it lies in a cache."""
    _hold(pathlib.Path(directory).absolute().parent / "CACHEDIR.TAG")


def hold_qemu(binary):
    """Keeps what removes old QEMUs from this one, if it lies in a cache."""
    folder = pathlib.Path(binary).resolve().parent
    _hold(folder / "about")
    _hold(folder.parent / "CACHEDIR.TAG")


def _hold(path):
    try:
        file = open(path, "rb")
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # not of a cache, or somebody is just removing it: then its absence is what will be told
        return
    _held.append(file)
