# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that start with firmware: unmodified QEMU with -accel kvm over our KVM, SeaBIOS or OVMF, and what they boot."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine
from machine import ANYKVM, GUEST, ROOT
from monitor import Monitor

SECONDS = 300       # generous: a sanitized build on a busy machine; not a measure of speed
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
MEMTEST = "/usr/lib/memtest86+/memtest86+x64.iso"
INSTALLER = "/usr/lib/debian-installer/images/12/amd64/text"


class Absent(Exception):
    """Something that a case needs is not on this machine; it is skipped."""


def needs(*paths_or_programs):
    for what in paths_or_programs:
        if not (os.path.exists(what) if what.startswith("/") else shutil.which(what, path=os.environ["PATH"] + ":/usr/sbin:/sbin")):
            raise Absent(f"there is no {what} (tools/install test)")


def skips(case):
    """The case, which says what is missing if something is."""
    def tried():
        try:
            return case()
        except Absent as e:
            return str(e)
    tried.__name__ = case.__name__
    return tried


def uefi(folder):
    """OVMF's two flash chips; the variables' is a file of its own in the folder, made if it is not there."""
    needs(OVMF, OVMF_VARS)
    variables = os.path.join(folder, "vars.fd")
    if not os.path.exists(variables):
        shutil.copy(OVMF_VARS, variables)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]


def start(folder, *options, kind="pc", memory="256M", cpus=1, accel="kvm", serial="stdio"):
    """A machine with a screen, a serial port and a monitor: (machine, monitor)."""
    start.count += 1
    path = os.path.join(folder, f"qmp{start.count}")
    argv = [ANYKVM, "exec", "--quiet", "--"] if accel == "kvm" else []
    argv += ["qemu-system-x86_64", "-accel", accel, "-M", kind, "-m", memory, "-smp", str(cpus), "-display", "none",
             "-serial", serial, "-qmp", f"unix:{path},server=on,wait=off"]
    if "-nic" not in options and "-netdev" not in options:
        argv += ["-nic", "none"]
    m = machine.Machine(argv + list(options))
    return m, Monitor(path)


start.count = 0


def disk(path, kind="virtio"):
    """What is written to the file is forgotten."""
    return ["-drive", f"file={path},format=raw,if={kind},snapshot=on"]


def made(name, *argv):
    """build/guest/NAME, made by a command that takes its path as argument {}, once."""
    path = os.path.join(GUEST, name)
    if not os.path.exists(path):
        argv = [word.replace("{}", path + ".new") for word in argv]
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if r.returncode:
            raise AssertionError(f"{argv[0]}: {r.stdout[-2000:]}")
        os.rename(path + ".new", path)
    return path


def small_disk():
    """A disk with GRUB, Debian's cloud kernel and the small guest."""
    needs("sfdisk", "mformat", "grub-mkimage", "/usr/lib/grub/i386-pc", "/usr/lib/grub/x86_64-efi")
    return made("boot.img", os.path.join(ROOT, "tools/guest/boot-disk"), "{}", machine.KERNEL, machine.INITRD)


def small_cd():
    """The same on a CD, by grub-mkrescue, which boots from BIOS and UEFI."""
    needs("grub-mkrescue", "xorriso", "mformat", "/usr/lib/grub/i386-pc", "/usr/lib/grub/x86_64-efi")
    tree = os.path.join(GUEST, "cd")
    os.makedirs(os.path.join(tree, "boot/grub"), exist_ok=True)
    shutil.copy(machine.KERNEL, os.path.join(tree, "boot/vmlinuz"))
    shutil.copy(machine.INITRD, os.path.join(tree, "boot/initrd.img"))
    with open(os.path.join(tree, "boot/grub/grub.cfg"), "w") as f:
        f.write("if [ $grub_platform = pc ]; then\n\tserial --unit=0 --speed=115200\n\tterminal_input serial console\n"
                "\tterminal_output serial console\nfi\nset timeout=2\nmenuentry Debian {\n\tlinux /boot/vmlinuz console=ttyS0 quiet\n"
                "\tinitrd /boot/initrd.img\n}\n")
    return made("cd.iso", "grub-mkrescue", "-o", "{}", tree)


def to_shell(m, seconds=SECONDS):
    m.expect(r"guest: a shell on", seconds)
    m.expect(machine.PROMPT, 60)
    return m


def needs_package(name):
    """A Debian package, unpacked in build/guest and not installed."""
    path = os.path.join(GUEST, name)
    if not os.path.exists(path):
        with tempfile.TemporaryDirectory() as d:
            r = subprocess.run("apt-get download -q " + name + " && dpkg -x *.deb root", shell=True, cwd=d, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if r.returncode:
                raise Absent(f"no package {name}: {r.stdout.strip().splitlines()[-1:]}")
            shutil.move(os.path.join(d, "root"), path)
    return path
