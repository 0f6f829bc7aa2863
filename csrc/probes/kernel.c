/* Parts of the kernel that an application does not need and that have been its way out.  A call is
 * given what it refuses after it has asked for leave, in the kernel's own order, so that nothing
 * comes of it even where it is allowed. */
#include "attempts.h"
#include <linux/perf_event.h>

/* Calls that the headers of older systems do not know; the numbers are the same everywhere. */
enum { NR_CACHESTAT = 451, NR_NONE = 4095 };

/* ---- namespaces ---- */

/* EINVAL: this kernel has none of the kind. */
static int namespace_outcome(long result)
{
    return result == -EINVAL ? MB_UNPROVABLE : mb_outcome(result);
}

#define UNSHARE_ATTEMPT(name, flags) \
    static int MB_ATTEMPT(name) { return namespace_outcome(mb_unshare(flags)); }

UNSHARE_ATTEMPT(unshare_user, CLONE_NEWUSER)
UNSHARE_ATTEMPT(unshare_user_net, CLONE_NEWUSER | CLONE_NEWNET)
UNSHARE_ATTEMPT(unshare_user_mount, CLONE_NEWUSER | CLONE_NEWNS)
UNSHARE_ATTEMPT(unshare_mount, CLONE_NEWNS)
UNSHARE_ATTEMPT(unshare_net, CLONE_NEWNET)
UNSHARE_ATTEMPT(unshare_pid, CLONE_NEWPID)
UNSHARE_ATTEMPT(unshare_ipc, CLONE_NEWIPC)
UNSHARE_ATTEMPT(unshare_uts, CLONE_NEWUTS)
UNSHARE_ATTEMPT(unshare_cgroup, CLONE_NEWCGROUP)
UNSHARE_ATTEMPT(unshare_time, CLONE_NEWTIME)

/* The child of such a clone does nothing, and has ended when the answer is given. */
static int clone_outcome(long pid)
{
    if (pid == 0)
        mb_exit(0);
    if (pid > 0)
        mb_wait4((pid_t)pid, NULL, 0, NULL);
    return namespace_outcome(pid);
}

static int MB_ATTEMPT(clone_user)
{
    return clone_outcome(MB_QUIET(__NR_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

/* The kernel looks at 32 bits of the flags, a careless filter at 64. */
static int MB_ATTEMPT(clone_user_by_high_bits)
{
    return clone_outcome(MB_QUIET(__NR_clone, CLONE_NEWUSER | SIGCHLD | MB_HIGH_BIT, 0, 0, 0, 0));
}

static int MB_ATTEMPT(clone3_user)
{
    struct clone_args how = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
    return clone_outcome(mb_clone3(&how));
}

#define NAMESPACE_ATTEMPT(name, kind) \
    static int MB_ATTEMPT(name) { return mb_same_namespace(given, detail, kind); }

NAMESPACE_ATTEMPT(host_mount_namespace, "mnt")
NAMESPACE_ATTEMPT(host_ipc_namespace, "ipc")
NAMESPACE_ATTEMPT(host_uts_namespace, "uts")
NAMESPACE_ATTEMPT(host_cgroup_namespace, "cgroup")

MB_CALL_ATTEMPT(clone3, __NR_clone3, NULL, 0)
MB_CALL_ATTEMPT(try_setns, __NR_setns, -1, 0)

/* ---- programs, events and memory inside the kernel ---- */

MB_CALL_ATTEMPT(bpf, __NR_bpf, 0xffff, NULL, 0)

/* "Return 0", for sockets; it is gone with its descriptor. */
static int MB_ATTEMPT(bpf_program)
{
    static const uint64_t program[] = { 0x00000000000000b7, 0x0000000000000095 };
    struct {
        uint32_t type, count;
        uint64_t instructions, license;
        uint32_t rest[32];
    } ask = { 1, 2, (uint64_t)(uintptr_t)program, (uint64_t)(uintptr_t)"GPL", {0} };

    return mb_outcome(MB_QUIET(__NR_bpf, 5, &ask, sizeof ask));
}

static int MB_ATTEMPT(try_perf_event)
{
    struct perf_event_attr about = { .type = PERF_TYPE_SOFTWARE, .size = sizeof about,
        .config = PERF_COUNT_SW_TASK_CLOCK, .disabled = 1, .exclude_kernel = 1, .exclude_hv = 1 };

    return mb_outcome(MB_QUIET(__NR_perf_event_open, &about, 0, -1, -1, 0));
}

MB_CALL_ATTEMPT(userfaultfd, __NR_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */)

static int MB_ATTEMPT(io_uring)
{
    uint32_t parameters[30] = {0};
    return mb_outcome(MB_QUIET(__NR_io_uring_setup, 1, parameters));
}

MB_CALL_ATTEMPT(io_uring_enter, __NR_io_uring_enter, -1, 0, 0, 0, NULL, 0)
MB_CALL_ATTEMPT(io_uring_register, __NR_io_uring_register, -1, 0, NULL, 0)

/* A program that the host runs as well, where that is shown. */
static int open_host_program(void)
{
    return mb_open("/bin/sh", O_RDONLY);
}

/* Whoever then opens the file to write it waits; let go as the descriptor is closed. */
static int MB_ATTEMPT(lease)
{
    MB_FD fd = open_host_program();
    return fd < 0 ? MB_UNPROVABLE : mb_outcome(mb_fcntl(fd, F_SETLEASE, F_RDLCK));
}

static int MB_ATTEMPT(cachestat)
{
    MB_FD fd = open_host_program();
    uint64_t range[2] = {0}, pages[5] = {0};
    long result = fd < 0 ? fd : MB_QUIET(NR_CACHESTAT, fd, range, pages, 0);

    mb_put_u64(detail, pages[0]);
    mb_put(detail, " pages");
    return fd < 0 ? MB_UNPROVABLE : mb_outcome(result);
}

MB_CALL_ATTEMPT(mbind, __NR_mbind, 0, 4096, 0xffff, NULL, 0, 0)
MB_CALL_ATTEMPT(memory_policy, __NR_set_mempolicy, 0xffff, NULL, 0)
MB_CALL_ATTEMPT(migrate_pages, __NR_migrate_pages, 0, 64, MB_NOWHERE, MB_NOWHERE)
MB_CALL_ATTEMPT(fanotify, __NR_fanotify_init, 0x201 /* FAN_REPORT_FID | FAN_CLOEXEC */, O_RDONLY)

/* ---- keys ---- */

MB_CALL_ATTEMPT(try_add_key, __NR_add_key, MB_NOWHERE, MB_NOWHERE, NULL, 0, 0)
MB_CALL_ATTEMPT(try_request_key, __NR_request_key, MB_NOWHERE, MB_NOWHERE, NULL, 0)
MB_CALL_ATTEMPT(try_keyctl, __NR_keyctl, 0xffff, 0)

/* ---- the machine ---- */

MB_CALL_ATTEMPT(init_module, __NR_init_module, MB_NOWHERE, 0, MB_NOWHERE)
MB_CALL_ATTEMPT(finit_module, __NR_finit_module, -1, MB_NOWHERE, 0)
MB_CALL_ATTEMPT(delete_module, __NR_delete_module, MB_NOWHERE, O_NONBLOCK)
MB_CALL_ATTEMPT(kexec_load, __NR_kexec_load, 0, 1u << 20, MB_NOWHERE, 0x8000)
MB_CALL_ATTEMPT(try_reboot, __NR_reboot, 0, 0, 0xbad, NULL)
MB_CALL_ATTEMPT(try_swapon, __NR_swapon, MB_NOWHERE, 0)
MB_CALL_ATTEMPT(try_swapoff, __NR_swapoff, MB_NOWHERE)
MB_CALL_ATTEMPT(try_syslog, __NR_syslog, 2 /* SYSLOG_ACTION_READ */, NULL, -1)
MB_CALL_ATTEMPT(try_acct, __NR_acct, MB_NOWHERE)
MB_CALL_ATTEMPT(try_quotactl, __NR_quotactl, 0x80000700 /* Q_GETQUOTA */, MB_NOWHERE, 0, MB_NOWHERE)
/* Neither a time nor a zone: leave is asked for, and nothing set. */
MB_CALL_ATTEMPT(try_settimeofday, __NR_settimeofday, NULL, NULL)

#define NO_TICK { .modes = ADJ_TICK, .tick = 1 }

/* A clock that ticks once a second is refused, after leave was given. */
static int MB_ATTEMPT(try_adjtimex)
{
    struct timex about = NO_TICK;
    return mb_outcome(MB_QUIET(__NR_adjtimex, &about));
}

static int MB_ATTEMPT(try_clock_adjtime)
{
    struct timex about = NO_TICK;
    return mb_outcome(MB_QUIET(__NR_clock_adjtime, CLOCK_REALTIME, &about));
}

/* Of a new session, which has no terminal to hang up. */
static int MB_ATTEMPT(try_vhangup)
{
    return mb_setsid() < 0 ? MB_UNPROVABLE : mb_outcome(MB_QUIET(__NR_vhangup, 0));
}

MB_CALL_ATTEMPT(personality_no_random, __NR_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */)
MB_CALL_ATTEMPT(personality_high_bits, __NR_personality, 0x0040000 | MB_HIGH_BIT)
MB_CALL_ATTEMPT(personality_exec, __NR_personality, 0x0400000 /* READ_IMPLIES_EXEC */)

/* ---- other doors into the kernel ---- */

MB_CALL_ATTEMPT(unknown_call, NR_NONE, 0)

#if defined(__x86_64__)
MB_CALL_ATTEMPT(try_iopl, __NR_iopl, 3)
MB_CALL_ATTEMPT(try_ioperm, __NR_ioperm, 0x80, 1, 1)
MB_CALL_ATTEMPT(modify_ldt, __NR_modify_ldt, 0, MB_NOWHERE, 0)
MB_CALL_ATTEMPT(uselib, __NR_uselib, MB_NOWHERE)
MB_CALL_ATTEMPT(try_ustat, __NR_ustat, 0, MB_NOWHERE)
MB_CALL_ATTEMPT(try_sysfs, __NR_sysfs, 3, 0, 0)
MB_CALL_ATTEMPT(try_sysctl, __NR__sysctl, MB_NOWHERE)
MB_CALL_ATTEMPT(kexec_file_load, __NR_kexec_file_load, -1, -1, 0, NULL, 0xff00)
MB_CALL_ATTEMPT(nfsservctl, __NR_nfsservctl, 0, MB_NOWHERE, MB_NOWHERE)
MB_CALL_ATTEMPT(lookup_dcookie, __NR_lookup_dcookie, 0, MB_NOWHERE, 0)
MB_CALL_ATTEMPT(x32_entry, __NR_getpid | 0x40000000, 0)

/* getpid as a program of 32 bits asks for it. */
static int MB_ATTEMPT(entry_32_bit)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "r8", "r9", "r10", "r11", "memory");
    return mb_outcome((int)result);
}
#else
#define X86_ATTEMPT(name) static int MB_ATTEMPT(name) { return MB_UNPROVABLE; }
X86_ATTEMPT(try_iopl)
X86_ATTEMPT(try_ioperm)
X86_ATTEMPT(modify_ldt)
X86_ATTEMPT(uselib)
X86_ATTEMPT(try_ustat)
X86_ATTEMPT(try_sysfs)
X86_ATTEMPT(try_sysctl)
X86_ATTEMPT(kexec_file_load)
X86_ATTEMPT(nfsservctl)
X86_ATTEMPT(lookup_dcookie)
X86_ATTEMPT(x32_entry)
X86_ATTEMPT(entry_32_bit)
#endif

const struct mb_probe mb_kernel_probes[] = {
    { "kernel.host-mount-namespace", host_mount_namespace },
    { "kernel.host-ipc-namespace", host_ipc_namespace },
    { "kernel.host-uts-namespace", host_uts_namespace },
    { "kernel.host-cgroup-namespace", host_cgroup_namespace },
    { "kernel.new-user-namespace", unshare_user },
    { "kernel.new-user-and-network", unshare_user_net },
    { "kernel.new-user-and-mount", unshare_user_mount },
    { "kernel.new-mount-namespace", unshare_mount },
    { "kernel.new-network-namespace", unshare_net },
    { "kernel.new-pid-namespace", unshare_pid },
    { "kernel.new-ipc-namespace", unshare_ipc },
    { "kernel.new-uts-namespace", unshare_uts },
    { "kernel.new-cgroup-namespace", unshare_cgroup },
    { "kernel.new-time-namespace", unshare_time },
    { "kernel.clone-user-namespace", clone_user },
    { "kernel.clone-user-high-bits", clone_user_by_high_bits },
    { "kernel.clone3-user-namespace", clone3_user },
    { "kernel.clone3", clone3 },
    { "kernel.setns", try_setns },
    { "kernel.bpf", bpf },
    { "kernel.bpf-program", bpf_program },
    { "kernel.perf-event", try_perf_event },
    { "kernel.userfaultfd", userfaultfd },
    { "kernel.io-uring", io_uring },
    { "kernel.io-uring-enter", io_uring_enter },
    { "kernel.io-uring-register", io_uring_register },
    { "kernel.cachestat", cachestat },
    { "kernel.lease", lease },
    { "kernel.migrate-pages", migrate_pages },
    { "kernel.mbind", mbind },
    { "kernel.memory-policy", memory_policy },
    { "kernel.fanotify", fanotify },
    { "kernel.add-key", try_add_key },
    { "kernel.request-key", try_request_key },
    { "kernel.keyctl", try_keyctl },
    { "kernel.init-module", init_module },
    { "kernel.finit-module", finit_module },
    { "kernel.delete-module", delete_module },
    { "kernel.kexec-load", kexec_load },
    { "kernel.kexec-file-load", kexec_file_load },
    { "kernel.reboot", try_reboot },
    { "kernel.swapon", try_swapon },
    { "kernel.swapoff", try_swapoff },
    { "kernel.syslog", try_syslog },
    { "kernel.settimeofday", try_settimeofday },
    { "kernel.adjtimex", try_adjtimex },
    { "kernel.clock-adjtime", try_clock_adjtime },
    { "kernel.acct", try_acct },
    { "kernel.quotactl", try_quotactl },
    { "kernel.vhangup", try_vhangup },
    { "kernel.iopl", try_iopl },
    { "kernel.ioperm", try_ioperm },
    { "kernel.personality-no-random", personality_no_random },
    { "kernel.personality-high-bits", personality_high_bits },
    { "kernel.personality-exec", personality_exec },
    { "kernel.modify-ldt", modify_ldt },
    { "kernel.uselib", uselib },
    { "kernel.ustat", try_ustat },
    { "kernel.sysfs", try_sysfs },
    { "kernel.sysctl", try_sysctl },
    { "kernel.nfsservctl", nfsservctl },
    { "kernel.lookup-dcookie", lookup_dcookie },
    { "kernel.unknown-call", unknown_call },
    { "kernel.entry-32-bit", entry_32_bit },
    { "kernel.entry-x32", x32_entry },
    MB_END
};
