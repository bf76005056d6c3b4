# SPDX-License-Identifier: MIT
"""Which kernel and base initramfs a guest boots."""

import os
import pathlib
import subprocess

from .errors import UsageError

BUILDER = pathlib.Path(__file__).resolve().parents[2] / "build.sh"


def cache_directory():
    given = os.environ.get("PCIENIC_CACHE")
    if given:
        return pathlib.Path(given)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "pcienic"


def find_image(kernel):
    """The image's directory: $PCIENIC_GUEST unless a kernel is asked for by name, else what build.sh answers."""
    given = os.environ.get("PCIENIC_GUEST")
    if given and not kernel:
        image = pathlib.Path(given)
    else:
        command = [str(BUILDER), str(cache_directory())] + (["--kernel", kernel] if kernel else [])
        built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if built.returncode:
            raise UsageError("the guest image could not be built (the reason is above)")
        image = pathlib.Path(built.stdout.splitlines()[-1])
    for name in ("vmlinuz", "base.cpio.gz"):
        if not (image / name).is_file():
            raise UsageError(f"{image} is no guest image: it has no {name}; unset PCIENIC_GUEST to have one built")
    return image
