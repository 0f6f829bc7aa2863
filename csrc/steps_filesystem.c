/* Steps that put the box's file system together: the stage, what is laid on it, the new root. */
#include "files.h"
#include "text.h"

#define MNT_DETACH 2

/* Set "*key*=*value*" of a file system that is being made. */
static int set_number(int fs, const char *key, int64_t value, bool octal)
{
    char text[24];
    struct mb_line line = mb_line(text, sizeof text);

    if (octal)
        mb_put_octal(&line, (uint64_t)value);
    else
        mb_put_i64(&line, value);
    return mb_fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0);
}

int mb_make_mount(struct mb_box *box, int fs, unsigned attributes)
{
    char said[MB_DETAIL];
    int err = mb_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    int mount = err ? err : mb_fsmount(fs, attributes);

    if (mount < 0) {
        enum mb_call call = mb_last_call;
        ssize_t size = mb_read(fs, said, sizeof said - 1);
        said[size > 0 ? size : 0] = 0;
        mb_detail(box, said, "");
        mb_last_call = call;
    }
    return mount;
}

int mb_mount_attributes(const struct mb_box *box, struct mb_list options)
{
    static const struct { const char *name; int flag; } known[] = {
        { "ro", MOUNT_ATTR_RDONLY }, { "nosuid", MOUNT_ATTR_NOSUID },
        { "nodev", MOUNT_ATTR_NODEV }, { "noexec", MOUNT_ATTR_NOEXEC },
    };
    int flags = 0;

    for (uint32_t n = 0; n < options.count; n++) {
        const char *name = mb_text(box->plan, mb_str_item(box->plan, options, n));
        int flag = 0;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            flag |= strcmp(name, known[k].name) ? 0 : known[k].flag;
        if (!flag)
            return -EINVAL;
        flags |= flag;
    }
    return flags;
}

/* Everything private, and owners shifted where the ids of process *init* say so. What a file
 * system can is known only of each: /usr may lie on an overlay, and a volume on ext4. */
int step_open_tree(struct mb_box *box, const struct mb_open_tree *step)
{
    struct mount_attr attributes = { .propagation = MS_PRIVATE };
    MB_FD tree = mb_open_tree(AT_FDCWD, mb_text(box->plan, step->source),
                              OPEN_TREE_CLONE | AT_RECURSIVE);
    MB_FD ids = -1;

    if (tree < 0)
        return tree;
    if (step->id_mapped) {
        char path[48];
        struct mb_line line = mb_line(path, sizeof path);
        mb_put(&line, "/proc/");
        mb_put_i64(&line, box->init_pid);
        mb_put(&line, "/ns/user");
        ids = mb_open(path, O_RDONLY);
        if (ids < 0)
            return ids;
        attributes.attr_set = MOUNT_ATTR_IDMAP;
        attributes.userns_fd = (unsigned)ids;
    }
    int err = mb_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes);
    if (err == -EINVAL && step->id_mapped) {
        attributes.attr_set = 0;
        err = mb_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes);
    }
    if (!err)
        box->trees[step->tree] = mb_keep(&tree);
    return err;
}

int step_stop_propagation(struct mb_box *box, const struct mb_stop_propagation *step)
{
    (void)box, (void)step;
    return mb_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

/* Moved onto "/": our own paths still start at the directory below it, the host's root. */
int step_mount_stage(struct mb_box *box, const struct mb_mount_stage *step)
{
    MB_FD fs = mb_fsopen("tmpfs");

    if (fs < 0)
        return fs;
    int err = set_number(fs, "size", step->size_bytes, false);
    if (!err)
        err = set_number(fs, "nr_inodes", step->inodes, false);
    if (!err)
        err = set_number(fs, "mode", 0755, true);
    MB_FD stage = err ? err : mb_make_mount(box, fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (stage < 0)
        return stage;
    err = mb_move_mount(stage, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
    if (!err)
        box->root = box->stage = mb_keep(&stage);
    return err;
}

/* A directory of the stage, by no link at all. */
static int open_on_stage(const struct mb_box *box, const char *path)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };

    return mb_openat2(box->stage, path, &how);
}

/* Overlayfs takes names only, so a verified descriptor is named by its place in /proc. */
static int set_layer(int fs, const char *key, int dir)
{
    char path[48];
    struct mb_line line = mb_line(path, sizeof path);

    mb_put(&line, "/proc/self/fd/");
    mb_put_i64(&line, dir);
    return dir < 0 ? dir : mb_fsconfig(fs, FSCONFIG_SET_STRING, key, path, 0);
}

/* Overlayfs that may not write to its work directory mounts all the same, and read-only. */
static int check_writable(struct mb_box *box, int mount)
{
    struct statfs about;
    int err = mb_fstatfs(mount, &about);

    if (err || !(about.f_flags & MS_RDONLY))
        return err;
    mb_detail(box, "the directory for what the box writes is not writable for it", "");
    return -EACCES;
}

int step_mount_overlay(struct mb_box *box, const struct mb_mount_overlay *step)
{
    MB_FD lower = open_on_stage(box, mb_text(box->plan, step->lower));
    MB_FD upper = lower < 0 ? lower : open_on_stage(box, mb_text(box->plan, step->upper));
    MB_FD work = upper < 0 ? upper : open_on_stage(box, mb_text(box->plan, step->work));
    MB_FD target = work < 0 ? work : open_on_stage(box, mb_text(box->plan, step->target));
    MB_FD fs = target < 0 ? target : mb_fsopen("overlay");

    if (fs < 0)
        return fs;
    int err = set_layer(fs, "lowerdir", lower);
    if (!err)
        err = set_layer(fs, "upperdir", upper);
    if (!err)
        err = set_layer(fs, "workdir", work);
    if (!err)                           /* trusted.* attributes are the host's root's only */
        err = mb_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0);
    MB_FD mount = err ? err : mb_make_mount(box, fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    err = mount < 0 ? mount : check_writable(box, mount);
    return err ? err : mb_attach(mount, target);
}

int step_use_root(struct mb_box *box, const struct mb_use_root *step)
{
    int root = open_on_stage(box, mb_text(box->plan, step->path));

    if (root < 0)
        return root;
    if (box->root != box->stage)
        mb_close(box->root);
    box->root = root;
    return 0;
}

int step_make_dir(struct mb_box *box, const struct mb_make_dir *step)
{
    const char *target = mb_text(box->plan, step->target);
    char name[MB_NAME];
    MB_FD there = mb_beneath(box->root, target, O_PATH | O_DIRECTORY);

    if (there >= 0)
        return 0;
    MB_FD parent = there == -ENOENT ? mb_make_parent(box->root, target, name) : there;
    if (parent < 0)
        return parent;
    int err = mb_mkdirat(parent, name, (mode_t)step->mode);
    if (err == -EEXIST && (there = mb_beneath(box->root, target, O_PATH | O_DIRECTORY)) >= 0)
        return 0;                       /* "new/../new", or another was quicker */
    if (err || (step->uid < 0 && step->gid < 0))
        return err;
    MB_FD made = mb_openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);   /* and nothing else */
    return made < 0 ? made : mb_fchownat(made, "", (uid_t)step->uid, (gid_t)step->gid, AT_EMPTY_PATH);
}

int step_make_link(struct mb_box *box, const struct mb_make_link *step)
{
    char name[MB_NAME];
    MB_FD parent = mb_make_parent(box->root, mb_text(box->plan, step->target), name);

    if (parent < 0)
        return parent;
    int err = mb_symlinkat(mb_text(box->plan, step->to), parent, name);
    return err == -EEXIST ? 0 : err;
}

/* A new file in the place of whatever has that name; a link there is replaced, never followed. */
static int create(const struct mb_box *box, struct mb_str target, int64_t mode)
{
    char name[MB_NAME];
    MB_FD parent = mb_make_parent(box->root, mb_text(box->plan, target), name);

    if (parent < 0)
        return parent;
    int err = mb_unlinkat(parent, name, 0);
    return err && err != -ENOENT ? err : mb_openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                                                   (mode_t)mode);
}

int step_make_file(struct mb_box *box, const struct mb_make_file *step)
{
    const char *content = mb_text(box->plan, step->content);
    MB_FD file = create(box, step->target, step->mode);
    size_t done = 0;

    if (file < 0)
        return file;
    while (done < step->content.len) {
        ssize_t more = mb_write(file, content + done, step->content.len - done);
        if (more < 0)
            return (int)more;
        done += (size_t)more;
    }
    return 0;
}

#define MAX_COPY (4 << 20)

int step_copy_file(struct mb_box *box, const struct mb_copy_file *step)
{
    struct stat about;
    MB_FD source = mb_open(mb_text(box->plan, step->source), O_RDONLY | O_NOCTTY | O_NONBLOCK);

    if (source < 0)
        return source == -ENOENT || source == -EACCES ? 0 : source;
    int err = mb_fstat(source, &about);
    if (err)
        return err;
    if (!S_ISREG(about.st_mode) || about.st_size > MAX_COPY)
        return S_ISREG(about.st_mode) ? -EFBIG : -EINVAL;
    MB_FD file = create(box, step->target, step->mode);
    if (file < 0)
        return file;
    ssize_t more;
    for (size_t left = MAX_COPY; left && (more = mb_sendfile(file, source, left)); left -= (size_t)more)
        if (more < 0)
            return (int)more;
    return 0;
}

int step_attach_tree(struct mb_box *box, const struct mb_attach_tree *step)
{
    int flags = mb_mount_attributes(box, step->options);
    struct mount_attr attributes = { .attr_set = (unsigned)flags };
    struct stat about;
    MB_FD tree = mb_keep(&box->trees[step->tree]);

    if (flags < 0)
        return flags;
    int err = mb_fstat(tree, &about);
    if (!err)
        err = mb_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes);
    if (err)
        return err;
    MB_FD target = mb_make_target(step->at_stage ? box->stage : box->root,
                                  mb_text(box->plan, step->target), S_ISDIR(about.st_mode));
    return target < 0 ? target : mb_attach(tree, target);
}

int step_mount_tmpfs(struct mb_box *box, const struct mb_mount_tmpfs *step)
{
    int flags = mb_mount_attributes(box, step->options);
    MB_FD fs = flags < 0 ? flags : mb_fsopen("tmpfs");

    if (fs < 0)
        return fs;
    int err = set_number(fs, "size", step->size_bytes, false);
    if (!err)
        err = set_number(fs, "nr_inodes", step->inodes, false);
    if (!err)
        err = set_number(fs, "mode", step->mode, true);
    if (!err && step->uid >= 0)
        err = set_number(fs, "uid", step->uid, false);
    if (!err && step->gid >= 0)
        err = set_number(fs, "gid", step->gid, false);
    MB_FD mount = err ? err : mb_make_mount(box, fs, (unsigned)flags);
    if (mount < 0)
        return mount;
    MB_FD target = mb_make_target(box->root, mb_text(box->plan, step->target), true);
    return target < 0 ? target : mb_attach(mount, target);
}

int step_mount_proc(struct mb_box *box, const struct mb_mount_proc *step)
{
    MB_FD fs = mb_fsopen("proc");
    int err = fs < 0 ? fs : 0;

    if (!err && step->hide_others)
        err = mb_fsconfig(fs, FSCONFIG_SET_STRING, "hidepid", "ptraceable", 0);
    if (err == -EINVAL)                 /* before Linux 5.8 */
        err = mb_fsconfig(fs, FSCONFIG_SET_STRING, "hidepid", "2", 0);
    MB_FD mount = err ? err : mb_make_mount(box, fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (mount < 0)
        return mount;
    MB_FD target = mb_make_target(box->root, mb_text(box->plan, step->target), true);
    err = target < 0 ? target : mb_attach(mount, target);
    if (!err)
        box->proc = mb_keep(&mount);
    return err;
}

int step_mount_sysfs(struct mb_box *box, const struct mb_mount_sysfs *step)
{
    MB_FD fs = mb_fsopen("sysfs");
    MB_FD mount = fs < 0 ? fs : mb_make_mount(box, fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                               MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

    if (mount < 0)
        return mount;
    MB_FD target = mb_make_target(box->root, mb_text(box->plan, step->target), true);
    return target < 0 ? target : mb_attach(mount, target);
}

int step_read_only_paths(struct mb_box *box, const struct mb_read_only_paths *step)
{
    struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
    MB_FD proc = -1;
    int err = 0;

    for (uint32_t n = 0; n < step->targets.count && !err; n++) {
        const char *path = mb_text(box->plan, mb_str_item(box->plan, step->targets, n));
        MB_FD target = mb_beneath_proc(box->root, &proc, path, O_PATH);
        if (target == -ENOENT || target == -ENOTDIR)
            continue;
        MB_FD tree = target < 0 ? target : mb_open_tree(target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE |
                                                                    AT_RECURSIVE);
        err = tree < 0 ? tree : mb_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes);
        if (!err)
            err = mb_attach(tree, target);
        if (err)
            mb_detail(box, path, "");
    }
    return err;
}

int step_remount_read_only(struct mb_box *box, const struct mb_remount_read_only *step)
{
    struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
    MB_FD target = mb_beneath(box->root, mb_text(box->plan, step->target), O_PATH);

    return target < 0 ? target : mb_mount_setattr(target, "", AT_EMPTY_PATH, &attributes);
}

/* The old root is put on top of the new one and taken off again: it needs no place in the box. A stage
 * that is not the new root lies on the old one; moved to a place below it, it goes along with it, and
 * saves an unmount's wait for other CPUs (0.1 ms). */
int step_pivot_root(struct mb_box *box, const struct mb_pivot_root *step)
{
    struct stat stage, root;
    int err = mb_fstat(box->stage, &stage), last = 0;

    (void)step;
    if (!err)
        err = mb_fstat(box->root, &root);
    if (!err && root.st_dev != stage.st_dev)
        last = mb_move_mount(box->stage, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH);
    if (!err)
        err = mb_fchdir(box->root);
    if (!err)
        err = mb_pivot_root(".", ".");
    if (!err && last)
        err = mb_umount2(".", MNT_DETACH);
    if (!err)
        err = mb_umount2(".", MNT_DETACH);
    if (!err)
        err = mb_chdir("/");
    if (box->stage != box->root)
        mb_close(box->stage);
    box->stage = -1;
    return err;
}

/* The kernel calls chrooted who has not the topmost mount of the namespace as the root. */
int step_change_root(struct mb_box *box, const struct mb_change_root *step)
{
    struct stat stage, root;
    int err = mb_fstat(box->stage, &stage);

    (void)step;
    if (!err)
        err = mb_fstat(box->root, &root);
    if (!err && root.st_dev != stage.st_dev)
        err = mb_attach(box->root, box->stage);
    if (!err)
        err = mb_fchdir(box->root);
    return err ? err : mb_chroot(".");
}
