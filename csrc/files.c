/* Small files and safe paths. A path of the box is walked beneath a directory's descriptor by the
 * kernel (RESOLVE_IN_ROOT), so a hostile root file system full of links changes nothing outside. */
#include <linux/limits.h>
#include <linux/magic.h>
#include <linux/prctl.h>
#include "files.h"
#include "text.h"

int mb_write_file(int dir, const char *path, const char *text, size_t size)
{
    MB_FD fd = mb_openat(dir, path, O_WRONLY | O_NOCTTY, 0);

    if (fd < 0)
        return fd;
    ssize_t written = mb_write(fd, text, size);
    return written < 0 ? (int)written : (size_t)written == size ? 0 : -EIO;
}

/* A process that changed its ids is not dumpable, and then its files in /proc belong to the host's
 * root, whom the box cannot be. */
int mb_write_self(const struct mb_box *box, const char *file, const char *text, size_t size)
{
    char path[64];
    struct mb_line line = mb_line(path, sizeof path);
    unsigned long dumpable = (unsigned long)mb_prctl(PR_GET_DUMPABLE, 0, 0, 0);

    mb_put(&line, box->proc < 0 ? "/proc/self/" : "self/");
    mb_put(&line, file);
    mb_prctl(PR_SET_DUMPABLE, 1, 0, 0);
    int err = mb_write_file(box->proc, path, text, size);
    enum mb_call call = mb_last_call;
    mb_prctl(PR_SET_DUMPABLE, dumpable, 0, 0);
    mb_last_call = call;
    return err;
}

ssize_t mb_read_file(int dir, const char *path, char *text, size_t size)
{
    MB_FD fd = mb_openat(dir, path, O_RDONLY | O_NOCTTY, 0);
    size_t have = 0;

    if (fd < 0)
        return fd;
    while (have < size - 1) {
        ssize_t more = mb_read(fd, text + have, size - 1 - have);
        if (more < 0)
            return more;
        if (more == 0)
            break;
        have += (size_t)more;
    }
    text[have] = 0;
    return (ssize_t)have;
}

/* EAGAIN: a mount or rename anywhere on the host, while ".." was walked. */
static int open_in_root(int root, const char *path, int flags, mode_t mode)
{
    struct open_how how = { .flags = (unsigned)(flags | O_CLOEXEC), .mode = mode,
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    int fd, tries = 1000;

    do
        fd = mb_openat2(root, path, &how);
    while (fd == -EAGAIN && --tries);
    return fd;
}

int mb_beneath(int root, const char *path, int flags)
{
    return open_in_root(root, path, flags, 0);
}

/* Whoever else may write to the root file system may have put something in the place of /proc since it
 * was mounted; what is to be covered would then stay open, unseen. */
static int open_proc(int root)
{
    struct statfs about;
    MB_FD proc = mb_beneath(root, "proc", O_PATH | O_DIRECTORY);

    return proc < 0 || mb_fstatfs(proc, &about) || about.f_type != PROC_SUPER_MAGIC ? -ESTALE
                                                                                   : mb_keep(&proc);
}

int mb_beneath_proc(int root, int *proc, const char *path, int flags)
{
    static const char prefix[] = "/proc/";
    const size_t size = sizeof prefix - 1;

    if (strncmp(path, prefix, size))
        return mb_beneath(root, path, flags);
    if (*proc < 0)
        *proc = open_proc(root);
    return *proc < 0 ? *proc : mb_beneath(*proc, path + size, flags);
}

/* Where the last name of *path* begins, and its length without slashes that follow it. */
static const char *last_name(const char *path, size_t *length)
{
    size_t end = strlen(path), start;

    while (end && path[end - 1] == '/')
        end--;
    for (start = end; start && path[start - 1] != '/'; start--)
        ;
    *length = end - start;
    return path + start;
}

/* Each directory on the way is looked up from the root again, so links on the way are followed as the
 * box will follow them; a new one is made in the directory before it. */
int mb_make_dirs(int root, const char *path)
{
    char prefix[PATH_MAX];
    int fd = mb_beneath(root, *path ? path : ".", O_PATH | O_DIRECTORY);
    size_t end = 0, size = strlen(path);

    if (fd != -ENOENT)
        return fd;
    if (size >= sizeof prefix)
        return -ENAMETOOLONG;
    memcpy(prefix, path, size + 1);
    fd = mb_beneath(root, ".", O_PATH | O_DIRECTORY);
    while (fd >= 0 && end < size) {
        MB_FD before = fd;
        size_t start = end + strspn(path + end, "/");
        end = start + strcspn(path + start, "/");
        prefix[end] = 0;
        fd = mb_beneath(root, prefix, O_PATH | O_DIRECTORY);
        if (fd == -ENOENT) {
            int err = mb_mkdirat(before, prefix + start, 0755);
            fd = err && err != -EEXIST ? err : mb_beneath(root, prefix, O_PATH | O_DIRECTORY);
        }
        prefix[end] = path[end];
    }
    return fd;
}

int mb_make_parent(int root, const char *path, char name[MB_NAME])
{
    char parent[PATH_MAX];
    size_t length;
    const char *last = last_name(path, &length);
    size_t before = (size_t)(last - path);

    if (before >= sizeof parent || length >= MB_NAME)
        return -ENAMETOOLONG;
    memcpy(parent, path, before);
    parent[before] = 0;
    memcpy(name, last, length);
    name[length] = 0;
    if (!length || !strcmp(name, ".") || !strcmp(name, ".."))
        return -EINVAL;
    return mb_make_dirs(root, parent);
}

/* An empty file; a dangling link is followed beneath the root. */
static int make_file(int root, const char *path)
{
    char name[MB_NAME];
    MB_FD parent = mb_make_parent(root, path, name);

    if (parent < 0)
        return parent;
    int fd = open_in_root(root, path, O_RDONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0644);
    if (fd < 0)
        return fd;
    mb_close(fd);
    return mb_beneath(root, path, O_PATH);
}

/* Links can make two places of the root file system one. What lies on the root itself would be seen by
 * "/.." alone, and what lies within /proc would hide what other steps have put, or write, there. */
static int check_target(int root, int target, const char *path, const struct stat *about)
{
    struct stat above;
    struct statfs where;
    int err = mb_fstat(root, &above);

    if (!err)
        err = mb_fstatfs(target, &where);
    if (err)
        return err;
    if (above.st_dev == about->st_dev && above.st_ino == about->st_ino)
        return -EBUSY;
    return where.f_type == PROC_SUPER_MAGIC && strcmp(path, "/proc") ? -EBUSY : 0;
}

int mb_make_target(int root, const char *path, bool directory)
{
    struct stat about;
    MB_FD fd = mb_beneath(root, path, O_PATH);

    if (fd == -ENOENT)
        fd = directory ? mb_make_dirs(root, path) : make_file(root, path);
    if (fd < 0)
        return fd;
    int err = mb_fstat(fd, &about);
    if (err)
        return err;
    if (!S_ISDIR(about.st_mode) == directory)
        return directory ? -ENOTDIR : -EISDIR;
    err = check_target(root, fd, path, &about);
    return err ? err : mb_keep(&fd);
}
