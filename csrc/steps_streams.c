/* Steps on the standard streams: what of the caller's goes into the box, and how. */
#include <asm/ioctls.h>
#include <linux/magic.h>
#include <string.h>
#include "files.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

enum way { CLOSED, PASSED, RELAYED };

/* Only a pipe without a name and the null device pass straight through: through anything else the
 * box could reach a file, terminal or socket of the host. */
static enum way way_of(int stream)
{
    struct stat about;
    struct statfs where;

    if (mb_fstat(stream, &about))
        return CLOSED;
    if (mb_is_device(&about, 1, 3) && S_ISCHR(about.st_mode))
        return PASSED;
    return S_ISFIFO(about.st_mode) && !mb_fstatfs(stream, &where) && where.f_type == PIPEFS_MAGIC
           ? PASSED : RELAYED;
}

/* Out of the way of 0, 1 and 2, which may be closed. */
static int above_two(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int moved = mb_fcntl(fd, F_DUPFD_CLOEXEC, 3);
    mb_close(fd);
    return moved;
}

static int open_null(int stream)
{
    return above_two(mb_open("/dev/null", (stream ? O_WRONLY : O_RDONLY) | O_NOCTTY));
}

/* A pipe between the box's end and the engine's, which never blocks. */
static int make_relay(struct mb_box *box, int stream)
{
    int ends[2];
    int err = mb_pipe2(ends, 0);

    if (err)
        return err;
    MB_FD reads = above_two(ends[0]), writes = above_two(ends[1]);
    int *theirs = stream ? &writes : &reads, *ours = stream ? &reads : &writes;
    if (reads < 0 || writes < 0)
        return reads < 0 ? reads : writes;
    err = mb_fcntl(*ours, F_SETFL, O_NONBLOCK);
    if (err)
        return err;
    box->streams[stream] = mb_keep(theirs);
    box->relays[stream] = mb_keep(ours);
    return 0;
}

/* A pipe is opened anew through /dev/stdout, with its owner's rights; so it is to be the box's. */
static int give_pipe(const struct mb_box *box, int stream, int64_t owner)
{
    struct stat about;
    uid_t uid = (uid_t)(box->lease + owner);

    if (mb_fstat(stream, &about) || !S_ISFIFO(about.st_mode))
        return 0;
    return mb_fchownat(stream, "", uid, (gid_t)-1, AT_EMPTY_PATH);
}

int step_open_streams(struct mb_box *box, const struct mb_open_streams *step)
{
    box->terminal = step->terminal;
    box->caller_stdin = !strcmp(mb_text(box->plan, step->stdin), "caller");
    for (int stream = 0; stream < 3 && !box->terminal; stream++) {
        enum way way = stream || box->caller_stdin ? way_of(stream) : CLOSED;
        if (way == RELAYED && step->direct)
            way = PASSED;
        int err = 0;
        if (way == CLOSED)
            err = box->streams[stream] = open_null(stream);
        else if (way == PASSED && !(stream && step->relay))
            box->streams[stream] = stream;
        else
            err = make_relay(box, stream);
        if (err >= 0 && step->owner >= 0 && box->lease >= 0)
            err = give_pipe(box, box->streams[stream], step->owner);
        if (err < 0)
            return err;
    }
    return 0;
}

int step_new_session(struct mb_box *box, const struct mb_new_session *step)
{
    int err = mb_setsid();

    if (err < 0 || !step->terminal)
        return err < 0 ? err : 0;
    return mb_ioctl(box->terminal_slave, TIOCSCTTY, NULL);
}

int step_use_streams(struct mb_box *box, const struct mb_use_streams *step)
{
    (void)step;
    for (int stream = 0; stream < 3; stream++) {
        int from = box->terminal ? box->terminal_slave : box->streams[stream];
        int err = from == stream ? mb_fcntl(stream, F_SETFD, 0) : mb_dup3(from, stream, 0);
        if (err < 0)
            return err;
    }
    return 0;
}
