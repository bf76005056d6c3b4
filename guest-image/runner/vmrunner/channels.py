# SPDX-License-Identifier: MIT
"""The guest's output. QEMU writes each channel into a file and we follow the file: nothing can block QEMU, and
nothing that arrived is lost when either side ends."""

import json


class Follower:
    """Reads a file that another process is still writing."""

    def __init__(self, path):
        self.path = path
        self._file = None

    def read(self):
        """What came since the last call; b"" if nothing did."""
        if self._file is None:
            try:
                self._file = open(self.path, "rb", buffering=0)
            except FileNotFoundError:
                return b""
        chunks = []
        while chunk := self._file.read(1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)

    def close(self):
        if self._file is not None:
            self._file.close()


class RecordParser:
    """Turns a byte stream into the records of the results channel: one JSON object a line, told apart by "type"."""

    def __init__(self):
        self._rest = b""
        self.garbage = []  # lines that are no record: something else wrote to the channel, or a program died writing

    def feed(self, data):
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            line = line.strip()
            if not line:
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict) or not isinstance(record.get("type"), str):
                    raise ValueError("not a record")
            except ValueError:
                self.garbage.append(line.decode(errors="replace"))
                continue
            yield record

    def truncated(self):
        return self._rest.decode(errors="replace")
