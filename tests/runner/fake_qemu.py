#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Stands in for QEMU: answers what the runner asks a QEMU, and otherwise plays $FAKE_QEMU_SCENARIO, a JSON list of steps.

["write", CHANNEL, TEXT]   append to a channel's file (console, results, stdout, stderr)
["log", TEXT]              append to the file of -D
["complain", TEXT]         print on standard error
["sleep", SECONDS]
["orders", NUMBER]         wait until the monitor's socket has had so many commands; they go to $FAKE_QEMU_ORDERS
["hang"]                   stay until killed, answering query-status on the monitor's socket
["signal", NUMBER]         die of a signal
["exit", STATUS]           end; what follows the last step is an exit with 0
"""

import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time

TYPES = {"pci-express-device": ["fake-express", "fake-hybrid", "pcienic"],
         "conventional-pci-device": ["fake-conventional", "fake-hybrid"]}
# What -d takes; $FAKE_QEMU_LOGS has more.
LOGS = ["unimp", "guest_errors"]


orders = threading.Semaphore(0)


def serve_monitor(reader, writer):
    def send(value):
        writer.write(json.dumps(value) + "\n")
        writer.flush()

    send({"QMP": {"version": {}, "capabilities": []}})
    for line in reader:
        request = json.loads(line)
        answer = {}
        if request["execute"] == "qom-list-types":
            answer = [{"name": name} for name in TYPES[request["arguments"]["implements"]]]
        elif request["execute"] == "query-status":
            answer = {"status": "running"}
        send({"event": "NOISE"})  # events may come at any time
        if request["execute"] == "refuse" or request.get("arguments", {}).get("driver") == "refuse":
            send({"error": {"class": "GenericError", "desc": "not today"}})
            orders.release()
            continue
        send({"return": answer})
        if log := os.environ.get("FAKE_QEMU_ORDERS"):
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(request) + "\n")
        if request["execute"] == "device_del":  # another device's end is not this one's
            send({"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/other"}})
            send({"event": "DEVICE_DELETED", "data": {"device": request["arguments"]["id"]}})
        if request["execute"] != "qmp_capabilities":
            orders.release()
        if request["execute"] == "quit":
            return


def listen(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def accept():
        while True:
            with server.accept()[0] as connection, connection.makefile("rw", encoding="utf-8") as file:
                serve_monitor(file, file)

    threading.Thread(target=accept, daemon=True).start()


def main():
    words = sys.argv[1:]
    if "-qmp" in words and words[words.index("-qmp") + 1] == "stdio":
        serve_monitor(sys.stdin, sys.stdout)
        return 0
    logs = LOGS + os.environ.get("FAKE_QEMU_LOGS", "").split()
    asked = words[words.index("-d") + 1].split(",") if "-d" in words else []
    if not set(asked) <= set(logs):
        print("\n".join(["Log items (comma separated):", *(f"{name:15} log something" for name in logs)]))
        return 0 if asked == ["help"] else 1
    channels = {}
    for flag, value in zip(words, words[1:]):
        if flag == "-chardev":
            items = value.replace(",,", "\0").split(",")
            properties = dict(item.replace("\0", ",").split("=", 1) for item in items if "=" in item)
            channels[properties["id"]] = properties.get("path")
        elif flag == "-serial":  # the acceleration's trial
            channels["console"] = value.removeprefix("file:")
        elif flag == "-qmp":
            listen(value.removeprefix("unix:").replace(",,", "\0").split(",")[0].replace("\0", ","))
        elif flag == "-D":
            if "%" in value:  # QEMU takes it for a template
                print(f"Bad logfile template: {value}", file=sys.stderr)
                return 1
            channels["log"] = value
    if record := os.environ.get("FAKE_QEMU_PID"):
        pathlib.Path(record).write_text(str(os.getpid()), encoding="ascii")
    for path in channels.values():
        pathlib.Path(path).touch()
    for step, *arguments in json.loads(os.environ.get("FAKE_QEMU_SCENARIO", "[]")):
        if step == "write":
            with open(channels[arguments[0]], "ab") as file:
                file.write(arguments[1].encode("latin-1"))
        elif step == "log":
            with open(channels["log"], "a", encoding="utf-8") as file:
                file.write(arguments[0])
        elif step == "complain":
            print(arguments[0], file=sys.stderr, flush=True)
        elif step == "sleep":
            time.sleep(arguments[0])
        elif step == "orders":
            for _ in range(arguments[0]):
                orders.acquire()
        elif step == "hang":
            time.sleep(3600)
        elif step == "signal":
            signal.signal(arguments[0], signal.SIG_DFL) if arguments[0] != signal.SIGKILL else None
            os.kill(os.getpid(), arguments[0])
        elif step == "exit":
            return arguments[0]
    return 0


if __name__ == "__main__":
    sys.exit(main())
