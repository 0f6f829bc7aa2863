/* What is on the wire: the host's network, its local sockets, and the kernel's rarer protocols. */
#include "attempts.h"
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

static uint16_t network_order(uint16_t number)
{
    return (uint16_t)(number << 8 | number >> 8);
}

/* Does a socket of this kind come to be? */
static int try_socket(int family, int type, int protocol)
{
    MB_FD fd = mb_socket(family, type, protocol);
    return mb_outcome(fd);
}

#define SOCKET_ATTEMPT(name, family, type, protocol) \
    static int MB_ATTEMPT(name) { return try_socket(family, type, protocol); }

/* A type that no socket has: EINVAL says that the family would be looked for, and its module
 * loaded, and nothing is. */
#define FAMILY_ATTEMPT(name, family) SOCKET_ATTEMPT(name, family, 15, 0)
/* The same for netlink, which looks for a protocol's module if the type is right. */
#define NETLINK_ATTEMPT(name, protocol) SOCKET_ATTEMPT(name, AF_NETLINK, SOCK_STREAM, protocol)

/* ---- what the host's network has ---- */

/* Is a line of *path* about an interface that is not lo? *at_end*: names are last, else first. */
static int other_interface(const char *path, bool at_end, unsigned skip, struct mb_line *detail)
{
    char text[4096];
    ssize_t size = mb_read_text(path, text, sizeof text);

    if (size < 0)
        return (int)size;
    for (char *line = text; *line; skip -= skip > 0) {
        size_t length = strcspn(line, "\n");
        char *next = line[length] ? line + length + 1 : line + length;
        line[length] = 0;
        const char *name = at_end && strrchr(line, ' ') ? strrchr(line, ' ') + 1
                                                        : line + strspn(line, " ");
        size_t name_size = strcspn(name, ": \t");
        if (!skip && name_size && (name_size != 2 || strncmp(name, "lo", 2))) {
            mb_put_bytes(detail, name, name_size);
            return MB_OPEN;
        }
        line = next;
    }
    return MB_HELD;
}

static int MB_ATTEMPT(interfaces)
{
    return other_interface("/proc/self/net/dev", false, 2, detail);
}

static int MB_ATTEMPT(routes)
{
    return other_interface("/proc/self/net/route", false, 1, detail);
}

static int MB_ATTEMPT(routes6)
{
    return other_interface("/proc/self/net/ipv6_route", true, 0, detail);
}

/* Ask the kernel for the name of every interface. */
static int MB_ATTEMPT(interfaces_by_netlink)
{
    struct { struct nlmsghdr head; struct ifinfomsg about; } ask = {
        { sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, {0} };
    _Alignas(8) char answer[16384];
    MB_FD fd = mb_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    ssize_t size = fd < 0 ? fd : MB_QUIET(__NR_sendto, fd, &ask, sizeof ask, 0, NULL, 0);

    while (size >= 0 && (size = mb_read(fd, answer, sizeof answer)) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct nlmsghdr *head = (const void *)(answer + at);
            const struct ifinfomsg *about = (const void *)(answer + at + sizeof *head);
            if (head->nlmsg_type != RTM_NEWLINK)
                return MB_HELD;
            if (!(about->ifi_flags & IFF_LOOPBACK)) {
                mb_put(detail, "interface ");
                mb_put_i64(detail, about->ifi_index);
                return MB_OPEN;
            }
            at += (ssize_t)(head->nlmsg_len + 3) & ~3;
        }
    return (int)size;
}

static int MB_ATTEMPT(host_network_namespace)
{
    return mb_same_namespace(given, detail, "net");
}

static int MB_ATTEMPT(join_host_network)
{
    int64_t pid = mb_given_number(given, "pid");
    char path[64];
    struct mb_line line = mb_line(path, sizeof path);
    MB_FD fd = -1;

    if (pid < 0)
        return MB_UNPROVABLE;
    mb_put(&line, "/proc/");
    mb_put_i64(&line, pid);
    mb_put(&line, "/ns/net");
    fd = mb_open(path, O_RDONLY);
    return fd < 0 ? fd : mb_outcome(mb_setns(fd, CLONE_NEWNET));
}

/* By a handle, as Linux 6.18 gives one of each namespace: no path, descriptor or process is needed.
 * The first namespaces of a machine have the first numbers. */
static int MB_ATTEMPT(host_network_by_handle)
{
    enum { NSFS_ROOT = -10003, NSFS_HANDLE = 0xf1, FIRST_IDS = 32 };
    struct {
        struct { uint32_t size, type; } head;
        struct { uint64_t id; uint32_t kind, inode; } _Alignas(8) space;
    } handle = { { sizeof handle.space, NSFS_HANDLE }, { 0, CLONE_NEWNET, 0 } };
    int64_t inode = mb_given_number(given, "netns");
    int result = -ESTALE;

    handle.space.inode = (uint32_t)inode;
    while (inode >= 0 && result == -ESTALE && ++handle.space.id <= FIRST_IDS)
        result = mb_outcome(MB_QUIET(__NR_open_by_handle_at, NSFS_ROOT, &handle, O_RDONLY));
    return inode < 0 || result == -EBADF ? MB_UNPROVABLE : result;
}

/* ---- reaching it ---- */

static int try_connect(int family, int type, const void *address, size_t size)
{
    MB_FD fd = mb_socket(family, type, 0);
    return fd < 0 ? fd : mb_outcome(MB_QUIET(__NR_connect, fd, address, size));
}

static int MB_ATTEMPT(host_loopback)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = network_order(0x7f00) };
    int64_t port = mb_given_number(given, "tcp");

    to.sin_addr.s_addr |= 1u << 24;                                         /* 127.0.0.1 */
    to.sin_port = network_order((uint16_t)port);
    return port < 0 ? MB_UNPROVABLE : try_connect(AF_INET, SOCK_STREAM, &to, sizeof to);
}

static int MB_ATTEMPT(host_loopback6)
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr.s6_addr = { [15] = 1 } };
    int64_t port = mb_given_number(given, "tcp6");

    to.sin6_port = network_order((uint16_t)port);
    return port < 0 ? MB_UNPROVABLE : try_connect(AF_INET6, SOCK_STREAM, &to, sizeof to);
}

/* Connecting a UDP socket looks for a route and sends nothing; the addresses are for examples. */
static int MB_ATTEMPT(way_out)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = network_order(9) };

    to.sin_addr.s_addr = 192u | 2u << 16 | 1u << 24;                        /* 192.0.2.1 */
    return try_connect(AF_INET, SOCK_DGRAM, &to, sizeof to);
}

static int MB_ATTEMPT(way_out6)
{
    struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = network_order(9),
        .sin6_addr.s6_addr = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };            /* 2001:db8::1 */

    return try_connect(AF_INET6, SOCK_DGRAM, &to, sizeof to);
}

/* A path, or, with a NUL before it, an abstract name. */
static int try_unix(const char *name, size_t nul)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t size = name ? strlen(name) : 0;

    if (!name || size + nul > sizeof to.sun_path)
        return MB_UNPROVABLE;
    memcpy(to.sun_path + nul, name, size);
    return try_connect(AF_UNIX, SOCK_STREAM, &to,
                       offsetof(struct sockaddr_un, sun_path) + nul + size);
}

static int MB_ATTEMPT(host_abstract_socket)
{
    return try_unix(mb_given(given, "abstract"), 1);
}

static int MB_ATTEMPT(host_unix_socket)
{
    return try_unix(mb_given(given, "unix"), 0);
}

static bool holds(const char *text, const char *wanted)
{
    size_t size = strlen(wanted);

    for (; (text = strchr(text, *wanted)); text++)
        if (!strncmp(text, wanted, size))
            return true;
    return false;
}

/* The table of local sockets, which may be longer than is read at once. */
static int MB_ATTEMPT(host_sockets_listed)
{
    const char *name = mb_given(given, "abstract");
    MB_FD fd = mb_open("/proc/self/net/unix", O_RDONLY);
    char text[8192];
    size_t kept = 0;
    ssize_t got;

    if (!name || !*name)
        return MB_UNPROVABLE;
    if (fd < 0)
        return fd;
    while ((got = mb_read(fd, text + kept, sizeof text - 1 - kept)) > 0) {
        size_t size = kept + (size_t)got;
        text[size] = 0;
        for (size_t at = 0; at < size; at++)
            if (!text[at])
                text[at] = '@';
        if (holds(text, name))
            return MB_OPEN;
        kept = size < 512 ? size : 512;         /* a name may lie across two reads */
        for (size_t at = 0; at < kept; at++)
            text[at] = text[size - kept + at];
    }
    return got < 0 ? (int)got : MB_HELD;
}

/* ---- ruling it ---- */

static int MB_ATTEMPT(low_port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = network_order(1) };
    MB_FD fd = mb_socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = 127u | 77u << 8 | 77u << 16 | 77u << 24;           /* 127.77.77.77 */
    return fd < 0 ? fd : mb_outcome(MB_QUIET(__NR_bind, fd, &at, sizeof at));
}

/* A mark of our own socket, which is sent nowhere. */
static int MB_ATTEMPT(mark)
{
    MB_FD fd = mb_socket(AF_UNIX, SOCK_DGRAM, 0);
    int value = 77;

    return fd < 0 ? fd : mb_outcome(MB_QUIET(__NR_setsockopt, fd, SOL_SOCKET, SO_MARK, &value,
                                             sizeof value));
}

/* Flags of an interface that nobody has: ENODEV comes after leave was given. */
static int MB_ATTEMPT(interface_flags)
{
    struct ifreq about = { .ifr_name = "mb-nobody" };
    MB_FD fd = mb_socket(AF_UNIX, SOCK_DGRAM, 0);

    return fd < 0 ? fd : mb_outcome(mb_ioctl(fd, SIOCSIFFLAGS, &about));
}

/* Delete an interface that nobody has: the error that comes after leave was given is another. */
static int MB_ATTEMPT(delete_interface)
{
    struct { struct nlmsghdr head; struct ifinfomsg about; } ask = {
        { sizeof ask, RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0 }, { .ifi_index = 0x7fffffff } };
    struct { struct nlmsghdr head; struct nlmsgerr error; char more[256]; } answer;
    MB_FD fd = mb_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    ssize_t size = fd < 0 ? fd : MB_QUIET(__NR_sendto, fd, &ask, sizeof ask, 0, NULL, 0);

    if (size >= 0)
        size = mb_read(fd, &answer, sizeof answer);
    if (size < 0)
        return (int)size;
    return answer.head.nlmsg_type == NLMSG_ERROR ? mb_outcome(answer.error.error) : MB_OPEN;
}

static int MB_ATTEMPT(forwarding)
{
    return mb_try_file("/proc/sys/net/ipv4/ip_forward", O_WRONLY);
}

/* ---- kinds of sockets ---- */

SOCKET_ATTEMPT(raw, AF_INET, SOCK_RAW, IPPROTO_ICMP)
SOCKET_ATTEMPT(raw6, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)
SOCKET_ATTEMPT(packet, AF_PACKET, SOCK_RAW, 0)
SOCKET_ATTEMPT(netlink_audit, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)
SOCKET_ATTEMPT(netlink_uevent, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)
NETLINK_ATTEMPT(netlink_netfilter, NETLINK_NETFILTER)
NETLINK_ATTEMPT(netlink_xfrm, NETLINK_XFRM)
SOCKET_ATTEMPT(netlink_generic, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)
SOCKET_ATTEMPT(netlink_diag, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)
NETLINK_ATTEMPT(netlink_connector, NETLINK_CONNECTOR)
SOCKET_ATTEMPT(netlink_fib, AF_NETLINK, SOCK_RAW, NETLINK_FIB_LOOKUP)
FAMILY_ATTEMPT(vsock, 40)

static int MB_ATTEMPT(vsock_by_high_bits)
{
    return mb_outcome(MB_QUIET(__NR_socket, 40 | MB_HIGH_BIT, 15, 0));
}

FAMILY_ATTEMPT(alg, 38)
FAMILY_ATTEMPT(key, 15)
FAMILY_ATTEMPT(bluetooth, 31)
FAMILY_ATTEMPT(can, 29)
FAMILY_ATTEMPT(tipc, 30)
FAMILY_ATTEMPT(rds, 21)
FAMILY_ATTEMPT(xdp, 44)
FAMILY_ATTEMPT(kcm, 41)
FAMILY_ATTEMPT(smc, 43)
FAMILY_ATTEMPT(llc, 26)
FAMILY_ATTEMPT(pppox, 24)
FAMILY_ATTEMPT(ax25, 3)
FAMILY_ATTEMPT(nfc, 39)
FAMILY_ATTEMPT(phonet, 35)
FAMILY_ATTEMPT(rxrpc, 33)
FAMILY_ATTEMPT(qipcrtr, 42)

const struct mb_probe mb_network_probes[] = {
    { "network.host-namespace", host_network_namespace },
    { "network.host-namespace-joined", join_host_network },
    { "network.host-namespace-by-handle", host_network_by_handle },
    { "network.interfaces", interfaces },
    { "network.interfaces-by-netlink", interfaces_by_netlink },
    { "network.routes", routes },
    { "network.routes-ipv6", routes6 },
    { "network.way-out", way_out },
    { "network.way-out-ipv6", way_out6 },
    { "network.host-loopback", host_loopback },
    { "network.host-loopback-ipv6", host_loopback6 },
    { "network.host-abstract-socket", host_abstract_socket },
    { "network.host-unix-socket", host_unix_socket },
    { "network.host-sockets-listed", host_sockets_listed },
    { "network.low-port", low_port },
    { "network.socket-mark", mark },
    { "network.interface-flags", interface_flags },
    { "network.interface-deleted", delete_interface },
    { "network.forwarding", forwarding },
    { "network.raw", raw },
    { "network.raw-ipv6", raw6 },
    { "network.packet", packet },
    { "network.netlink-audit", netlink_audit },
    { "network.netlink-uevent", netlink_uevent },
    { "network.netlink-netfilter", netlink_netfilter },
    { "network.netlink-xfrm", netlink_xfrm },
    { "network.netlink-generic", netlink_generic },
    { "network.netlink-diag", netlink_diag },
    { "network.netlink-connector", netlink_connector },
    { "network.netlink-fib", netlink_fib },
    { "network.vsock", vsock },
    { "network.vsock-high-bits", vsock_by_high_bits },
    { "network.alg", alg },
    { "network.key", key },
    { "network.bluetooth", bluetooth },
    { "network.can", can },
    { "network.tipc", tipc },
    { "network.rds", rds },
    { "network.xdp", xdp },
    { "network.kcm", kcm },
    { "network.smc", smc },
    { "network.llc", llc },
    { "network.pppox", pppox },
    { "network.ax25", ax25 },
    { "network.nfc", nfc },
    { "network.phonet", phonet },
    { "network.rxrpc", rxrpc },
    { "network.qipcrtr", qipcrtr },
    MB_END
};
