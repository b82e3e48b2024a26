# SPDX-License-Identifier: GPL-2.0-or-later
"""Drive an anykvm machine (or QEMU's, to compare) from outside: its serial port, its exit status."""
import os
import re
import select
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
GUEST = os.path.join(ROOT, "build", "guest")
ANYKVM = os.path.join(BUILD, "anykvm")
KERNEL = os.path.join(GUEST, "vmlinuz")
INITRD = os.path.join(GUEST, "initrd.cpio")
PROMPT = r"guest:\S*# "


class Timeout(Exception):
    pass


class Machine:
    """A child process whose standard input and output are a guest's serial port."""

    alive = []          # to be ended after each case, however it went

    def __init__(self, argv, tty=None, **popen):
        self.text = ""          # all that came out
        self.at = 0             # how far expect() has looked
        if tty:                 # the two ends of a terminal, instead of pipes
            self.child = subprocess.Popen(argv, stdin=tty[1], stdout=tty[1], stderr=subprocess.STDOUT, **popen)
            self.child.stdin, self.child.stdout = open(os.dup(tty[0]), "wb", buffering=0), open(tty[0], "rb", buffering=0)
            os.close(tty[1])
        else:
            self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=subprocess.STDOUT, **popen)
        Machine.alive.append(self)

    def read(self, seconds):
        """What comes out within so many seconds; False at its end."""
        out = self.child.stdout.fileno()
        if not select.select([out], [], [], max(0, seconds))[0]:
            return True
        data = os.read(out, 65536)
        self.text += data.decode("latin-1")
        return bool(data)

    def expect(self, pattern, seconds=60):
        """Wait until the output matches; the match.  Looks on from the end of the last match."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.compile(pattern).search(self.text, self.at)
            if found:
                self.at = found.end()
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout(f"no {pattern!r} within {seconds} s; the end is {self.text[-400:]!r}")
            if not self.read(left):
                raise Timeout(f"ended without {pattern!r}; the end is {self.text[-400:]!r}")

    def send(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def shell(self, command, seconds=60):
        """Run a command in the guest's shell, at a prompt; its output and exit status."""
        self.send(command + "; echo status=$?=\n")
        found = self.expect(r"status=(\d+)=\r?\n", seconds)
        output = self.text[:found.start()]
        output = output[output.rfind("echo status=$?=") + len("echo status=$?="):]
        self.expect(PROMPT, seconds)
        return output.strip(), int(found.group(1))

    def wait(self, seconds=60):
        """Wait for the process to end; its exit status."""
        deadline = time.monotonic() + seconds
        while self.read(deadline - time.monotonic()):
            if time.monotonic() >= deadline:
                raise Timeout(f"still running after {seconds} s; the end is {self.text[-400:]!r}")
        return self.child.wait()

    def kill(self, number=signal.SIGKILL):
        if self.child.poll() is None:
            self.child.send_signal(number)
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()


def anykvm(*options, kernel=KERNEL, initrd=INITRD, append="", memory="512M", cpus=1, net="none"):
    argv = [ANYKVM, "run", "--kernel", kernel, "--memory", memory, "--cpus", str(cpus), "--net", net,
            "--append", "console=ttyS0 " + append]
    if initrd:
        argv += ["--initrd", initrd]
    return Machine(argv + list(options))


def qemu_tcg(*options, append="", memory="512M", cpus=1):
    return Machine(["qemu-system-x86_64", "-accel", "tcg", "-M", "pc", "-cpu", "max", "-nographic",
                    "-no-reboot", "-kernel", KERNEL, "-initrd", INITRD, "-m", memory, "-smp", str(cpus),
                    "-append", "console=ttyS0 " + append, "-nic", "none"] + list(options))


def qemu_kvm(*options, machine="pc", append="", memory="512M", cpus=1, kernel=True):
    """Unmodified QEMU with -accel kvm, whose KVM is ours."""
    argv = [ANYKVM, "exec", "--quiet", "--", "qemu-system-x86_64", "-accel", "kvm", "-M", machine, "-nographic",
            "-no-reboot", "-m", memory, "-smp", str(cpus), "-nic", "none"]
    if kernel:
        argv += ["-kernel", KERNEL, "-initrd", INITRD, "-append", "console=ttyS0 quiet " + append]
    return Machine(argv + list(options))


def run_cases(cases, chosen):
    """Run named functions, print a line for each as tests/test.h does; True if none failed."""
    good = True
    for case in cases:
        name = case.__name__
        if chosen and name not in chosen:
            continue
        began = time.monotonic()
        try:
            verdict = case()
            if isinstance(verdict, str):
                print(f"skip {name}: {verdict}", flush=True)
                continue
            print(f"ok   {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as e:      # whatever went wrong, the other cases still count
            good = False
            print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
        finally:
            while Machine.alive:
                Machine.alive.pop().kill()
    return good
