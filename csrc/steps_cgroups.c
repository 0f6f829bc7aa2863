/* Steps on cgroups, v1 and v2 alike: directories whose files are the caps and the figures. An engine
 * that is alive holds a lock on its directories, so what a dead one left can be told and swept. */
#include <linux/sched.h>
#include <sys/file.h>
#include "files.h"
#include "text.h"

#define PREFIX "minibox-"
#define DIGITS (sizeof ((struct mb_box *)NULL)->name - 1)

struct entry { uint64_t inode, next; uint16_t size; uint8_t type; char name[]; };

static void own_name(const struct mb_box *box, char name[MB_NAME])
{
    struct mb_line line = mb_line(name, MB_NAME);

    mb_put(&line, PREFIX);
    mb_put_bytes(&line, box->name, strnlen(box->name, sizeof box->name));
}

/* Remove cgroup *name* of *parent*, with those in it. */
static int remove_cgroup(int parent, const char *name, int depth)
{
    _Alignas(struct entry) char room[2048];
    int err = mb_unlinkat(parent, name, AT_REMOVEDIR);
    ssize_t size;

    if (err != -EBUSY || !depth)
        return err;
    MB_FD dir = mb_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    while (dir >= 0 && (size = mb_getdents64(dir, room, sizeof room)) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct entry *entry = (const void *)(room + at);
            if (entry->type == 4 /* DT_DIR */ && entry->name[0] != '.')
                remove_cgroup(dir, entry->name, depth - 1);
            at += entry->size;
        }
    return mb_unlinkat(parent, name, AT_REMOVEDIR);
}

/* A name that only a minibox gives. */
static bool is_box(const char *name)
{
    const char *digits = name + sizeof PREFIX - 1;

    return !strncmp(name, PREFIX, sizeof PREFIX - 1) && strlen(digits) == DIGITS &&
           strspn(digits, "0123456789abcdef") == DIGITS;
}

static void sweep(int parent, const char *name)
{
    MB_FD dir = mb_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

    if (dir < 0 || mb_flock(dir, LOCK_EX | LOCK_NB) < 0)
        return;                         /* its engine lives */
    mb_write_file(dir, "cgroup.kill", "1", 1);
    remove_cgroup(parent, name, 4);
}

int step_sweep_cgroups(struct mb_box *box, const struct mb_sweep_cgroups *step)
{
    _Alignas(struct entry) char room[4096];
    MB_FD parent = mb_open(mb_text(box->plan, step->parent), O_RDONLY | O_DIRECTORY);
    ssize_t size;

    if (parent < 0)
        return 0;                       /* whoever needs it will say why it is not there */
    while ((size = mb_getdents64(parent, room, sizeof room)) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct entry *entry = (const void *)(room + at);
            if (is_box(entry->name))
                sweep(parent, entry->name);
            at += entry->size;
        }
    return 0;
}

/* Open the new directory and lock it. -ENOENT: a sweeper came between and removed it. */
static int claim(int parent, const char *name)
{
    struct stat ours, there;
    MB_FD dir = mb_openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int err = dir < 0 ? dir : mb_flock(dir, LOCK_EX);

    if (!err)
        err = mb_fstat(dir, &ours);
    if (!err)
        err = mb_fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW);
    if (!err && ours.st_ino != there.st_ino)
        err = -ENOENT;
    return err ? err : mb_keep(&dir);
}

int step_make_cgroup(struct mb_box *box, const struct mb_make_cgroup *step)
{
    char name[MB_NAME];
    MB_FD parent = mb_open(mb_text(box->plan, step->parent), O_PATH | O_DIRECTORY);
    int dir = -ENOENT;

    own_name(box, name);
    if (parent < 0)
        return parent;
    for (int tries = 0; dir == -ENOENT && tries < 100; tries++) {
        int err = mb_mkdirat(parent, name, 0755);
        if (err)
            return err;
        dir = claim(parent, name);
    }
    if (dir < 0)
        return dir;
    box->cgroups[step->cgroup] = dir;
    box->cgroup_parents[step->cgroup] = mb_keep(&parent);
    return 0;
}

int step_write_cgroup(struct mb_box *box, const struct mb_write_cgroup *step)
{
    int err = mb_write_file(box->cgroups[step->cgroup], mb_text(box->plan, step->file),
                            mb_text(box->plan, step->value), step->value.len);

    return err == -ENOENT && step->optional ? 0 : err;
}

int step_watch_oom(struct mb_box *box, const struct mb_watch_oom *step)
{
    char order[48];
    struct mb_line line = mb_line(order, sizeof order);
    int dir = box->cgroups[step->cgroup];
    MB_FD control = mb_openat(dir, "memory.oom_control", O_RDONLY, 0);
    MB_FD event = control < 0 ? -1 : mb_eventfd2(0, O_NONBLOCK);

    if (control < 0 || event < 0)
        return control < 0 ? control : event;
    mb_put_u64(&line, (uint64_t)event);
    mb_put(&line, " ");
    mb_put_u64(&line, (uint64_t)control);
    int err = mb_write_file(dir, "cgroup.event_control", order, mb_line_size(&line));
    if (!err)
        box->oom_event = mb_keep(&event);
    return err;
}

int step_enter_cgroup(struct mb_box *box, const struct mb_enter_cgroup *step)
{
    char pid[24];
    struct mb_line line = mb_line(pid, sizeof pid);

    mb_put_u64(&line, (uint64_t)box->init_pid);
    return box->init_pid > 0 ? mb_write_file(box->cgroups[step->cgroup], "cgroup.procs", pid,
                                             mb_line_size(&line)) : -ESRCH;
}

int step_unshare_cgroup(struct mb_box *box, const struct mb_unshare_cgroup *step)
{
    (void)box, (void)step;
    return mb_unshare(CLONE_NEWCGROUP);
}

/* The sum of the numbers that follow *key* as a word of its own ("oom_kill 3", "8:0 rbytes=5"), or
 * the number that the text begins with where there is no key; -1 if there is none. A key of two words
 * means the second, in the line that begins with the first. */
static int64_t find(const char *text, const char *key, size_t key_size)
{
    int64_t sum = -1;
    const char *second = memchr(key, ' ', key_size), *end = text + strlen(text);

    if (second++) {
        while (text < end && strncmp(text, key, (size_t)(second - key)))
            text += strcspn(text, "\n") + 1;
        if (text >= end)
            return -1;
        end = text + strcspn(text, "\n");
        key_size -= (size_t)(second - key), key = second;
    }
    for (const char *at = text; at < end; at += strcspn(at, " \n"), at += strspn(at, " \n")) {
        const char *digit = at + (key_size ? key_size + 1 : 0);
        bool ours = !key_size || (!strncmp(at, key, key_size) && at[key_size] &&
                                  strchr(" =", at[key_size]));
        if (!ours || *digit < '0' || *digit > '9')
            continue;
        int64_t value = 0;
        for (; *digit >= '0' && *digit <= '9' && value < INT64_MAX / 10 - 9; digit++)
            value = value * 10 + (*digit - '0');
        sum = sum < 0 ? value : sum + value;
        if (!key_size)
            break;
    }
    return sum;
}

int step_read_cgroup(struct mb_box *box, const struct mb_read_cgroup *step)
{
    char text[8192];
    ssize_t size = mb_read_file(box->cgroups[step->cgroup], mb_text(box->plan, step->file), text,
                                sizeof text);
    int64_t value = size < 0 ? -1 : find(text, mb_text(box->plan, step->key), step->key.len);

    if (value < 0 && size >= 0 && step->per_device)
        value = 0;
    if (value >= 0 && value <= INT64_MAX / step->scale)
        box->figures[step->figure] = value * step->scale;
    return 0;
}

int step_remove_cgroup(struct mb_box *box, const struct mb_remove_cgroup *step)
{
    char name[MB_NAME];
    int parent = box->cgroup_parents[step->cgroup];

    own_name(box, name);
    return parent < 0 ? 0 : remove_cgroup(parent, name, 4);
}
