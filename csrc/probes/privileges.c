/* What this process may do by its ids, capabilities and flags, and what more it can get. */
#include "attempts.h"
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <linux/xattr.h>
#include <sys/ioctl.h>

enum { OVERFLOW_ID = 65534, LAST_CAPABILITY = 63, NS_GET_USERNS = 0xb701 };

/* ---- ids ---- */

/* Files of /proc that are no process's belong to the host's root, which shows as the overflow id
 * where it has none. */
static long host_root(void)
{
    struct stat about = {0};
    int error = mb_fstatat(AT_FDCWD, "/proc/version", &about, 0);

    return error ? error : (long)about.st_uid;
}

static int MB_ATTEMPT(host_root_mapped)
{
    long root = host_root();

    if (root < 0)
        return MB_UNPROVABLE;
    mb_put(detail, "uid ");
    mb_put_i64(detail, root);
    return root == OVERFLOW_ID ? MB_HELD : MB_OPEN;
}

static int MB_ATTEMPT(is_host_root)
{
    long root = host_root();

    if (root < 0)
        return MB_UNPROVABLE;
    return root == (long)mb_geteuid() && root != OVERFLOW_ID ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(host_user_namespace)
{
    return mb_same_namespace(given, detail, "user");
}

static const unsigned other_ids[] = { 0, 1, 1000, OVERFLOW_ID };

/* Become someone else by *number*, setresuid or setresgid, who is not *own*; the last errno if no
 * other id is to be had.  EINVAL: this user namespace has no such id. */
static int become_other(long number, unsigned own, struct mb_line *detail)
{
    int result = MB_HELD;

    for (size_t at = 0; at < sizeof other_ids / sizeof *other_ids; at++) {
        unsigned id = other_ids[at];
        if (id == own || (result = mb_outcome(MB_QUIET(number, id, id, id))) != MB_OPEN)
            continue;
        mb_put(detail, "id ");
        mb_put_u64(detail, id);
        return MB_OPEN;
    }
    return result;
}

static int MB_ATTEMPT(other_user)
{
    return become_other(__NR_setresuid, mb_geteuid(), detail);
}

static int MB_ATTEMPT(other_group)
{
    return become_other(__NR_setresgid, mb_getegid(), detail);
}

/* setfsuid tells the id before, never an error; -1 is no id and changes none. */
static int MB_ATTEMPT(other_file_user)
{
    for (size_t at = 0; at < sizeof other_ids / sizeof *other_ids; at++) {
        MB_QUIET(__NR_setfsuid, other_ids[at]);
        if ((uid_t)MB_QUIET(__NR_setfsuid, -1) != mb_geteuid())
            return MB_OPEN;
    }
    return MB_HELD;
}

static int MB_ATTEMPT(set_groups)
{
    return mb_outcome(mb_setgroups(0, NULL));
}

static int MB_ATTEMPT(supplementary_groups)
{
    gid_t groups[256];
    long count = MB_QUIET(__NR_getgroups, sizeof groups / sizeof *groups, groups);

    for (long at = 0; at < count; at++)
        if (groups[at] != mb_getegid()) {
            mb_put(detail, "gid ");
            mb_put_u64(detail, groups[at]);
            return MB_OPEN;
        }
    return count < 0 ? (int)count : MB_HELD;
}

static int MB_ATTEMPT(give_file_away)
{
    MB_FD fd = mb_memfd_create("probe", 0);
    int result = MB_HELD;

    for (size_t at = 0; fd >= 0 && at < sizeof other_ids / sizeof *other_ids; at++)
        if (other_ids[at] != mb_geteuid() &&
            (result = mb_outcome(MB_QUIET(__NR_fchown, fd, other_ids[at], -1))) == MB_OPEN)
            return MB_OPEN;
    return fd < 0 ? fd : result;
}

/* Send ourselves a message that says it is from PID 1 and uid 0. */
static int MB_ATTEMPT(forge_sender)
{
    struct { struct cmsghdr head; struct ucred who; } _Alignas(8) control = {
        { sizeof control.head + sizeof control.who, SOL_SOCKET, SCM_CREDENTIALS }, { 1, 0, 0 } };
    char byte = 0;
    struct iovec data = { &byte, 1 };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = sizeof control };
    int ends[2], error = mb_socketpair(AF_UNIX, SOCK_DGRAM, ends);

    if (mb_getppid() == 1 && mb_geteuid() == 0)
        control.who.pid = mb_getpid();          /* nothing is forged about PID 1 then */
    return error ? error : mb_outcome(mb_sendmsg(ends[0], &message, 0));
}

/* ---- capabilities ---- */

struct sets { uint64_t effective, permitted, inheritable; };

static int read_sets(struct sets *sets)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct half[2] = {0};
    int error = mb_capget(&head, half);

    sets->effective = half[0].effective | (uint64_t)half[1].effective << 32;
    sets->permitted = half[0].permitted | (uint64_t)half[1].permitted << 32;
    sets->inheritable = half[0].inheritable | (uint64_t)half[1].inheritable << 32;
    return error;
}

static int write_sets(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct half[2] = {
        { (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable }, {
            (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32),
        } };

    return mb_capset(&head, half);
}

/* Open if *set* has any capability, and how many. */
static int capabilities_in(uint64_t set, struct mb_line *detail)
{
    uint64_t count = 0;

    for (uint64_t rest = set; rest; rest &= rest - 1)
        count++;
    mb_put_u64(detail, count);
    mb_put(detail, " capabilities");
    return set ? MB_OPEN : MB_HELD;
}

#define SET_ATTEMPT(name, member) \
    static int MB_ATTEMPT(name) \
    { \
        struct sets sets; \
        int error = read_sets(&sets); \
        return error ? error : capabilities_in(sets.member, detail); \
    }

SET_ATTEMPT(effective_set, effective)
SET_ATTEMPT(permitted_set, permitted)
SET_ATTEMPT(inheritable_set, inheritable)

/* The capabilities for which prctl says 1. */
static uint64_t asked_set(int option, unsigned long before)
{
    uint64_t set = 0;

    for (unsigned long number = 0; number <= LAST_CAPABILITY; number++) {
        int is_in = before ? mb_prctl(option, before, number, 0) : mb_prctl(option, number, 0, 0);
        set |= (uint64_t)(is_in == 1) << number;
    }
    return set;
}

static int MB_ATTEMPT(bounding_set)
{
    return capabilities_in(asked_set(PR_CAPBSET_READ, 0), detail);
}

static int MB_ATTEMPT(ambient_set)
{
    return capabilities_in(asked_set(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET), detail);
}

static int MB_ATTEMPT(raise_capability)
{
    const uint64_t admin = UINT64_C(1) << CAP_SYS_ADMIN;
    return mb_outcome(write_sets(admin, admin, 0));
}

static int MB_ATTEMPT(raise_inheritable)
{
    struct sets sets;
    int error = read_sets(&sets);

    if (error)
        return error;
    return mb_outcome(write_sets(sets.effective, sets.permitted,
                                 sets.inheritable | UINT64_C(1) << CAP_NET_RAW));
}

static int MB_ATTEMPT(raise_ambient)
{
    struct sets sets;
    int error = read_sets(&sets);

    if (error)
        return error;
    write_sets(sets.effective, sets.permitted, sets.permitted);
    for (unsigned long number = 0; number < LAST_CAPABILITY; number++)
        if (sets.permitted >> number & 1)
            return mb_outcome(mb_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0));
    return mb_outcome(mb_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0));
}

static int MB_ATTEMPT(securebits)
{
    const int wanted = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
                       SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    int bits = mb_prctl(PR_GET_SECUREBITS, 0, 0, 0);

    mb_put(detail, "0");
    mb_put_octal(detail, (uint64_t)bits);
    return bits < 0 ? bits : (bits & wanted) == wanted ? MB_HELD : MB_OPEN;
}

static int MB_ATTEMPT(keep_capabilities)
{
    return mb_outcome(mb_prctl(PR_SET_KEEPCAPS, 1, 0, 0));
}

/* A file that would give its capabilities to whoever runs it; it is in memory only. */
static int MB_ATTEMPT(file_capability)
{
    struct vfs_cap_data data = { .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE };
    MB_FD fd = mb_memfd_create("probe", 0);

    data.data[0].permitted = 1u << CAP_NET_RAW;
    return fd < 0 ? fd : mb_outcome(MB_QUIET(__NR_fsetxattr, fd, XATTR_NAME_CAPS, &data,
                                             sizeof data, 0));
}

/* ---- flags ---- */

static int MB_ATTEMPT(new_privileges)
{
    int is_set = mb_prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0);
    return is_set < 0 ? is_set : is_set ? MB_HELD : MB_OPEN;
}

static int MB_ATTEMPT(unfiltered)
{
    int mode = mb_prctl(PR_GET_SECCOMP, 0, 0, 0);
    return mode < 0 ? mode : mode ? MB_HELD : MB_OPEN;
}

static int MB_ATTEMPT(memory_map)
{
    return mb_outcome(MB_QUIET(__NR_prctl, PR_SET_MM, PR_SET_MM_START_CODE, 0, 0, 0));
}

/* No such file; EBADF comes after leave was given. */
static int MB_ATTEMPT(executable_name)
{
    return mb_outcome(MB_QUIET(__NR_prctl, PR_SET_MM, PR_SET_MM_EXE_FILE, -1, 0, 0));
}

/* ---- what is ours to rule ---- */

MB_CALL_ATTEMPT(set_host_name, __NR_sethostname, MB_NOWHERE, -1)
MB_CALL_ATTEMPT(set_domain_name, __NR_setdomainname, MB_NOWHERE, -1)
MB_CALL_ATTEMPT(change_root, __NR_chroot, "/")

/* The kernel shows the owner of a namespace to those only that are in it or above. */
static int MB_ATTEMPT(owns_namespaces)
{
    static const char *const paths[] = { "/proc/self/ns/mnt", "/proc/self/ns/net",
        "/proc/self/ns/pid", "/proc/self/ns/ipc", "/proc/self/ns/uts", "/proc/self/ns/cgroup" };
    int result = MB_UNPROVABLE;

    for (size_t at = 0; at < sizeof paths / sizeof *paths; at++) {
        MB_FD fd = mb_open(paths[at], O_RDONLY);
        if (fd < 0)
            continue;
        result = mb_outcome(MB_QUIET(__NR_ioctl, fd, NS_GET_USERNS));
        if (result == MB_OPEN) {
            mb_put(detail, paths[at] + strlen("/proc/self/ns/"));
            break;
        }
    }
    return result;
}

static int MB_ATTEMPT(user_namespace_of_init)
{
    struct stat own = {0}, of_init = {0};
    int error = mb_fstatat(AT_FDCWD, "/proc/self/ns/user", &own, 0);

    if (error || mb_getppid() == 1)
        return MB_UNPROVABLE;
    error = mb_fstatat(AT_FDCWD, "/proc/1/ns/user", &of_init, 0);
    return error ? error : own.st_ino == of_init.st_ino ? MB_OPEN : MB_HELD;
}

const struct mb_probe mb_privileges_probes[] = {
    { "privileges.host-root-mapped", host_root_mapped },
    { "privileges.host-root", is_host_root },
    { "privileges.host-user-namespace", host_user_namespace },
    { "privileges.init-user-namespace", user_namespace_of_init },
    { "privileges.owned-namespaces", owns_namespaces },
    { "privileges.other-user", other_user },
    { "privileges.other-group", other_group },
    { "privileges.other-file-user", other_file_user },
    { "privileges.set-groups", set_groups },
    { "privileges.supplementary-groups", supplementary_groups },
    { "privileges.file-given-away", give_file_away },
    { "privileges.sender-forged", forge_sender },
    { "privileges.effective-set", effective_set },
    { "privileges.permitted-set", permitted_set },
    { "privileges.inheritable-set", inheritable_set },
    { "privileges.bounding-set", bounding_set },
    { "privileges.ambient-set", ambient_set },
    { "privileges.capability-raised", raise_capability },
    { "privileges.inheritable-raised", raise_inheritable },
    { "privileges.ambient-raised", raise_ambient },
    { "privileges.securebits-unlocked", securebits },
    { "privileges.capabilities-kept", keep_capabilities },
    { "privileges.file-capability", file_capability },
    { "privileges.new-privileges", new_privileges },
    { "privileges.unfiltered", unfiltered },
    { "privileges.memory-map", memory_map },
    { "privileges.executable-name", executable_name },
    { "privileges.host-name", set_host_name },
    { "privileges.domain-name", set_domain_name },
    { "privileges.root-changed", change_root },
    MB_END
};
