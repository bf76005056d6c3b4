# SPDX-License-Identifier: MIT
"""Which kernel and base initramfs a guest boots."""

import os
import pathlib
import subprocess

from .cache import hold_image, open_cache
from .errors import UsageError

BUILDER = pathlib.Path(__file__).resolve().parents[2] / "build.sh"


def find_image(kernel):
    """The image's directory: $PCIENIC_GUEST unless a kernel is asked for by name, else what build.sh answers."""
    given = os.environ.get("PCIENIC_GUEST")
    if given and not kernel:
        image = pathlib.Path(given)
    else:
        command = [str(BUILDER), str(open_cache())] + (["--kernel", kernel] if kernel else [])
        built = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, errors="surrogateescape")
        if built.returncode:
            raise UsageError("the guest image could not be built (the reason is above)")
        image = pathlib.Path(built.stdout.splitlines()[-1])
    hold_image(image)
    for name in ("vmlinuz", "base.cpio.gz"):
        if not (image / name).is_file():
            raise UsageError(f"{image} is no guest image: it has no {name}; unset PCIENIC_GUEST to have one built")
    return image
