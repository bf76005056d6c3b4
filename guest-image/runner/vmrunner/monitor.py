# SPDX-License-Identifier: MIT
"""QEMU's monitor on behalf of the guest: a test that needs its device unplugged asks for it on the results channel,
    {"type":"qmp","execute":"device_del","arguments":{"id":"dev0"}}
and sees what comes of it by itself. Requests are carried out one after the other, in their order."""

import collections
import json
import socket


# What a guest may ask for. QEMU's other commands reach the host: `migrate` alone can run a program there.
COMMANDS = {"device_add", "device_del", "system_reset", "query-status"}
# And so do some devices, and properties that name a file or a device of the host's.
DRIVERS_OF_THE_HOST = ("vfio-", "vhost-", "loader", "guest-loader")
PROPERTIES_OF_THE_HOST = {"romfile", "file", "host", "sysfsdev"}


def refusal(command, arguments):
    """Why the guest may not have that, or None."""
    if command not in COMMANDS:
        return f"a guest may ask for {', '.join(sorted(COMMANDS))} only"
    driver = str(arguments.get("driver", ""))
    if driver.startswith(DRIVERS_OF_THE_HOST):
        return f"a guest may not have the host's {driver}"
    if named := PROPERTIES_OF_THE_HOST & {str(name).replace("_", "-") for name in arguments}:
        return f"a guest may not name the host's {', '.join(sorted(named))}"
    return None


class Monitor:
    """Never blocks: poll() does what can be done now. What QEMU refuses is kept in `errors`."""

    def __init__(self, path):
        self._path = path
        self._socket = None
        self._received = b""
        self._waiting = collections.deque()
        self._current = None  # the request that QEMU is carrying out
        self._deleted = None  # the device whose end completes it
        self.errors = []

    def request(self, record):
        command, arguments = record.get("execute"), record.get("arguments", {})
        if not isinstance(command, str) or not isinstance(arguments, dict):
            self.errors.append(f"no QMP request: {json.dumps(record)}")
            return
        if reason := refusal(command, arguments):
            self.errors.append(f"{json.dumps({'execute': command, 'arguments': arguments})}: {reason}")
            return
        self._waiting.append({"execute": command, "arguments": arguments})

    @property
    def busy(self):
        return self._current is not None or bool(self._waiting)

    def poll(self):
        if not self.busy:
            return
        try:
            if self._socket is None:
                self._connect()
            self._read()
            while self._current is None and self._waiting:
                self._send(self._waiting.popleft())
                self._read()
        except OSError as error:
            unfinished = ([self._current] if self._current else []) + list(self._waiting)
            self.errors += [f"{request['execute']}: QEMU's monitor is gone: {error}" for request in unfinished]
            self._current, self._deleted = None, None
            self._waiting.clear()

    def close(self):
        if self._socket is not None:
            self._socket.close()

    def _connect(self):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        self._socket.connect(self._path)
        self._socket.settimeout(0)
        self._send({"execute": "qmp_capabilities"})

    def _send(self, request):
        self._current = request
        # A device is gone when the guest has let go of it, which QEMU tells by an event; until then its id is taken.
        self._deleted = request["arguments"].get("id") if request["execute"] == "device_del" else None
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def _read(self):
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            if not data:
                raise ConnectionError("it closed the connection")
            *lines, self._received = (self._received + data).split(b"\n")
            for line in lines:
                if line.strip():
                    self._take(json.loads(line))

    def _take(self, message):
        if "error" in message and self._current:
            self.errors.append(f"{json.dumps(self._current)}: {message['error'].get('desc')}")
            self._current = None
        elif "return" in message and self._deleted is None:
            self._current = None
        elif message.get("event") == "DEVICE_DELETED" and self._deleted is not None and \
                message.get("data", {}).get("device") == self._deleted:
            self._current, self._deleted = None, None
