/* What bounds a box, and whether it can be moved.  All that is changed is this process's own. */
#include <linux/sysinfo.h>
#include <sys/mman.h>
#include "attempts.h"

/* More of it than this is no bound for a machine of any usual size. */
enum { MOST_PROCESSES = 16384, MOST_OPEN_FILES = 4096 };

/* Is the most that *resource* can be raised to above *bound*? */
static int bounded(int resource, uint64_t bound, struct mb_line *detail)
{
    struct rlimit limit = {0};
    int error = mb_prlimit64(0, resource, NULL, &limit);

    if (error)
        return error;
    if (limit.rlim_max == RLIM_INFINITY)
        mb_put(detail, "unlimited");
    else
        mb_put_u64(detail, limit.rlim_max);
    return limit.rlim_max > bound ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(core_dumps)
{
    return bounded(RLIMIT_CORE, 0, detail);
}

/* By its own limit, or by that of the cgroup where it is shown. */
static int MB_ATTEMPT(processes)
{
    static const char *const files[] = { "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max" };
    char text[32];

    for (size_t at = 0; at < sizeof files / sizeof *files; at++)
        if (mb_read_text(files[at], text, sizeof text) > 0 && mb_is_number(text) &&
            mb_number_in(text) <= MOST_PROCESSES)
            return MB_HELD;
    return bounded(RLIMIT_NPROC, MOST_PROCESSES, detail);
}

static int MB_ATTEMPT(open_files)
{
    return bounded(RLIMIT_NOFILE, MOST_OPEN_FILES, detail);
}

/* Of its own, lowered first: that cannot be taken back but with a capability. */
static int MB_ATTEMPT(hard_limit_raised)
{
    struct rlimit limit = {0}, lower;

    if (mb_prlimit64(0, RLIMIT_NOFILE, NULL, &limit) < 0 || limit.rlim_max < 2)
        return MB_UNPROVABLE;
    lower.rlim_max = limit.rlim_max - 1;
    lower.rlim_cur = limit.rlim_cur < lower.rlim_max ? limit.rlim_cur : lower.rlim_max;
    if (mb_prlimit64(0, RLIMIT_NOFILE, &lower, NULL) < 0)
        return MB_UNPROVABLE;
    return mb_outcome(mb_prlimit64(0, RLIMIT_NOFILE, &limit, NULL));
}

/* Addresses alone: a page is locked when it comes, and none comes. */
static int MB_ATTEMPT(locked_memory)
{
    const size_t size = 1u << 20;
    long at = mb_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    if (at < 0)
        return MB_UNPROVABLE;
    return mb_outcome(MB_QUIET(__NR_mlock2, at, size, 1 /* MLOCK_ONFAULT */));
}

/* ---- a larger share ---- */

/* Its own score, one less than it is. */
static int MB_ATTEMPT(oom_score)
{
    static const char path[] = "/proc/self/oom_score_adj";
    char text[16];
    struct mb_line line;
    int64_t score;

    if (mb_read_text(path, text, sizeof text) <= 0)
        return MB_UNPROVABLE;
    score = *text == '-' ? -(int64_t)mb_number_in(text) : (int64_t)mb_number_in(text);
    line = mb_line(text, sizeof text);
    mb_put_i64(&line, score - 1);
    MB_FD fd = mb_open(path, O_WRONLY);
    if (fd < 0)
        return fd;
    return mb_outcome(mb_write(fd, text, mb_line_size(&line)));
}

/* Is the box among the last that the kernel ends when memory is short? */
static int MB_ATTEMPT(oom_preference)
{
    char text[16];

    if (mb_read_text("/proc/self/oom_score_adj", text, sizeof text) <= 0)
        return MB_UNPROVABLE;
    mb_put_bytes(detail, text, strlen(text) - 1);
    return *text == '-' || mb_number_in(text) == 0 ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(priority)
{
    long now = MB_QUIET(__NR_getpriority, 0, 0);                        /* 20 - nice */

    if (now < 0)
        return (int)now;
    return mb_outcome(MB_QUIET(__NR_setpriority, 0, 0, 20 - now - 1));
}

static int MB_ATTEMPT(real_time)
{
    int one = 1;
    return mb_outcome(MB_QUIET(__NR_sched_setscheduler, 0, 1 /* SCHED_FIFO */, &one));
}

static int MB_ATTEMPT(deadline)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } wish = { .size = 48, .policy = 6 /* SCHED_DEADLINE */, .runtime_ns = 100000,
               .deadline_ns = 100000000, .period_ns = 100000000 };

    return mb_outcome(MB_QUIET(__NR_sched_setattr, 0, &wish, 0));
}

static int MB_ATTEMPT(disk_priority)
{
    return mb_outcome(MB_QUIET(__NR_ioprio_set, 1, 0, 1 << 13 /* IOPRIO_CLASS_RT */ | 4));
}

static int MB_ATTEMPT(pipe_size)
{
    int ends[2];

    if (mb_pipe2(ends, 0) < 0)
        return MB_UNPROVABLE;
    return mb_outcome(mb_fcntl(ends[1], 1031 /* F_SETPIPE_SZ */, 16 << 20));
}

/* ---- cgroups ---- */

MB_OPEN_ATTEMPT(cgroup_limits, O_WRONLY, "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max",
                "/sys/fs/cgroup/cgroup.max.depth", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/cpu/cpu.shares")
MB_OPEN_ATTEMPT(cgroup_entered, O_WRONLY, "/sys/fs/cgroup/cgroup.procs",
                "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs",
                "/sys/fs/cgroup/pids/cgroup.procs", "/sys/fs/cgroup/systemd/cgroup.procs")
MB_OPEN_ATTEMPT(cgroup_devices, O_WRONLY, "/sys/fs/cgroup/devices/devices.allow")

/* ---- room for files ---- */

struct room { uint64_t bytes, files; char where[64]; };

/* Note the room in *directory*, if one can write there. */
static void look(const char *directory, struct room *most)
{
    MB_FD fd = mb_unnamed_file(directory);
    struct statfs about;
    uint64_t bytes;

    if (fd < 0 || mb_fstatfs(fd, &about) < 0)
        return;
    bytes = (uint64_t)about.f_blocks * (uint64_t)about.f_bsize;
    if (!bytes || bytes > most->bytes) {
        struct mb_line where = mb_line(most->where, sizeof most->where);
        mb_put(&where, directory);
        most->bytes = bytes ? bytes : UINT64_MAX;
    }
    if (!about.f_files || about.f_files > most->files)
        most->files = about.f_files ? (uint64_t)about.f_files : UINT64_MAX;
}

/* The largest place to write in: where there usually is one, and at each mount. */
static struct room most_room(const struct mb_given *given)
{
    static const char *const usual[] = { "/", "/tmp", "/var/tmp", "/var", "/dev/shm", "/dev",
                                         "/run", "/home", "/root", "." };
    const char *home = mb_given(given, "home");
    struct room most = { 0, 0, "" };
    struct mb_mount mount;
    char *text = mb_mounts();

    for (size_t at = 0; at < sizeof usual / sizeof *usual; at++)
        look(usual[at], &most);
    if (home)
        look(home, &most);
    while (text && mb_next_mount(&text, &mount))
        look(mount.point, &most);
    return most;
}

static int MB_ATTEMPT(file_bytes)
{
    struct room most = most_room(given);
    struct sysinfo machine = {0};

    if (MB_QUIET(__NR_sysinfo, &machine) < 0)
        return MB_UNPROVABLE;
    mb_put_u64(detail, most.bytes >> 20);
    mb_put(detail, " MiB in ");
    mb_put(detail, most.where);
    return most.bytes > (uint64_t)machine.totalram * machine.mem_unit / 3 ? MB_OPEN : MB_HELD;
}

static int MB_ATTEMPT(file_count)
{
    const uint64_t few = 200000;
    struct room most = most_room(given);
    struct sysinfo machine = {0};
    uint64_t third;

    if (MB_QUIET(__NR_sysinfo, &machine) < 0)
        return MB_UNPROVABLE;
    third = (uint64_t)machine.totalram * machine.mem_unit / 4096 / 3;
    mb_put_u64(detail, most.files);
    return most.files > (third > few ? third : few) ? MB_OPEN : MB_HELD;
}

const struct mb_probe mb_resources_probes[] = {
    { "resources.core-dumps", core_dumps },
    { "resources.processes", processes },
    { "resources.open-files", open_files },
    { "resources.hard-limit-raised", hard_limit_raised },
    { "resources.locked-memory", locked_memory },
    { "resources.oom-score", oom_score },
    { "resources.oom-preference", oom_preference },
    { "resources.priority", priority },
    { "resources.real-time", real_time },
    { "resources.deadline", deadline },
    { "resources.disk-priority", disk_priority },
    { "resources.pipe-size", pipe_size },
    { "resources.cgroup-limits", cgroup_limits },
    { "resources.cgroup-entered", cgroup_entered },
    { "resources.cgroup-devices", cgroup_devices },
    { "resources.file-bytes", file_bytes },
    { "resources.file-count", file_count },
    MB_END
};
