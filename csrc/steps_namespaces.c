/* Steps that make the box's processes and namespaces, and what they tell each other meanwhile. */
#include <linux/if.h>
#include <linux/prctl.h>
#include <linux/sockios.h>
#include "files.h"
#include "link.h"
#include "text.h"

int step_watch(struct mb_box *box, const struct mb_watch *step)
{
    box->watch.walltime_ns = (uint64_t)step->walltime_ns;
    box->watch.cputime_ns = (uint64_t)step->cputime_ns;
    box->watch.output_bytes = (uint64_t)step->output_bytes;
    box->watch.rss_bytes = (uint64_t)step->rss_bytes;
    return 0;
}

int step_stop_with(struct mb_box *box, const struct mb_stop_with *step)
{
    box->watch.stop_signal = (int)step->signal;
    box->watch.stop_timeout_ns = (uint64_t)step->timeout_ns;
    return 0;
}

/* CLONE_ flags of the namespaces named in /proc/PID/ns; 0 for a name that is none. */
static uint64_t flag_of(const char *name)
{
    static const struct { const char *name; uint64_t flag; } kinds[] = {
        { "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS }, { "pid", CLONE_NEWPID },
        { "net", CLONE_NEWNET }, { "ipc", CLONE_NEWIPC }, { "uts", CLONE_NEWUTS },
        { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },
    };

    for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++)
        if (!strcmp(name, kinds[n].name))
            return kinds[n].flag;
    return 0;
}

/* Between clone and exec: init keeps nothing of the engine's but what the box is made of. */
_Noreturn static void become_init(struct mb_box *box, const int ends[2], uint64_t flags)
{
    mb_close(ends[0]);
    box->link = ends[1];
    box->init_pid = mb_getpid();
    for (int n = 0; n < 3; n++)
        if (box->relays[n] >= 0) {
            mb_close(box->relays[n]);
            box->relays[n] = -1;
        }
    if (!(flags & CLONE_NEWPID))
        box->proc = mb_open("/proc", O_PATH | O_DIRECTORY);
    mb_umask(0);                        /* modes are the plan's */
    mb_init(box);
}

int step_clone_init(struct mb_box *box, const struct mb_clone_init *step)
{
    struct clone_args how = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD,
                              .pidfd = (uintptr_t)&box->init_pidfd };
    int ends[2];

    for (uint32_t n = 0; n < step->namespaces.count; n++) {
        uint64_t flag = flag_of(mb_text(box->plan, mb_str_item(box->plan, step->namespaces, n)));
        if (!flag)
            return -EINVAL;
        how.flags |= flag;
    }
    if (step->cgroup >= 0) {
        how.flags |= CLONE_INTO_CGROUP;
        how.cgroup = (unsigned)box->cgroups[step->cgroup];
    }
    int err = mb_socketpair(AF_UNIX, SOCK_SEQPACKET, ends);
    if (err)
        return err;
    pid_t pid = mb_clone3(&how);
    if (pid == 0)
        become_init(box, ends, how.flags);
    mb_close(ends[1]);
    if (pid < 0) {
        mb_close(ends[0]);
        return pid;
    }
    box->init_pid = pid;
    box->link = ends[0];
    for (int n = 0; n < 3; n++)         /* else a relay would never see the end of its stream */
        if (box->streams[n] > 2) {
            mb_close(box->streams[n]);
            box->streams[n] = -1;
        }
    return 0;
}

int step_release(struct mb_box *box, const struct mb_release *step)
{
    struct mb_message message = { .type = MB_RELEASED, .value = (int32_t)step->gate };
    int fds[MB_MAX_TREES];
    size_t count = 0;

    for (int n = 0; n < MB_MAX_TREES; n++)
        if (box->trees[n] >= 0) {
            message.data[0] |= UINT64_C(1) << n;
            fds[count++] = box->trees[n];
            box->trees[n] = -1;
        }
    int err = mb_link_send(box->link, &message, fds, count);
    while (count)
        mb_close(fds[--count]);
    return err;
}

int step_await(struct mb_box *box, const struct mb_await *step)
{
    struct mb_message message;
    int fds[MB_MAX_TREES];
    size_t came = 0;
    int err = mb_link_receive(box->link, &message, fds, MB_MAX_TREES, 0);

    if (err)
        return err;
    if (message.type != MB_RELEASED || message.value != step->gate)
        return -EPROTO;
    for (int n = 0; n < MB_MAX_TREES; n++)
        if (message.data[0] >> n & 1)
            box->trees[n] = fds[came++];
    return 0;
}

int step_bring_up_loopback(struct mb_box *box, const struct mb_bring_up_loopback *step)
{
    struct ifreq request = { .ifr_name = "lo" };
    MB_FD fd = mb_socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)box, (void)step;
    if (fd < 0)
        return fd;
    int err = mb_ioctl(fd, SIOCGIFFLAGS, &request);
    if (err)
        return err;
    request.ifr_flags |= IFF_UP;
    return mb_ioctl(fd, SIOCSIFFLAGS, &request);
}

int step_set_hostname(struct mb_box *box, const struct mb_set_hostname *step)
{
    return mb_sethostname(mb_text(box->plan, step->name), step->name.len);
}

static void put_offset(struct mb_line *line, const char *clock, int64_t ns)
{
    int64_t seconds = ns / 1000000000, rest = ns % 1000000000;

    if (rest < 0) {
        seconds--;
        rest += 1000000000;
    }
    mb_put(line, clock);
    mb_put_i64(line, seconds);
    mb_put(line, " ");
    mb_put_i64(line, rest);
    mb_put(line, "\n");
}

/* A namespace of its own: offsets can be set only while no process is in it, and init's are fixed. */
int step_offset_clocks(struct mb_box *box, const struct mb_offset_clocks *step)
{
    char text[128];
    struct mb_line line = mb_line(text, sizeof text);
    int err = mb_unshare(CLONE_NEWTIME);

    if (err)
        return err;
    put_offset(&line, "monotonic ", step->monotonic_ns);
    put_offset(&line, "boottime ", step->boottime_ns);
    box->child_shift_ns = step->monotonic_ns;
    return mb_write_self(box, "timens_offsets", text, mb_line_size(&line));
}

int step_open_limits(struct mb_box *box, const struct mb_open_limits *step)
{
    MB_FD proc = -1;

    (void)step;
    box->limits = mb_beneath_proc(box->root, &proc, "/proc/sys/user", O_PATH | O_DIRECTORY);
    return box->limits < 0 ? box->limits : 0;
}

/* The files are those of the opener's own user namespace, wherever proc is mounted. */
int step_limit_namespaces(struct mb_box *box, const struct mb_limit_namespaces *step)
{
    static const char *const files[] = {
        "max_cgroup_namespaces", "max_ipc_namespaces", "max_mnt_namespaces", "max_net_namespaces",
        "max_pid_namespaces", "max_time_namespaces", "max_uts_namespaces" };
    MB_FD limits = mb_keep(&box->limits);
    int err = mb_write_file(limits, "max_user_namespaces", step->more_user ? "1" : "0", 1);

    for (size_t n = 0; n < sizeof files / sizeof *files && !err; n++) {
        err = mb_write_file(limits, files[n], "0", 1);
        if (err == -ENOENT)             /* a kind that this kernel has not */
            err = 0;
    }
    return err;
}

/* Between clone and exec: the app waits until its ids are mapped; if init dies before, so does it. */
_Noreturn static void become_app(struct mb_box *box, const int gate[2])
{
    char go;

    mb_close(gate[1]);
    if (mb_read(gate[0], &go, 1) != 1)
        mb_exit(125);
    mb_close(gate[0]);
    box->engine_link = box->link;
    box->link = -1;
    box->clock_shift_ns = box->child_shift_ns;
    mb_app(box);
}

static int map_app(struct mb_box *box, const struct mb_clone_app *step)
{
    MB_FD opened = box->proc < 0 ? mb_beneath(box->root, "proc", O_PATH | O_DIRECTORY) : -1;
    int proc = box->proc < 0 ? opened : box->proc;

    if (proc < 0)
        return proc;
    return mb_map_ids(box, proc, box->app_pid, step->uids, step->gids, step->deny_setgroups, 0);
}

int step_clone_app(struct mb_box *box, const struct mb_clone_app *step)
{
    struct clone_args how = { .flags = CLONE_PIDFD | (step->nested ? CLONE_NEWUSER : 0),
                              .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&box->app_pidfd };
    int gate[2];

    int err = mb_pipe2(gate, 0);
    if (err)
        return err;
    MB_FD ours = gate[1], theirs = gate[0];
    mb_prctl(PR_SET_DUMPABLE, 1, 0, 0); /* the app, or its maps could not be written; as after exec */
    pid_t pid = mb_clone3(&how);
    if (pid == 0)
        become_app(box, gate);
    if (pid < 0)
        return pid;
    mb_prctl(PR_SET_DUMPABLE, 0, 0, 0); /* init: the app learns nothing from it */
    box->app_pid = pid;
    err = step->nested ? map_app(box, step) : 0;
    if (err)
        return err;
    ssize_t sent = mb_write(ours, "", 1);
    return sent < 0 ? (int)sent : 0;
}
