# SPDX-License-Identifier: MIT
"""A run's own files, as a second cpio archive after the base: an edited program costs no rebuild of the image."""

import os
import pathlib
import re
import shlex
import shutil
import stat
import subprocess

from .errors import UsageError

# The base has a merged /usr: a directory entry for one of these would replace its symbolic link.
MERGED = re.compile(r"^(bin|lib|lib64)/")


class Overlay:
    """Collects files by their path in the guest and writes them as a cpio archive in the kernel's newc format."""

    def __init__(self):
        self._files = {}  # guest path without leading slash: (mode, bytes or source path)

    @staticmethod
    def _normal(path):
        path = os.path.normpath(path).lstrip("/")
        path = re.sub(r"^(usr/)?sbin/", "usr/bin/", path)
        return MERGED.sub(r"usr/\1/", path)

    def add_bytes(self, path, data, mode=0o644):
        self._files[self._normal(path)] = (mode, data)

    def add_file(self, path, source):
        source = pathlib.Path(source)
        self._files[self._normal(path)] = (stat.S_IMODE(source.stat().st_mode), source)

    def put(self, request):
        """--put FILE[:DEST]. Without DEST, or with one that ends in a slash, the file keeps its name."""
        name, _, destination = request.partition(":")
        source = pathlib.Path(name)
        destination = destination or "/root/"
        if destination.endswith("/"):
            destination += source.resolve().name
        if source.is_dir():
            for directory, _, names in os.walk(source):
                for each in names:
                    inner = pathlib.Path(directory) / each
                    self.add_file(f"{destination}/{inner.relative_to(source)}", inner)
        elif source.is_file():
            self.add_file(destination, source)
        else:
            raise UsageError(f"--put {request}: there is no file {source}")

    def add_shared_libraries(self):
        """What the collected ELF files are linked with, loader included, at the paths where they look for it."""
        programs = [source for _, source in self._files.values() if isinstance(source, pathlib.Path) and is_elf(source)]
        if not programs:
            return
        # "FILE:" heads each file's part only where there are several.
        listing = subprocess.run(["ldd", *(str(p.resolve()) for p in programs), "/bin/sh"], capture_output=True,
                                 text=True, check=False, errors="surrogateescape", env={**os.environ, "LC_ALL": "C"}).stdout
        program = None
        for line in listing.splitlines():
            if not line[:1].isspace():
                program = line.rstrip(":")
                continue
            words = line.split()
            if words[1:4] == ["=>", "not", "found"]:
                raise UsageError(f"{program} needs {words[0]}, which this machine does not have")
            path = words[2] if words[1:2] == ["=>"] else words[0]
            if path.startswith("/"):
                self.add_file(path, path)

    def write(self, stream):
        directories = set()
        for path in self._files:
            directories.update(str(parent) for parent in pathlib.PurePosixPath(path).parents)
        inode = 1
        for directory in sorted(directories - {"."}):
            inode = self._write_entry(stream, inode, directory, stat.S_IFDIR | 0o755, b"")
        for path, (mode, content) in sorted(self._files.items()):
            inode = self._write_entry(stream, inode, path, stat.S_IFREG | mode, content)
        self._write_entry(stream, 0, "TRAILER!!!", 0, b"")

    @staticmethod
    def _write_entry(stream, inode, path, mode, content):
        name = os.fsencode(path) + b"\0"
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        fields = (inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        stream.write(header + bytes(-len(header) % 4))
        if isinstance(content, bytes):
            stream.write(content)
        else:
            with open(content, "rb") as source:
                shutil.copyfileobj(source, stream, 1 << 20)
        stream.write(bytes(-size % 4))
        return inode + 1


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def run_script(settings, environment, command):
    """/etc/pcienic/run, which init sources. Each word is quoted whole, so it reaches the command as it was given."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines.append("set -- " + " ".join(shlex.quote(word) for word in command))
    return os.fsencode("\n".join(lines) + "\n")


def write_initrd(path, base, overlay):
    """The kernel unpacks archives that follow one another, each at a multiple of four bytes."""
    try:
        with open(path, "wb") as initrd:
            with open(base, "rb") as source:
                shutil.copyfileobj(source, initrd, 1 << 20)
            initrd.write(bytes(-initrd.tell() % 512))
            overlay.write(initrd)
    except OSError as error:  # a failed write does not say to which file
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error
