"""Devices of the host: the hardware itself, past files and their permissions.

Where the host has no such device, a probe shows nothing: neither there nor in a box is it open.
Most are the host's root's alone, so that the ids of a box hold them as well as its own /dev does.
"""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
NO_DEVICE = (*REFUSED, "ENOENT", "ENOTDIR")

DEVICES = (
    ("memory", "the machine's memory", "all of the machine is in it", ""),
    ("ports", "the machine's ports", "the hardware, past the kernel", ""),
    ("kernel-log", "the kernel's log", "addresses, devices and names of the host", ""),
    ("kernel-log-written", "the kernel's log for writing", "forged lines that an administrator "
     "believes", ""),
    ("console", "the machine's console", "what is typed and shown there", ""),
    ("serial", "a serial line", "consoles and hardware behind it", ""),
    ("virtual-terminals", "a terminal of the console", "logins, and commands pasted to them",
     "CVE-2023-28100"),
    ("screen", "what the console shows", "what others read and type", ""),
    ("disks", "a disk", "every file on it, past all permissions", ""),
    ("loop-control", "the control of loop devices", "file systems made up by the attacker", ""),
    ("loop", "a loop device", "file systems made up by the attacker", ""),
    ("mapper", "the control of mapped disks", "disks are joined, shown and hidden", ""),
    ("btrfs", "the control of btrfs", "file systems are scanned for and registered", ""),
    ("compressed-memory", "a disk in memory", "pages of others, swapped out", ""),
    ("scsi", "disks and drives by raw commands", "firmware, and data past the file system", ""),
    ("fuse", "file systems in user space", "one that answers late holds kernel threads and others "
     "up", ""),
    ("cuse", "devices in user space", "a device that others trust", ""),
    ("automount", "the control of automatic mounts", "mounts of the host are made and ended", ""),
    ("tunnel", "tunnels", "network interfaces of its own; parsers of packets in the kernel", ""),
    ("point-to-point", "telephone links", "an old protocol's parser in the kernel", ""),
    ("machines", "virtual machines", "a large interface, deep in the kernel", "CVE-2021-29657"),
    ("vhost", "networks of virtual machines", "packets handled by kernel threads of the host",
     "CVE-2019-14835"),
    ("hypervisor", "the line to the hypervisor", "it reaches under the machine", ""),
    ("fault-handler", "faults of the kernel's own", "races in the kernel become certain", ""),
    ("input", "keyboard and mouse", "everything that is typed", ""),
    ("input-forged", "a keyboard of its own", "keys that nobody has pressed", ""),
    ("usb", "USB devices", "firmware of devices, and data on sticks", ""),
    ("sound", "sound", "the microphone", ""),
    ("camera", "the camera", "the room", ""),
    ("graphics", "the graphics processor", "large drivers, and memory shared with the screen",
     "CVE-2021-1056"),
    ("graphics-arbiter", "the arbiter of graphics cards", "cards are taken from others", ""),
    ("processor", "the processor's own registers", "the kernel can be rewritten by them",
     "CVE-2013-0268"),
    ("random-hardware", "the source of random numbers", "it is emptied for others", ""),
    ("pass-through", "hardware for programs", "memory read and written by devices", ""),
    ("shared-buffers", "buffers of devices", "memory shared between drivers", ""),
    ("binder", "Android's messages", "a large interface", "CVE-2019-2215"),
    ("enclaves", "enclaves", "memory that nobody can look into", ""),
    ("watchdog", "the watchdog", "opened and left, it resets the machine", ""),
    ("clock", "the clock's hardware", "the time of the next start", ""),
    ("key-chip", "the chip that keeps keys", "what is sealed for this host", ""),
    ("power", "how deep processors sleep", "heat and current for nothing", ""),
    ("firmware", "the machine's settings", "what it does at its next start", ""),
)

FOR_ALL = ("fuse", "automount", "tunnel", "graphics", "enclaves")
"""Those that a host lets all its users open; what else there is may be root's."""

PROBES: tuple[Probe, ...] = (
    *(Probe(id=f"devices.{name}", question=f"can it open {what}?", held=NO_DEVICE, why=why, cve=cve,
            layers=("dev",) if name in FOR_ALL else ()) for name, what, why, cve in DEVICES),
    Probe(id="devices.others-listed", question="are there more devices than null and random?",
          held=("held",), why="each driver that can be reached is code of the kernel's",
          layers=("dev",)),
    Probe(id="devices.terminals-of-others", question="can it open a terminal of others?",
          held=NO_DEVICE, why="what they type and see"),
    Probe(id="devices.names-made", question="can it make names in /dev?",
          held=(*NO_DEVICE, "EROFS"),
          why="a null that keeps what it is given, a random that is known"),
    Probe(id="devices.node-made", question="can it make a device's node?",
          held=(*NO_DEVICE, "EROFS"), why="any device of the machine, by its number"),
    Probe(id="devices.disk-made", question="can it make a disk's node?",
          held=(*NO_DEVICE, "EROFS"), why="every file on it, past all permissions"),
    Probe(id="devices.nodes-honoured", question="is a node a device where it can write?",
          held=("held",), why="a node on a disk or in an archive that it was given is then opened",
          layers=("dev", "nodev")),
)
