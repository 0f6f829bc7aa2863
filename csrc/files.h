/* Small files and safe paths. */
#pragma once
#include "box.h"

/* Write *text* to the existing file *path* in one write, as the files of /proc and cgroups want it. */
int mb_write_file(int dir, const char *path, const char *text, size_t size);

/* The same for a file of this process's own directory in /proc, such as "oom_score_adj". */
int mb_write_self(const struct mb_box *box, const char *file, const char *text, size_t size);

/* Read a small file; the text ends with NUL. Its length or -errno. */
ssize_t mb_read_file(int dir, const char *path, char *text, size_t size);

/* Open *path* as if *root* were "/": no link in it leads out, and none through /proc. */
int mb_beneath(int root, const char *path, int flags);

/* The same; but what begins with "/proc/" is opened beneath the proc that is mounted there, which stays
 * open in *proc* (-1 before). -ESTALE if there is none. */
int mb_beneath_proc(int root, int *proc, const char *path, int flags);

/* Open the directory *path* beneath *root* as O_PATH; what is missing of it is made. */
int mb_make_dirs(int root, const char *path);

#define MB_NAME 256

/* Open the directory that *path*, beneath *root*, lies in, made if it is missing; its last name goes
 * to *name*. -EINVAL where the last name is ".", ".." or none. */
int mb_make_parent(int root, const char *path, char name[MB_NAME]);

/* Open *path* beneath *root* as O_PATH to mount on; a missing one is made, a directory or a file.
 * -ENOTDIR or -EISDIR if it is the other; -EBUSY if links lead to *root* itself, or into a proc. */
int mb_make_target(int root, const char *path, bool directory);

/* Attach the detached mount *mount* on *target*. */
static inline int mb_attach(int mount, int target)
{
    return mb_move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* Is this the device *major*:*minor*? */
static inline bool mb_is_device(const struct stat *about, unsigned major, unsigned minor)
{
    uint64_t device = about->st_rdev;   /* as the kernel puts it together; libc's macros are calls */
    return (S_ISCHR(about->st_mode) || S_ISBLK(about->st_mode)) &&
           (device >> 8 & 0xfff) == major && ((device & 0xff) | (device >> 12 & 0xfff00)) == minor;
}

/* Make the file system that was configured on *fs*; a detached mount of it, or -errno, and then what
 * the kernel said about it is the detail. */
int mb_make_mount(struct mb_box *box, int fs, unsigned attributes);

/* MOUNT_ATTR_ flags of options such as "ro"; -EINVAL for one that is none. */
int mb_mount_attributes(const struct mb_box *box, struct mb_list options);
