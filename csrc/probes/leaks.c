/* What a box can know of its host. */
#include <linux/utsname.h>
#include "attempts.h"

extern char **environ;

/* ---- names and numbers that only the host has ---- */

static int MB_ATTEMPT(host_name)
{
    const char *name = mb_given(given, "hostname");
    struct new_utsname about = {0};

    if (!name || MB_QUIET(__NR_uname, &about) < 0)
        return MB_UNPROVABLE;
    return strcmp(about.nodename, name) ? MB_HELD : MB_OPEN;
}

/* Does any of *paths* begin with *text*? */
static int begins_with(const char *const *paths, const char *text, struct mb_line *detail)
{
    char found[256];
    int result = -ENOENT;

    if (!text || !*text)
        return MB_UNPROVABLE;
    for (; *paths; paths++) {
        ssize_t size = mb_read_text(*paths, found, sizeof found);
        if (size > 0 && !strncmp(found, text, strlen(text))) {
            mb_put(detail, *paths);
            return MB_OPEN;
        }
        result = size >= 0 ? MB_HELD : result == -ENOENT ? (int)size : result;
    }
    return result;
}

static int MB_ATTEMPT(host_name_in_file)
{
    return begins_with(MB_PATHS("/etc/hostname", "/proc/sys/kernel/hostname"),
                       mb_given(given, "hostname"), detail);
}

static int MB_ATTEMPT(machine_id)
{
    return begins_with(MB_PATHS("/etc/machine-id", "/var/lib/dbus/machine-id"),
                       mb_given(given, "machine_id"), detail);
}

static int MB_ATTEMPT(boot_id)
{
    return begins_with(MB_PATHS("/proc/sys/kernel/random/boot_id"), mb_given(given, "boot_id"),
                       detail);
}

/* Is *what* anywhere in *text*, which may have zero bytes? */
static bool contains(const char *text, size_t size, const char *what)
{
    size_t length = strlen(what);

    for (const char *at = text; at + length <= text + size; at++)
        if (*at == *what && !strncmp(at, what, length))
            return true;
    return false;
}

static int MB_ATTEMPT(environment)
{
    const char *name = mb_given(given, "env");
    size_t size = name ? strlen(name) : 0;

    if (!name)
        return MB_UNPROVABLE;
    for (char **at = environ; *at; at++)
        if (!strncmp(*at, name, size) && (*at)[size] == '=')
            return MB_OPEN;
    return MB_HELD;
}

/* In that of any process but this program's own two. */
static int MB_ATTEMPT(environment_of_others)
{
    static char text[1 << 17];
    const char *canary = mb_given(given, "env"), *name;
    MB_FD proc = mb_open("/proc", O_RDONLY | O_DIRECTORY);
    struct mb_names processes = { .dir = proc };
    char path[64];

    if (!canary || proc < 0)
        return MB_UNPROVABLE;
    while ((name = mb_next_name(&processes))) {
        struct mb_line line = mb_line(path, sizeof path);
        uint64_t pid = mb_number_in(name);
        if (!mb_is_number(name) || pid == (uint64_t)mb_getpid() || pid == (uint64_t)mb_getppid())
            continue;
        mb_put(&line, "/proc/");
        mb_put(&line, name);
        mb_put(&line, "/environ");
        ssize_t size = mb_read_text(path, text, sizeof text);
        if (size > 0 && contains(text, (size_t)size, canary)) {
            mb_put(detail, path);
            return MB_OPEN;
        }
    }
    return MB_HELD;
}

/* Is the caller's home in the list of accounts? That of root is in every list. */
static int MB_ATTEMPT(accounts)
{
    static char text[1 << 16];
    const char *home = mb_given(given, "home");
    char field[256];
    struct mb_line line = mb_line(field, sizeof field);
    ssize_t size;

    if (!home || !strcmp(home, "/root") || !strcmp(home, "/"))
        return MB_UNPROVABLE;
    mb_put(&line, ":");
    mb_put(&line, home);
    mb_put(&line, ":");
    size = mb_read_text("/etc/passwd", text, sizeof text);
    if (size < 0)
        return (int)size;
    return contains(text, (size_t)size, field) ? MB_OPEN : MB_HELD;
}

/* ---- memory and messages by name ---- */

static int MB_ATTEMPT(key)
{
    const char *description = mb_given(given, "key");
    const int search = 10, session = -3;

    if (!description)
        return MB_UNPROVABLE;
    return mb_outcome(MB_QUIET(__NR_keyctl, search, session, "user", description, 0));
}

static int MB_ATTEMPT(shared_memory)
{
    int64_t key = mb_given_number(given, "shmkey");
    return key < 0 ? MB_UNPROVABLE : mb_outcome(MB_QUIET(__NR_shmget, key, 0, 0));
}

/* The files of /proc have a line of heads, whatever else there is. */
static int rows(const char *const *paths, struct mb_line *detail)
{
    static char text[1 << 14];
    int result = -ENOENT;

    for (; *paths; paths++) {
        ssize_t size = mb_read_text(*paths, text, sizeof text);
        const char *end = size > 0 ? strchr(text, '\n') : NULL;
        if (end && end[1]) {
            mb_put(detail, *paths);
            return MB_OPEN;
        }
        result = size >= 0 ? MB_HELD : result == -ENOENT ? (int)size : result;
    }
    return result;
}

static int MB_ATTEMPT(shared_memory_listed)
{
    return rows(MB_PATHS("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"), detail);
}

static int MB_ATTEMPT(shared_file)
{
    const char *name = mb_given(given, "shm");
    char path[128];
    struct mb_line line = mb_line(path, sizeof path);

    if (!name)
        return MB_UNPROVABLE;
    mb_put(&line, "/dev/shm/");
    mb_put(&line, name);
    return mb_try_file(path, O_RDONLY);
}

/* Is anything in any of these directories? */
static int entries(const char *const *paths, struct mb_line *detail)
{
    int result = -ENOENT;

    for (; *paths; paths++) {
        MB_FD dir = mb_open(*paths, O_RDONLY | O_DIRECTORY);
        struct mb_names names = { .dir = dir };
        const char *name = dir < 0 ? NULL : mb_next_name(&names);
        if (name) {
            mb_put(detail, *paths);
            mb_put(detail, "/");
            mb_put(detail, name);
            return MB_OPEN;
        }
        result = dir >= 0 ? MB_HELD : result == -ENOENT ? dir : result;
    }
    return result;
}

#define LIST_ATTEMPT(name, ...) \
    static int MB_ATTEMPT(name) { return entries(MB_PATHS(__VA_ARGS__), detail); }

LIST_ATTEMPT(shared_files_listed, "/dev/shm")
LIST_ATTEMPT(hardware, "/sys/devices", "/sys/bus")
LIST_ATTEMPT(file_systems, "/proc/fs/ext4", "/proc/fs/xfs", "/proc/fs/btrfs", "/proc/fs/jbd2")
LIST_ATTEMPT(disks_in_sysfs, "/sys/block", "/sys/dev/block")
LIST_ATTEMPT(modules_in_sysfs, "/sys/module")
LIST_ATTEMPT(firmware, "/sys/firmware", "/proc/acpi", "/proc/device-tree")
LIST_ATTEMPT(debugging, "/sys/kernel/debug", "/sys/kernel/tracing")
LIST_ATTEMPT(runtime_directories, "/run/user", "/run/systemd", "/run/lock")
LIST_ATTEMPT(packages, "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/pacman")
LIST_ATTEMPT(services, "/etc/systemd/system", "/etc/init.d")

/* Its own cgroup has none below it: any that is there is the host's, or another box's. */
static int MB_ATTEMPT(control_groups)
{
    static const char *const hierarchies[] = {
        "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd",
        "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu",
    };
    int result = -ENOENT;

    for (size_t at = 0; at < sizeof hierarchies / sizeof *hierarchies; at++) {
        MB_FD dir = mb_open(hierarchies[at], O_RDONLY | O_DIRECTORY);
        struct mb_names names = { .dir = dir };
        struct stat about;
        const char *name;
        if (dir < 0 || mb_fstatat(dir, "cgroup.procs", &about, 0) < 0)
            continue;                       /* a directory of hierarchies, or nothing */
        result = MB_HELD;
        while ((name = mb_next_name(&names)))
            if (mb_fstatat(dir, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode)) {
                mb_put(detail, name);
                return MB_OPEN;
            }
    }
    return result;
}

static int MB_ATTEMPT(home)
{
    const char *home = mb_given(given, "home");
    char path[256];
    struct mb_line line = mb_line(path, sizeof path);

    if (!home)
        return MB_UNPROVABLE;
    mb_put(&line, home);
    return entries(MB_PATHS(path), detail);
}

static int MB_ATTEMPT(homes)
{
    return entries(MB_PATHS("/home"), detail);
}

/* ---- servers that trust whoever is local ---- */

static int MB_ATTEMPT(service_sockets)
{
    static const char *const paths[] = {
        "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
        "/run/podman/podman.sock", "/run/crio/crio.sock", "/run/dbus/system_bus_socket",
        "/run/systemd/private", "/run/systemd/journal/socket", "/run/snapd.socket",
        "/run/libvirt/libvirt-sock", "/run/nscd/socket", "/run/acpid.socket", "/dev/log",
        "/tmp/.X11-unix/X0", "/run/udev/control",
    };
    int result = -ENOENT;

    for (size_t at = 0; at < sizeof paths / sizeof *paths; at++) {
        struct stat about;
        if (mb_fstatat(AT_FDCWD, paths[at], &about, 0) < 0 || !S_ISSOCK(about.st_mode))
            continue;
        result = mb_faccessat2(AT_FDCWD, paths[at], W_OK, AT_EACCESS);
        if (result == 0) {
            mb_put(detail, paths[at]);
            return MB_OPEN;
        }
    }
    return result;
}

/* ---- the kernel's own files ---- */

MB_READ_ATTEMPT(kernel_symbols, "/proc/kallsyms")
MB_READ_ATTEMPT(keys_listed, "/proc/keys", "/proc/key-users")
MB_READ_ATTEMPT(timers, "/proc/timer_list", "/proc/timer_stats")
MB_READ_ATTEMPT(interrupts, "/proc/interrupts", "/proc/softirqs")
MB_READ_ATTEMPT(locks, "/proc/locks")
MB_READ_ATTEMPT(hardware_in_proc, "/proc/bus/input/devices", "/proc/bus/pci/devices")
MB_READ_ATTEMPT(scheduler, "/proc/sched_debug", "/proc/latency_stats")
MB_READ_ATTEMPT(command_line, "/proc/cmdline")
MB_READ_ATTEMPT(allocations, "/proc/vmallocinfo")
MB_READ_ATTEMPT(slabs, "/proc/slabinfo")
MB_READ_ATTEMPT(page_types, "/proc/pagetypeinfo")
MB_READ_ATTEMPT(page_counts, "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup")
MB_READ_ATTEMPT(kernel_notes, "/sys/kernel/notes")
MB_READ_ATTEMPT(own_stack, "/proc/self/stack")
MB_READ_ATTEMPT(product, "/sys/class/dmi/id/product_uuid", "/sys/class/dmi/id/product_name",
                "/sys/class/dmi/id/sys_vendor", "/sys/hypervisor/uuid")
MB_READ_ATTEMPT(logins, "/var/log/wtmp", "/run/utmp", "/var/log/lastlog", "/var/log/btmp")

/* Only opened: who reads of the log takes that from others, and the image is as large as memory. */
MB_OPEN_ATTEMPT(kernel_log, O_RDONLY, "/proc/kmsg")
MB_OPEN_ATTEMPT(kernel_image, O_RDONLY, "/proc/kcore", "/proc/vmcore")

static int MB_ATTEMPT(disks)
{
    return rows(MB_PATHS("/proc/partitions", "/proc/diskstats"), detail);
}

static int MB_ATTEMPT(swap_areas)
{
    return rows(MB_PATHS("/proc/swaps"), detail);
}

static int MB_ATTEMPT(modules)
{
    return rows(MB_PATHS("/proc/modules"), detail);
}

/* Lines with addresses have zeros in their place for all but the host's root. */
static int addresses(const char *path)
{
    static char text[1 << 14];
    ssize_t size = mb_read_text(path, text, sizeof text);

    if (size < 0)
        return (int)size;
    for (const char *at = text; *at && *at != ':'; at++)
        if ((*at >= '1' && *at <= '9') || (*at >= 'a' && *at <= 'f'))
            return MB_OPEN;
    return MB_HELD;
}

static int MB_ATTEMPT(memory_map)
{
    return addresses("/proc/iomem");
}

static int MB_ATTEMPT(port_map)
{
    return addresses("/proc/ioports");
}

/* The number of the page of memory that a variable lies in; 0 for who must not know. */
static int MB_ATTEMPT(page_frames)
{
    const uint64_t number = (UINT64_C(1) << 55) - 1;
    uint64_t entry = 0;
    volatile char here = 1;
    MB_FD map = mb_open("/proc/self/pagemap", O_RDONLY);

    if (map < 0)
        return map;
    if (mb_pread(map, &entry, sizeof entry, (off_t)((uintptr_t)&here / 4096 * sizeof entry)) < 0)
        return MB_UNPROVABLE;
    return entry & number ? MB_OPEN : MB_HELD;
}

const struct mb_probe mb_leaks_probes[] = {
    { "leaks.hostname", host_name },
    { "leaks.hostname-in-file", host_name_in_file },
    { "leaks.machine-id", machine_id },
    { "leaks.boot-id", boot_id },
    { "leaks.environment", environment },
    { "leaks.environment-of-others", environment_of_others },
    { "leaks.accounts", accounts },
    { "leaks.key", key },
    { "leaks.keys-listed", keys_listed },
    { "leaks.shared-memory", shared_memory },
    { "leaks.shared-memory-listed", shared_memory_listed },
    { "leaks.shared-file", shared_file },
    { "leaks.shared-files-listed", shared_files_listed },
    { "leaks.home", home },
    { "leaks.homes", homes },
    { "leaks.runtime-directories", runtime_directories },
    { "leaks.service-sockets", service_sockets },
    { "leaks.services", services },
    { "leaks.packages", packages },
    { "leaks.logins", logins },
    { "leaks.kernel-log", kernel_log },
    { "leaks.kernel-image", kernel_image },
    { "leaks.kernel-symbols", kernel_symbols },
    { "leaks.kernel-notes", kernel_notes },
    { "leaks.command-line", command_line },
    { "leaks.modules", modules },
    { "leaks.modules-in-sysfs", modules_in_sysfs },
    { "leaks.timers", timers },
    { "leaks.interrupts", interrupts },
    { "leaks.locks", locks },
    { "leaks.scheduler", scheduler },
    { "leaks.allocations", allocations },
    { "leaks.slabs", slabs },
    { "leaks.page-types", page_types },
    { "leaks.page-counts", page_counts },
    { "leaks.page-frames", page_frames },
    { "leaks.own-stack", own_stack },
    { "leaks.memory-map", memory_map },
    { "leaks.port-map", port_map },
    { "leaks.disks", disks },
    { "leaks.disks-in-sysfs", disks_in_sysfs },
    { "leaks.swap-areas", swap_areas },
    { "leaks.file-systems", file_systems },
    { "leaks.hardware-in-proc", hardware_in_proc },
    { "leaks.hardware", hardware },
    { "leaks.product", product },
    { "leaks.firmware", firmware },
    { "leaks.debugging", debugging },
    { "leaks.control-groups", control_groups },
    MB_END
};
