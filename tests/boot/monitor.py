# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's monitor, and with it what a guest shows on its screen."""
import json
import os
import re
import socket
import tempfile
import time

MONITOR_SECONDS = 240       # generous; not a measure of speed


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Monitor:
    """QEMU's human monitor, over its QMP socket."""

    def __init__(self, path):
        deadline = time.monotonic() + 60
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                check(time.monotonic() < deadline, "QEMU made no QMP socket")
                time.sleep(0.1)
        self.socket.settimeout(MONITOR_SECONDS)
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            check("error" not in answer, f"{name}: {answer}")
            if "return" in answer:
                return answer["return"]

    def human(self, line):
        output = self.command("human-monitor-command", **{"command-line": line})
        check("rror" not in output, f"{line}: {output}")
        return output

    def wait_for_migration(self):
        deadline = time.monotonic() + MONITOR_SECONDS
        while self.command("query-migrate").get("status") != "completed":
            check(time.monotonic() < deadline, f"migration: {self.command('query-migrate')}")
            time.sleep(0.1)

    # --- the screen, in VGA's text mode ---------------------------------------------------------

    def screen(self):
        """The 25 lines that the guest shows."""
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "screen")
            self.command("pmemsave", val=0xb8000, size=80 * 25 * 2, filename=path)
            with open(path, "rb") as f:
                cells = f.read()[::2].replace(b"\0", b" ").decode("cp437")
        return "\n".join(cells[at:at + 80].rstrip() for at in range(0, len(cells), 80))

    def expect_screen(self, pattern, seconds=MONITOR_SECONDS):
        """Wait until the screen matches; the match."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.screen()
            found = re.search(pattern, text)
            if found:
                return found
            check(time.monotonic() < deadline, f"no {pattern!r} on the screen within {seconds} s: {text}")
            time.sleep(0.1)

    def type(self, *keys):
        """Press keys, by QEMU's names for them; two at once with a hyphen between them."""
        for key in keys:
            self.command("send-key", keys=[{"type": "qcode", "data": one} for one in key.split("-")])
            time.sleep(0.1)
