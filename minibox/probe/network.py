"""What is on the wire: the host's network, its local sockets, the kernel's rarer protocols."""

from __future__ import annotations

from minibox.probe.record import Probe

REFUSED = ("held", "EPERM", "EACCES", "ENOSYS", "SIGSYS")
NO_SOCKET = (*REFUSED, "EAFNOSUPPORT", "EPROTONOSUPPORT")
"""Not allowed, or this kernel has none."""

UNREACHABLE = (*NO_SOCKET, "ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL")
HOST_NET = (("net=host", ("open",)),)

FAMILIES = (
    ("vsock", "AF_VSOCK", "it reaches the hypervisor under the machine, past every network",
     "CVE-2021-26708"),
    ("vsock-high-bits", "AF_VSOCK, as a number of 33 bits,", "the kernel looks at 32 of them, a "
     "careless filter at 64", ""),
    ("alg", "AF_ALG", "the kernel's ciphers, in rarely tested combinations", "CVE-2019-8912"),
    ("key", "AF_KEY", "an old interface to IPsec, rarely looked at", "CVE-2022-1353"),
    ("bluetooth", "AF_BLUETOOTH", "radio protocols, parsed in the kernel", "CVE-2021-3640"),
    ("can", "AF_CAN", "the buses of cars, and timers that outlive their sockets",
     "CVE-2021-32606"),
    ("tipc", "AF_TIPC", "a cluster protocol whose parser has been written past",
     "CVE-2021-43267"),
    ("rds", "AF_RDS", "it has copied to any address of the kernel", "CVE-2010-3904"),
    ("xdp", "AF_XDP", "packets in memory that is shared with the kernel", ""),
    ("kcm", "AF_KCM", "it runs BPF programs on streams", ""),
    ("smc", "AF_SMC", "TCP over shared memory, a large state machine", ""),
    ("llc", "AF_LLC", "a link layer that nothing uses any more", ""),
    ("pppox", "AF_PPPOX", "tunnels, and their life times", ""),
    ("ax25", "AF_AX25", "amateur radio, and its life times", "CVE-2022-1204"),
    ("nfc", "AF_NFC", "near field radio, and its life times", "CVE-2021-23134"),
    ("phonet", "AF_PHONET", "modems of old telephones", ""),
    ("rxrpc", "AF_RXRPC", "the remote calls of AFS, with keys in the kernel", ""),
    ("qipcrtr", "AF_QIPCRTR", "messages to the processors of a telephone", ""),
)


def _family(name: str, family: str, why: str, cve: str) -> Probe:
    return Probe(id=f"network.{name}", question=f"can it reach sockets of {family}?",
                 held=NO_SOCKET, why=f"{why}; asking for one loads its module", cve=cve,
                 layers=("seccomp",))


def _netlink(name: str, protocol: str, why: str, cve: str = "") -> Probe:
    return Probe(id=f"network.netlink-{name}", question=f"can it reach {protocol} by netlink?",
                 held=NO_SOCKET, why=why, cve=cve, layers=("seccomp",))


PROBES: tuple[Probe, ...] = (
    Probe(id="network.host-namespace", question="is it in the host's network namespace?",
          held=("held",), why="all that listens on the host only for the host is in reach",
          layers=("net",), profiles=HOST_NET),
    Probe(id="network.host-namespace-joined", question="can it join the host's network?",
          held=(*REFUSED, "ENOENT"), why="the same, later"),
    Probe(id="network.host-namespace-by-handle",
          question="can it open the host's network by a file handle?", held=(*REFUSED, "ESTALE"),
          why="since Linux 6.18 a number is enough, without a path or a process to go by",
          profiles=HOST_NET),
    Probe(id="network.interfaces", question="does it have interfaces other than lo?",
          held=(*REFUSED, "ENOENT"), why="a way out that it was not given", layers=("net",),
          profiles=HOST_NET),
    Probe(id="network.interfaces-by-netlink",
          question="does netlink tell of interfaces other than lo?", held=NO_SOCKET,
          why="addresses and names of the host's network", layers=("net",), profiles=HOST_NET),
    Probe(id="network.routes", question="is there a route that leads out?",
          held=(*REFUSED, "ENOENT"), why="a way out that it was not given", layers=("net",),
          profiles=HOST_NET),
    Probe(id="network.routes-ipv6", question="is there an IPv6 route that leads out?",
          held=(*REFUSED, "ENOENT"), why="a way out that it was not given", layers=("net",),
          profiles=HOST_NET),
    Probe(id="network.way-out", question="can it send to the internet?", held=UNREACHABLE,
          why="it takes data out, and takes orders", layers=("net",), profiles=HOST_NET),
    Probe(id="network.way-out-ipv6", question="can it send to the IPv6 internet?",
          held=UNREACHABLE, why="a second internet, that firewalls forget", layers=("net",),
          profiles=HOST_NET),
    Probe(id="network.host-loopback", question="can it reach a server on the host's 127.0.0.1?",
          held=UNREACHABLE, why="databases and agents trust whoever is local", layers=("net",),
          profiles=HOST_NET),
    Probe(id="network.host-loopback-ipv6", question="can it reach a server on the host's ::1?",
          held=UNREACHABLE, why="databases and agents trust whoever is local", layers=("net",),
          profiles=HOST_NET),
    Probe(id="network.host-abstract-socket",
          question="can it reach an abstract socket of the host?", held=UNREACHABLE,
          why="these have no permissions, only a network namespace; containerd's was one",
          cve="CVE-2020-15257", profiles=HOST_NET),
    Probe(id="network.host-unix-socket", question="can it reach a socket file of the host?",
          held=(*UNREACHABLE, "ENOENT", "ENOTDIR"), why="docker.sock is root on the host",
          layers=("view",)),
    Probe(id="network.host-sockets-listed", question="can it list the host's local sockets?",
          held=(*REFUSED, "ENOENT"), why="it tells what to attack", layers=("net",),
          profiles=HOST_NET),
    Probe(id="network.low-port", question="can it serve a port below 1024?", held=UNREACHABLE,
          why="others trust who answers there"),
    Probe(id="network.socket-mark", question="can it mark its packets?", held=NO_SOCKET,
          why="marks choose routes and pass firewalls"),
    Probe(id="network.interface-flags", question="can it change an interface?", held=NO_SOCKET,
          why="it takes an interface down, or listens to all that passes"),
    Probe(id="network.interface-deleted", question="can it delete an interface?",
          held=NO_SOCKET, why="it cuts the network, or makes one of its own"),
    Probe(id="network.forwarding", question="can it make a router of this machine?",
          held=(*REFUSED, "ENOENT", "EROFS"), why="it leads others in"),
    Probe(id="network.raw", question="can it send raw IP packets?", held=NO_SOCKET,
          why="forged senders; headers of its own", cve="CVE-2017-17712"),
    Probe(id="network.raw-ipv6", question="can it send raw IPv6 packets?", held=NO_SOCKET,
          why="forged senders; router advertisements of its own"),
    Probe(id="network.packet", question="can it send and see whole frames?", held=NO_SOCKET,
          why="it reads and forges all that passes; rings shared with the kernel",
          cve="CVE-2020-14386"),
    _netlink("audit", "the audit system", "it reads or floods the machine's log"),
    _netlink("uevent", "the kernel's device events", "devices of the host, as they come and go"),
    _netlink("netfilter", "the firewall", "a compiler of rules in the kernel, out of which "
             "most recent ways to root have come", "CVE-2024-1086"),
    _netlink("xfrm", "IPsec", "policies with life times of their own", "CVE-2017-16939"),
    _netlink("generic", "the generic families", "a door to dozens of drivers' interfaces"),
    _netlink("diag", "the table of sockets", "it tells of sockets and their memory"),
    _netlink("connector", "the process connector", "it tells of each process that starts"),
    _netlink("fib", "the routing table's lookups", "an interface that nothing uses any more"),
    *(_family(*family) for family in FAMILIES),
)
