/* Steps on user and group ids: which range a box gets, how its ids map to the host's, who it runs as. */
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/prctl.h>
#include <linux/wait.h>
#include "files.h"
#include "text.h"

/* Root's own, and nobody else may write it. */
static int check_owner(int fd)
{
    struct stat about;
    int err = mb_fstat(fd, &about);

    return err ? err : about.st_uid == mb_geteuid() && !(about.st_mode & 022) ? 0 : -EPERM;
}

static int open_lease_file(const char *path)
{
    char name[MB_NAME], parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    struct mb_line line = mb_line(parent, sizeof parent);
    struct mb_line last = mb_line(name, sizeof name);

    if (!slash)
        return -EINVAL;
    mb_put_bytes(&line, path, (size_t)(slash - path));
    mb_put(&last, slash + 1);
    int err = mb_mkdirat(AT_FDCWD, parent, 0700);
    if (err && err != -EEXIST)
        return err;
    MB_FD dir = mb_open(parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (dir < 0 || (err = check_owner(dir)))
        return dir < 0 ? dir : err;
    MB_FD file = mb_openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (file < 0 || (err = check_owner(file)))
        return file < 0 ? file : err;
    return mb_keep(&file);
}

/* The lock is the open file's own, so it lasts until engine and init are both dead. */
int step_lease_ids(struct mb_box *box, const struct mb_lease_ids *step)
{
    MB_FD file = open_lease_file(mb_text(box->plan, step->path));

    if (file < 0)
        return file;
    if (step->first + step->count * step->size > UINT32_MAX)
        return -EINVAL;
    for (int64_t n = 0; n < step->count; n++) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = n, .l_len = 1 };
        int err = mb_fcntl(file, F_OFD_SETLK, (long)&lock);
        if (err == -EAGAIN || err == -EACCES)
            continue;
        if (err)
            return err;
        box->lease = step->first + n * step->size;
        box->lease_fd = mb_keep(&file);
        return 0;
    }
    return -EUSERS;
}

/* One of "uid_map", "gid_map", "setgroups" of process *pid*, in our /proc or that of *dir*. */
static int write_map(int dir, pid_t pid, const char *file, const char *text, size_t size)
{
    char path[48];
    struct mb_line line = mb_line(path, sizeof path);

    mb_put(&line, dir < 0 ? "/proc/" : "");
    mb_put_u64(&line, (uint64_t)pid);
    mb_put(&line, "/");
    mb_put(&line, file);
    return mb_write_file(dir, path, text, size);
}

static int map(const struct mb_box *box, int dir, pid_t pid, const char *file, struct mb_list ids,
               int64_t base)
{
    char text[4096];                    /* the kernel takes less than a page */
    struct mb_line line = mb_line(text, sizeof text);

    for (uint32_t n = 0; n < ids.count; n++) {
        mb_put_i64(&line, mb_int_item(box->plan, ids, n) + (n % 3 == 1 ? base : 0));
        mb_put(&line, n % 3 == 2 ? "\n" : " ");
    }
    return write_map(dir, pid, file, text, mb_line_size(&line));
}

int mb_map_ids(const struct mb_box *box, int dir, pid_t pid, struct mb_list uids, struct mb_list gids,
               bool deny_setgroups, int64_t base)
{
    int err = deny_setgroups ? write_map(dir, pid, "setgroups", "deny", 4) : 0;

    if (!err)
        err = map(box, dir, pid, "gid_map", gids, base);
    return err ? err : map(box, dir, pid, "uid_map", uids, base);
}

int step_map_ids(struct mb_box *box, const struct mb_map_ids *step)
{
    if (box->init_pid <= 0 || (step->leased && box->lease < 0))
        return -ESRCH;
    return mb_map_ids(box, -1, box->init_pid, step->uids, step->gids, step->deny_setgroups,
                      step->leased ? box->lease : 0);
}

#define MAX_TRIPLES 32

struct helper { pid_t pid; int said; };

/* In the child: what the helper says goes to the pipe; the environment is empty. */
_Noreturn static void become_helper(const char *path, char *const *argv, int said)
{
    char *const environment[] = { NULL };
    const uint64_t none = 0;

    mb_sigprocmask(SIG_SETMASK, &none, NULL);
    mb_dup3(said, 1, 0);
    mb_dup3(said, 2, 0);
    mb_execve(path, argv, environment);
    mb_exit(127);
}

/* Start "helper PID INSIDE OUTSIDE COUNT ...". */
static int start_helper(const struct mb_box *box, struct mb_str path, struct mb_list ids,
                        struct helper *helper)
{
    char numbers[(3 * MAX_TRIPLES + 1) * 12], *argv[3 * MAX_TRIPLES + 3];
    struct mb_line line = mb_line(numbers, sizeof numbers);
    struct clone_args how = { .exit_signal = SIGCHLD };
    int ends[2];

    if (ids.count > 3 * MAX_TRIPLES)
        return -E2BIG;
    argv[0] = (char *)(uintptr_t)mb_text(box->plan, path);
    for (uint32_t n = 0; n <= ids.count; n++) {
        argv[n + 1] = line.at;
        mb_put_i64(&line, n ? mb_int_item(box->plan, ids, n - 1) : box->init_pid);
        mb_put_bytes(&line, "", 1);
    }
    argv[ids.count + 2] = NULL;
    int err = mb_faccessat2(AT_FDCWD, argv[0], 1 /* X_OK */, 0);
    if (err || (err = mb_pipe2(ends, 0)))
        return err;
    helper->pid = mb_clone3(&how);
    if (helper->pid == 0)
        become_helper(argv[0], argv, ends[1]);
    mb_close(ends[1]);
    helper->said = ends[0];
    return helper->pid < 0 ? helper->pid : 0;
}

/* Wait for it; what it said when it refused goes to the detail. */
static int end_helper(struct mb_box *box, struct helper *helper)
{
    char text[MB_DETAIL];
    size_t have = 0;
    ssize_t more;
    siginfo_t about = {0};

    if (helper->said < 0)
        return 0;
    while ((more = mb_read(helper->said, text + have, sizeof text - 1 - have)) > 0)
        have += (size_t)more;
    mb_close(helper->said);
    if (helper->pid < 0)
        return helper->pid;
    int err = mb_waitid(P_PID, helper->pid, &about, WEXITED, NULL);
    if (err || (about.si_code == CLD_EXITED && about.si_status == 0))
        return err;
    while (have && text[have - 1] == '\n')
        have--;
    text[have] = 0;
    mb_detail(box, text, "");
    mb_last_call = MB_CALL_EXECVE;
    return -EPERM;
}

int step_map_ids_with_helpers(struct mb_box *box, const struct mb_map_ids_with_helpers *step)
{
    struct helper gids = { -1, -1 }, uids = { -1, -1 };

    if (box->init_pid <= 0)
        return -ESRCH;
    int err = start_helper(box, step->gid_helper, step->gids, &gids);
    if (!err)
        err = start_helper(box, step->uid_helper, step->uids, &uids);
    int gid_err = end_helper(box, &gids), uid_err = end_helper(box, &uids);
    return err ? err : gid_err ? gid_err : uid_err;
}

/* Give back to the effective set what a change of ids took from it. */
static int keep_capabilities(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    int err = mb_capget(&head, data);
    if (err)
        return err;
    data[0].effective = data[0].permitted;
    data[1].effective = data[1].permitted;
    return mb_capset(&head, data);
}

/* Capabilities are a step of their own: init needs its own to the end, the app drops its later. */
int step_set_ids(struct mb_box *box, const struct mb_set_ids *step)
{
    gid_t groups[256];
    uid_t uid = (uid_t)step->uid;
    gid_t gid = (gid_t)step->gid;

    if (step->groups.count > sizeof groups / sizeof *groups)
        return -EINVAL;
    for (uint32_t n = 0; n < step->groups.count; n++)
        groups[n] = (gid_t)mb_int_item(box->plan, step->groups, n);
    int err = mb_prctl(PR_SET_KEEPCAPS, 1, 0, 0);
    if (!err && !step->keep_groups)
        err = mb_setgroups(step->groups.count, groups);
    if (!err)
        err = mb_setresgid(gid, gid, gid);
    if (!err)
        err = mb_setresuid(uid, uid, uid);
    return err ? err : keep_capabilities();
}
