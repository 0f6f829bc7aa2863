/* Steps on devices: what the box may see of them, its terminal, and what covers the rest. */
#include <asm/ioctls.h>
#include "files.h"
#include "link.h"

/* Open *path* if it is that character or block device, as O_PATH: opening it for real can have effects. */
static int open_device(const char *path, unsigned major, unsigned minor)
{
    struct stat about;
    MB_FD fd = mb_open(path, O_PATH);
    int err = fd < 0 ? fd : mb_fstat(fd, &about);

    if (err)
        return err;
    return mb_is_device(&about, major, minor) ? mb_keep(&fd) : -ENXIO;
}

/* Mount the one file *source* on *target*. */
static int bind_file(int source, int target, uint64_t attributes)
{
    struct mount_attr set = { .attr_set = attributes, .propagation = MS_PRIVATE };
    MB_FD tree = mb_open_tree(source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    int err = tree < 0 ? tree : mb_mount_setattr(tree, "", AT_EMPTY_PATH, &set);

    return err ? err : mb_attach(tree, target);
}

int step_bind_device(struct mb_box *box, const struct mb_bind_device *step)
{
    MB_FD source = open_device(mb_text(box->plan, step->source), (unsigned)step->major,
                               (unsigned)step->minor);
    MB_FD target = source < 0 ? source : mb_make_target(box->root, mb_text(box->plan, step->target),
                                                        false);

    return target < 0 ? target : bind_file(source, target, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

int step_mount_devpts(struct mb_box *box, const struct mb_mount_devpts *step)
{
    MB_FD fs = mb_fsopen("devpts");
    int err = fs < 0 ? fs : mb_fsconfig(fs, FSCONFIG_SET_FLAG, "newinstance", NULL, 0);

    if (!err)
        err = mb_fsconfig(fs, FSCONFIG_SET_STRING, "ptmxmode", "0666", 0);
    if (!err)
        err = mb_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0620", 0);
    MB_FD mount = err ? err : mb_make_mount(box, fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    if (mount < 0)
        return mount;
    MB_FD target = mb_make_target(box->root, mb_text(box->plan, step->target), true);
    return target < 0 ? target : mb_attach(mount, target);
}

int step_open_terminal(struct mb_box *box, const struct mb_open_terminal *step)
{
    const struct mb_message message = { .type = MB_TERMINAL };
    int unlocked = 0;
    MB_FD master = mb_beneath(box->root, "dev/pts/ptmx", O_RDWR | O_NOCTTY);
    int err = master < 0 ? master : mb_ioctl(master, TIOCSPTLCK, &unlocked);

    if (err)
        return err;
    MB_FD slave = mb_ioctl(master, TIOCGPTPEER, (void *)(O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (slave < 0)
        return slave;
    if (step->uid >= 0)
        err = mb_fchownat(slave, "", (uid_t)step->uid, (gid_t)-1, AT_EMPTY_PATH);
    mb_copy_size(master);               /* here, or the application may be quicker than the engine */
    if (!err)
        err = mb_link_send(box->link, &message, &master, 1);
    if (!err)
        box->terminal_slave = mb_keep(&slave);
    return err;
}

/* An empty directory that stays empty. */
static int cover_directory(struct mb_box *box, int target)
{
    MB_FD fs = mb_fsopen("tmpfs");
    int err = fs < 0 ? fs : mb_fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0);

    if (!err)
        err = mb_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0555", 0);
    MB_FD mount = err ? err : mb_make_mount(box, fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                                     MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return mount < 0 ? mount : mb_attach(mount, target);
}

static int cover(struct mb_box *box, int *proc, const char *path)
{
    struct stat about;
    MB_FD target = mb_beneath_proc(box->root, proc, path, O_PATH);

    if (target == -ENOENT || target == -ENOTDIR)
        return 0;
    int err = target < 0 ? target : mb_fstat(target, &about);
    if (err)
        return err;
    if (S_ISDIR(about.st_mode))
        return cover_directory(box, target);
    if (box->null < 0)
        box->null = open_device("/dev/null", 1, 3);
    return box->null < 0 ? box->null : bind_file(box->null, target, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

int step_mask_paths(struct mb_box *box, const struct mb_mask_paths *step)
{
    MB_FD proc = -1;
    int err = 0;

    for (uint32_t n = 0; n < step->targets.count && !err; n++) {
        const char *path = mb_text(box->plan, mb_str_item(box->plan, step->targets, n));
        err = cover(box, &proc, path);
        if (err)
            mb_detail(box, path, "");
    }
    return err;
}

/* Sixteen random bytes as random(4) writes them: 8-4-4-4-12 digits, version 4. */
static ssize_t random_id(char text[40])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    ssize_t got = mb_getrandom(bytes, sizeof bytes);
    char *at = text;

    if (got != sizeof bytes)
        return got < 0 ? got : -EIO;
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    for (unsigned n = 0; n < sizeof bytes; n++) {
        if (n == 4 || n == 6 || n == 8 || n == 10)
            *at++ = '-';
        *at++ = digits[bytes[n] >> 4];
        *at++ = digits[bytes[n] & 15];
    }
    *at++ = '\n';
    return at - text;
}

/* A file of the stage that loses its name as soon as it is mounted. */
int step_hide_boot_id(struct mb_box *box, const struct mb_hide_boot_id *step)
{
    static const char name[] = ".boot_id";
    char text[40];
    MB_FD proc = -1;
    MB_FD target = mb_beneath_proc(box->root, &proc, mb_text(box->plan, step->target), O_PATH);
    ssize_t size = random_id(text);

    if (target < 0 || size < 0)
        return target == -ENOENT ? 0 : target < 0 ? target : (int)size;
    MB_FD file = mb_openat(box->stage, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0444);
    if (file < 0)
        return file;
    ssize_t written = mb_write(file, text, (size_t)size);
    int err = written < 0 ? (int)written : bind_file(file, target, MOUNT_ATTR_RDONLY |
                                                    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    int removed = mb_unlinkat(box->stage, name, 0);
    return err ? err : removed;
}
