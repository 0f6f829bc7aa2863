/* Streams that the engine carries, so that a box holds no file and no terminal of the host. */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/wait.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "engine.h"

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

static void open_relay(struct mb_relay *relay, int from, int to)
{
    struct stat about;
    long room = mb_mmap(MB_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    *relay = (struct mb_relay){ .from = from, .to = to };
    if (room < 0 && room > -4096) {
        relay->from = relay->to = -1;
        return;
    }
    relay->buffer = (char *)room;
    relay->regular = to >= 0 && !mb_fstat(to, &about) && S_ISREG(about.st_mode);
}

void mb_relays_open(struct mb_engine *engine)
{
    struct mb_box *box = &engine->box;

    if (box->relays[0] >= 0)
        open_relay(&engine->in, 0, box->relays[0]);
    for (int n = 0; n < 2; n++)
        if (box->relays[n + 1] >= 0)
            open_relay(&engine->out[n], box->relays[n + 1], n + 1);
}

/* ---- the caller's terminal ---- */

static int terminal_of_caller(struct mb_engine *engine)
{
    for (int fd = 0; fd < 3; fd++)
        if (!mb_ioctl(fd, TCGETS, &engine->saved))
            return fd;
    return -1;
}

void mb_terminal_resize(struct mb_engine *engine)
{
    struct winsize size;

    for (int fd = 0; fd < 3 && engine->box.terminal_master >= 0; fd++)
        if (!mb_ioctl(fd, TIOCGWINSZ, &size)) {
            mb_ioctl(engine->box.terminal_master, TIOCSWINSZ, &size);
            return;
        }
}

/* If the engine is killed, this child puts the terminal back as it was. */
static void keep_guard(struct mb_engine *engine, int tty)
{
    const struct clone_args how = { .exit_signal = SIGCHLD };
    int ends[2];
    char byte;

    if (engine->guard >= 0 || mb_pipe2(ends, 0))
        return;
    pid_t pid = mb_clone3(&how);
    if (pid == 0) {
        mb_close(ends[1]);
        if (mb_read(ends[0], &byte, 1) == 0)        /* a byte: the engine has done it itself */
            mb_ioctl(tty, TCSETS, &engine->saved);
        mb_exit(0);
    }
    mb_close(ends[0]);
    engine->guard = ends[1];
}

void mb_terminal_raw(struct mb_engine *engine)
{
    int tty = engine->box.caller_stdin ? terminal_of_caller(engine) : -1;
    struct termios raw;

    if (tty < 0 || mb_ioctl(tty, TCGETS, &raw))
        return;
    keep_guard(engine, tty);
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag &= ~(tcflag_t)OPOST;
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (!mb_ioctl(tty, TCSETS, &raw))
        engine->tty = tty;
    mb_terminal_resize(engine);
}

void mb_terminal_restore(struct mb_engine *engine)
{
    if (engine->tty >= 0)
        mb_ioctl(engine->tty, TCSETS, &engine->saved);
    engine->tty = -1;
    if (engine->guard >= 0) {
        mb_write(engine->guard, "", 1);
        mb_close(engine->guard);
        mb_wait4(-1, NULL, __WALL, NULL);
    }
    engine->guard = -1;
}

void mb_relays_terminal(struct mb_engine *engine, int master)
{
    if (master < 0)
        return;
    mb_fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    engine->box.terminal_master = master;
    open_relay(&engine->out[0], master, 1);
    if (engine->box.caller_stdin)
        open_relay(&engine->in, 0, mb_fcntl(master, F_DUPFD_CLOEXEC, 3));
    mb_terminal_raw(engine);
    mb_terminal_resize(engine);
}

/* ---- carrying ---- */

static int poll_one(const struct mb_relay *relay, struct pollfd *fds)
{
    int count = 0;

    if (relay->from >= 0 && !waiting(relay))
        fds[count++] = (struct pollfd){ relay->from, POLLIN, 0 };
    if (relay->to >= 0 && waiting(relay))
        fds[count++] = (struct pollfd){ relay->to, POLLOUT, 0 };
    return count;
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

/* Read once. True if something came. */
static bool take(struct mb_relay *relay)
{
    ssize_t size = mb_read(relay->from, relay->buffer, MB_BUFFER);

    if (size == -EAGAIN)
        return false;
    if (size <= 0) {                                /* EIO: the last one left the terminal */
        close_from(relay);
        return false;
    }
    relay->total += (uint64_t)size;
    relay->begin = 0;
    relay->end = (uint32_t)size;
    return true;
}

/* Write once what waits: no more at a time than a pipe or a terminal takes without blocking. */
static void hand_on(struct mb_relay *relay)
{
    size_t size = relay->end - relay->begin;

    if (!relay->regular && size > 4096)
        size = 4096;
    ssize_t done = mb_write(relay->to, relay->buffer + relay->begin, size);
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

static void run_out(struct mb_engine *engine, struct mb_relay *relay)
{
    if (relay->from >= 0 && !waiting(relay) && ready(relay->from, POLLIN) && take(relay)) {
        cut(engine, relay);
        if (relay->to < 0)
            relay->begin = relay->end = 0;          /* drained all the same */
    }
    if (relay->to >= 0 && waiting(relay) && ready(relay->to, POLLOUT))
        hand_on(relay);
}

static void run_in(struct mb_relay *relay)
{
    if (relay->to >= 0 && ready(relay->to, POLLERR))
        close_to(relay);                            /* the app has closed its stdin */
    if (relay->to < 0)
        relay->from = -1;                           /* so it is left to others */
    if (relay->from >= 0 && !waiting(relay) && ready(relay->from, POLLIN))
        take(relay);
    if (relay->to >= 0 && waiting(relay) && ready(relay->to, POLLOUT))
        hand_on(relay);
    if (relay->from < 0 && relay->to >= 0 && !waiting(relay))
        close_to(relay);
}

void mb_relays_run(struct mb_engine *engine)
{
    run_in(&engine->in);
    run_out(engine, &engine->out[0]);
    run_out(engine, &engine->out[1]);
}

/* Everything that the box wrote is in its pipes by now. A caller that reads gets all of it; one that
 * stopped reading is not waited for once we are told to stop. */
void mb_relays_finish(struct mb_engine *engine)
{
    for (int n = 0; n < 2; n++) {
        struct mb_relay *relay = &engine->out[n];
        while (relay->from >= 0 || (relay->to >= 0 && waiting(relay))) {
            struct pollfd fds[2] = { { relay->to, POLLOUT, 0 }, { engine->signals, POLLIN, 0 } };
            if (waiting(relay) && mb_ppoll(fds, 2, NULL) >= 0 && fds[1].revents && !fds[0].revents)
                return;
            if (relay->from >= 0 && !waiting(relay) && !ready(relay->from, POLLIN))
                close_from(relay);
            run_out(engine, relay);
        }
    }
}
