/* Streams that the engine carries, so that a box holds no file and no terminal of the host.  Nothing here
 * waits while the box lives, or a caller that does not read would keep the engine from its clocks. */
#include <asm/ioctls.h>
#include <linux/wait.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "engine.h"
#include "files.h"

#define END_OF_FILE 4                   /* Ctrl-D */

static bool waiting(const struct mb_relay *relay)
{
    return relay->end > relay->begin;
}

static void close_from(struct mb_relay *relay)
{
    if (relay->from > 2)
        mb_close(relay->from);
    relay->from = -1;
}

static void close_to(struct mb_relay *relay)
{
    if (relay->to > 2)
        mb_close(relay->to);
    relay->to = -1;
    relay->begin = relay->end = 0;
}

/* The caller's *stream*, as a description of our own that never waits: to set the caller's own so
 * would change it for all who have it. Where none can be had it is the caller's. */
static int reopen(int stream, int flags)
{
    char path[] = "/proc/self/fd/0";
    struct stat about;
    struct termios modes;

    path[sizeof path - 2] = (char)('0' + stream);
    if (mb_fstat(stream, &about) || mb_is_device(&about, 5, 2))
        return stream;                  /* 5:2: opened once more, it would be another terminal */
    if (!S_ISFIFO(about.st_mode) && mb_ioctl(stream, TCGETS, &modes))
        return stream;
    int fd = mb_open(path, flags | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? stream : fd;
}

static void open_relay(struct mb_relay *relay, int from, int to)
{
    struct stat about;
    long room = mb_mmap(MB_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    *relay = (struct mb_relay){ .from = from, .to = to, .buffer = (char *)room };
    if ((room < 0 && room > -4096) || from < 0 || to < 0 || mb_fstat(to, &about)) {
        close_from(relay);
        close_to(relay);
        return;
    }
    relay->socket = S_ISSOCK(about.st_mode);
    relay->never_waits = S_ISREG(about.st_mode) || mb_fcntl(to, F_GETFL, 0) & O_NONBLOCK;
}

void mb_relays_open(struct mb_engine *engine)
{
    struct mb_box *box = &engine->box;

    if (box->relays[0] >= 0)
        open_relay(&engine->in, reopen(0, O_RDONLY), box->relays[0]);
    for (int n = 0; n < 2; n++)
        if (box->relays[n + 1] >= 0)
            open_relay(&engine->out[n], box->relays[n + 1], reopen(n + 1, O_WRONLY));
}

/* ---- the caller's terminal ---- */

void mb_copy_size(int terminal)
{
    struct winsize size;

    for (int fd = 0; fd < 3; fd++)
        if (!mb_ioctl(fd, TIOCGWINSZ, &size)) {
            mb_ioctl(terminal, TIOCSWINSZ, &size);
            return;
        }
}

void mb_terminal_resize(struct mb_engine *engine)
{
    if (engine->box.terminal_master >= 0)
        mb_copy_size(engine->box.terminal_master);
}

/* A job in the background leaves the terminal's modes alone: they are the shell's. */
static bool in_foreground(void)
{
    pid_t group;

    return mb_ioctl(0, TIOCGPGRP, &group) || group == mb_getpgrp();
}

/* If the engine is killed, this child puts the terminal back as it was. */
static void keep_guard(struct mb_engine *engine)
{
    const struct clone_args how = { .exit_signal = SIGCHLD };
    int ends[2];
    char byte;

    if (engine->guard >= 0 || mb_pipe2(ends, 0))
        return;
    pid_t pid = mb_clone3(&how);
    if (pid == 0) {
        mb_dup3(ends[0], 1, 0);
        mb_close_range(2, ~0u, 0);
        if (mb_read(1, &byte, 1) == 0 && in_foreground())
            mb_ioctl(0, TCSETS, &engine->saved);    /* with a byte the engine says that it has */
        mb_exit(0);
    }
    mb_close(ends[0]);
    engine->guard = ends[1];
    engine->guard_pid = pid;
}

bool mb_terminal_raw(struct mb_engine *engine)
{
    if (engine->box.terminal_master < 0 || !engine->box.caller_stdin)
        return true;
    if (!in_foreground())
        return false;
    if (!engine->raw) {
        if (mb_ioctl(0, TCGETS, &engine->saved))
            return true;
        keep_guard(engine);
    }
    struct termios raw = engine->saved;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag &= ~(tcflag_t)OPOST;
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    mb_ioctl(0, TCSETS, &raw);
    engine->raw = true;
    mb_terminal_resize(engine);
    return true;
}

void mb_terminal_restore(struct mb_engine *engine)
{
    if (!engine->raw)
        return;
    if (in_foreground())
        mb_ioctl(0, TCSETS, &engine->saved);
    engine->raw = false;
    if (engine->guard < 0)
        return;
    mb_write(engine->guard, "", 1);
    mb_close(engine->guard);
    engine->guard = -1;
    mb_wait4(engine->guard_pid, NULL, 0, NULL);
}

void mb_relays_terminal(struct mb_engine *engine, int master)
{
    if (master < 0)
        return;
    mb_fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    engine->box.terminal_master = master;
    open_relay(&engine->out[0], mb_fcntl(master, F_DUPFD_CLOEXEC, 3), reopen(1, O_WRONLY));
    if (engine->box.caller_stdin)
        open_relay(&engine->in, reopen(0, O_RDONLY), mb_fcntl(master, F_DUPFD_CLOEXEC, 3));
    mb_terminal_raw(engine);
}

/* ---- carrying ---- */

static int poll_one(const struct mb_relay *relay, struct pollfd *fds)
{
    if (waiting(relay))
        *fds = (struct pollfd){ relay->to, POLLOUT, 0 };
    else
        *fds = (struct pollfd){ relay->paused ? -1 : relay->from, POLLIN, 0 };
    return 1;
}

int mb_relays_poll(struct mb_engine *engine, struct pollfd *fds)
{
    int count = poll_one(&engine->in, fds);

    count += poll_one(&engine->out[0], fds + count);
    return count + poll_one(&engine->out[1], fds + count);
}

static bool ready(int fd, short what)
{
    struct pollfd one = { fd, what, 0 };
    struct timespec none = { 0, 0 };

    return fd >= 0 && mb_ppoll(&one, 1, &none) > 0;
}

/* Read once what is there. */
static void take(struct mb_relay *relay)
{
    ssize_t size = mb_read(relay->from, relay->buffer, MB_BUFFER);

    if (size == -EAGAIN)
        return;
    if (size <= 0) {                                /* EIO: the last one left the terminal */
        close_from(relay);
        return;
    }
    relay->total += (uint64_t)size;
    relay->begin = 0;
    relay->end = (uint32_t)size;
}

/* Write once what is taken without waiting: that poll says it can be written to holds for a byte, and
 * only if nobody else writes meanwhile. */
static ssize_t write_some(const struct mb_relay *relay)
{
    struct iovec part = { relay->buffer + relay->begin, relay->end - relay->begin };
    struct msghdr all = { .msg_iov = &part, .msg_iovlen = 1 };

    if (relay->socket)
        return mb_sendmsg(relay->to, &all, MSG_DONTWAIT);
    if (relay->never_waits)
        return mb_write(relay->to, part.iov_base, part.iov_len);
    int flags = mb_fcntl(relay->to, F_GETFL, 0);    /* the caller's own: for this one call */
    mb_fcntl(relay->to, F_SETFL, flags | O_NONBLOCK);
    ssize_t done = mb_write(relay->to, part.iov_base, part.iov_len);
    mb_fcntl(relay->to, F_SETFL, flags);
    return done;
}

/* Write once what waits. */
static void hand_on(struct mb_relay *relay)
{
    ssize_t done = write_some(relay);

    if (done == -EAGAIN)
        return;
    if (done < 0) {                                 /* nobody reads, or the disk is full */
        relay->failed = (int)-done;
        close_to(relay);
        return;
    }
    relay->kept += (uint64_t)done;
    relay->begin += (uint32_t)done;
}

/* What exceeds the cap on both streams together is counted, and dropped. */
static void cut(struct mb_engine *engine, struct mb_relay *relay)
{
    uint64_t cap = engine->box.watch.output_bytes;
    uint64_t all = engine->out[0].total + engine->out[1].total;

    if (cap && all > cap) {
        uint64_t excess = all - cap;
        uint32_t size = relay->end - relay->begin;
        relay->end -= excess < size ? (uint32_t)excess : size;
    }
}

/* What can no longer be handed on the box is told of as it would be of any pipe: nobody reads it. But a
 * terminal is drained all the same. */
static void run_out(struct mb_engine *engine, struct mb_relay *relay)
{
    if (!waiting(relay) && ready(relay->from, POLLIN)) {
        take(relay);
        cut(engine, relay);
        if (relay->to < 0)
            relay->begin = relay->end = 0;
    }
    if (waiting(relay) && ready(relay->to, POLLOUT))
        hand_on(relay);
    if (relay->to < 0 && !engine->box.terminal)
        close_from(relay);
}

static void run_in(struct mb_engine *engine, struct mb_relay *relay)
{
    if (ready(relay->to, POLLERR))
        close_to(relay);                            /* the app has closed its stdin */
    if (relay->to < 0)
        close_from(relay);                          /* so it is left to others */
    if (!waiting(relay) && !relay->paused && ready(relay->from, POLLIN)) {
        relay->paused = !in_foreground();           /* then it is for the shell */
        if (!relay->paused)
            take(relay);
        if (relay->from < 0 && engine->box.terminal) {
            *relay->buffer = END_OF_FILE;
            relay->begin = 0;
            relay->end = 1;
        }
    }
    if (waiting(relay) && ready(relay->to, POLLOUT))
        hand_on(relay);
    if (relay->from < 0 && !waiting(relay) && !engine->box.terminal)
        close_to(relay);
}

void mb_relays_run(struct mb_engine *engine)
{
    run_in(engine, &engine->in);
    run_out(engine, &engine->out[0]);
    run_out(engine, &engine->out[1]);
}

bool mb_relays_over(const struct mb_engine *engine)
{
    uint64_t cap = engine->box.watch.output_bytes;

    return cap && engine->out[0].total + engine->out[1].total > cap;
}

/* Whether all that the dead box wrote has been handed on. */
static bool is_done(struct mb_relay *relay)
{
    if (!waiting(relay) && relay->from >= 0 && !ready(relay->from, POLLIN))
        close_from(relay);
    return relay->from < 0 && !waiting(relay);
}

/* Everything that the box wrote is in its pipes by now. A caller that reads gets all of it, however slowly;
 * one that does not is waited for until it says so, or for a second if the box had to be killed. */
void mb_relays_finish(struct mb_engine *engine)
{
    struct mb_relay *out = engine->out;

    while (!is_done(&out[0]) || !is_done(&out[1])) {
        struct pollfd fds[] = { { engine->signals, POLLIN, 0 }, { engine->control, POLLIN, 0 },
                                { waiting(&out[0]) ? out[0].to : -1, POLLOUT, 0 },
                                { waiting(&out[1]) ? out[1].to : -1, POLLOUT, 0 } };
        bool full = waiting(&out[0]) || waiting(&out[1]);
        struct timespec room = { full, 0 };
        int came = mb_ppoll(fds, 4, full && !engine->killed ? NULL : &room);
        if ((came == 0 && full) || fds[1].revents || (fds[0].revents && mb_told_to_end(engine)))
            return;
        run_out(engine, &out[0]);
        run_out(engine, &out[1]);
    }
}
