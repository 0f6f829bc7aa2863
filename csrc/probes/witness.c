/* minibox-probe --witness NONCE ACT…

   Does small acts where it is run, writes "ACT<TAB>outcome<TAB>detail" for each on a board, and stays
   until it is killed. Nothing is printed: who judges reads the board out of this process's memory, by
   the kernel, and so depends on nobody who could forge what a pipe carries.

     probe=ID,…    the probes of those names, a line each
     read=PATH     the beginning of a file
     memory=BYTES  touch so much memory, and keep it
     write=PATH:BYTES  a new file of so many bytes
     fork=COUNT    so many processes at once, which stay
     orphan=COUNT  so many processes whose parent dies before them, and that then end
     burn=MS       use CPU time
     call=NR:A:B…  one system call, its arguments as numbers, tried in a child
     escape=DIR    chroot to DIR and walk up from outside of it, in a child: is / another one then?
     gate=         wait until the judge has written to this process's memory that it may go on
     connect=@NAME, listen=@NAME, tcp=ADDRESS:PORT   sockets
     exit=STATUS, signal=NUMBER   end so, and stay no longer */
#include <linux/in.h>
#include <sys/mman.h>
#include <sys/un.h>
#include "witness.h"

#define FOREVER for (;;) mb_ppoll(NULL, 0, NULL)

/* Found in memory by its magic, which is put together here so that the file does not have it. */
static struct {
    char magic[16], nonce[64];
    volatile uint32_t done, size;       /* how many acts; how much of the text */
    volatile uint32_t waits, open;      /* at a gate; the judge sets *open* */
    char text[32768];
} board;

static int64_t number(const char **text)
{
    int sign = **text == '-' ? -1 : 1;
    int64_t value = 0;

    for (*text += sign < 0; **text >= '0' && **text <= '9'; ++*text)
        value = value * 10 + **text - '0';
    return sign * value;
}

static void put_result(struct mb_line *line, long result)
{
    mb_put(line, result < 0 ? "error\t" : "done\t");
    mb_put_i64(line, result < 0 ? -result : result);
}

static void do_read(const char *path, struct mb_line *line)
{
    char text[256];
    ssize_t size = mb_read_text(path, text, sizeof text);

    if (size < 0) {
        put_result(line, size);
        return;
    }
    mb_put(line, "done\t");
    for (ssize_t n = 0; n < size; n++)
        mb_put_bytes(line, (unsigned char)text[n] < ' ' ? "?" : text + n, 1);
}

static long do_memory(int64_t size)
{
    long room = mb_mmap((size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    if (room < 0 && room > -4096)
        return room;
    for (int64_t at = 0; at < size; at += 4096)
        ((volatile char *)room)[at] = 1;
    return size;
}

static long do_write(const char *path, const char *colon)
{
    static const char zeros[65536];
    char name[256];
    struct mb_line line = mb_line(name, sizeof name);
    const char *at = colon + 1;
    int64_t left = number(&at), all = left;

    mb_put_bytes(&line, path, (size_t)(colon - path));
    MB_FD file = mb_openat(AT_FDCWD, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        return file;
    while (left > 0) {
        ssize_t more = mb_write(file, zeros, left < (int64_t)sizeof zeros ? (size_t)left : sizeof zeros);
        if (more <= 0)
            return more < 0 ? more : -ENOSPC;
        left -= more;
    }
    return all;
}

static void rest(int64_t ms)
{
    const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

    mb_ppoll(NULL, 0, &time);
}

static long do_gate(void)
{
    board.waits = 1;
    while (!board.open)
        rest(1);
    board.waits = board.open = 0;
    return 0;
}

/* A child has no board, nor has what it makes: whoever of them outlives its parent is no second witness. */
static pid_t fork_one(void)
{
    pid_t pid = (pid_t)MB_QUIET(__NR_clone, SIGCHLD, 0, 0, 0, 0);

    if (pid == 0)
        board.magic[0] = 0;
    return pid;
}

static void do_fork(int64_t count, struct mb_line *line)
{
    long made = 0, pid = 0;

    for (; made < count && (pid = fork_one()) >= 0; made++)
        if (pid == 0)
            FOREVER;
    mb_put(line, pid < 0 ? "refused\t" : "done\t");
    mb_put_i64(line, made);
}

static long do_orphan(int64_t count)
{
    for (int64_t n = 0; n < count; n++) {
        pid_t pid = fork_one();
        if (pid == 0) {
            const pid_t parent = mb_getpid();   /* asked before it may be dead */
            if (fork_one() == 0)                /* ends once its parent has: then it is an orphan */
                while (mb_getppid() == parent)
                    rest(1);
            mb_exit(0);
        }
        if (pid < 0)
            return pid;
        int status;
        mb_wait4(pid, &status, 0, NULL);
    }
    return count;
}

static long do_burn(int64_t ms)
{
    while (mb_clock_ns(CLOCK_PROCESS_CPUTIME_ID) < (uint64_t)ms * 1000000)
        ;
    return ms;
}

/* What the kernel answers, or the signal that the caller gets for it. */
static void do_call(const char *text, struct mb_line *line)
{
    volatile long *answer = (long *)mb_mmap(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
    long given[7] = {0};
    int status = 0;

    for (size_t n = 0; n < 7; n++, text += *text == ':')
        given[n] = (long)number(&text);
    pid_t pid = fork_one();
    if (pid == 0) {
        *answer = mb_raw(given[0], given[1], given[2], given[3], given[4], given[5], given[6]);
        mb_exit(0);
    }
    if (pid > 0)
        mb_wait4(pid, &status, 0, NULL);
    if (status & 0x7f) {
        mb_put(line, "killed\t");
        mb_put_i64(line, status & 0x7f);
    } else if (pid < 0)
        mb_put(line, "unprovable\tthere can be no process to try it");
    else
        put_result(line, *answer);
}

/* Out of a chroot, as who may call it again gets out; from the root of a mount table nothing leads up. */
static long escape(const char *dir)
{
    struct stat before, after;
    long err = mb_fstatat(AT_FDCWD, "/", &before, 0);

    if (!err)
        err = mb_chroot(dir);
    for (int n = 0; n < 64 && !err; n++)
        err = mb_chdir("..");
    if (!err)
        err = mb_chroot(".");
    if (!err)
        err = mb_fstatat(AT_FDCWD, "/", &after, 0);
    return err ? err : before.st_dev != after.st_dev || before.st_ino != after.st_ino;
}

static void do_escape(const char *dir, struct mb_line *line)
{
    volatile long *answer = (long *)mb_mmap(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
    int status;
    pid_t pid = fork_one();

    if (pid == 0) {
        *answer = escape(dir);
        mb_exit(0);
    }
    if (pid > 0)
        mb_wait4(pid, &status, 0, NULL);
    put_result(line, pid < 0 ? pid : *answer);
}

static long do_abstract(const char *name, bool listening)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t size = strnlen(name, sizeof address.sun_path - 1);
    int fd = mb_socket(AF_UNIX, SOCK_STREAM, 0);
    long length = (long)(offsetof(struct sockaddr_un, sun_path) + size);

    memcpy(address.sun_path + 1, name + 1, size ? size - 1 : 0);    /* the "@" is a NUL */
    if (fd < 0)
        return fd;
    if (!listening)
        return MB_QUIET(__NR_connect, fd, &address, length);
    long err = MB_QUIET(__NR_bind, fd, &address, length);
    return err ? err : MB_QUIET(__NR_listen, fd, 8);
}

static long do_tcp(const char *text)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    uint32_t host = 0;

    for (int n = 0; n < 4; n++, text++)
        host = host << 8 | (uint32_t)number(&text);
    uint32_t port = (uint32_t)number(&text);
    address.sin_addr.s_addr = __builtin_bswap32(host);
    address.sin_port = (uint16_t)((port & 0xff) << 8 | port >> 8);
    int fd = mb_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    long err = fd < 0 ? fd : MB_QUIET(__NR_connect, fd, &address, sizeof address);
    if (err != -EINPROGRESS)
        return err;
    /* Longer than the second after which the kernel tries again: a new veth may lose a first packet. */
    const struct timespec patience = { 2, 500000000 };
    struct pollfd wait = { fd, POLLOUT, 0 };
    int said = ETIMEDOUT, size = sizeof said;
    if (mb_ppoll(&wait, 1, &patience) > 0)
        MB_QUIET(__NR_getsockopt, fd, SOL_SOCKET, SO_ERROR, &said, &size);
    return -said;
}

_Noreturn static void do_signal(int64_t signal)
{
    const uint64_t none = 0;

    mb_sigprocmask(SIG_SETMASK, &none, NULL);
    mb_kill(mb_getpid(), (int)signal);
    FOREVER;                            /* the first process of a namespace ignores most */
}

static void act(const char *verb, const char *value, struct mb_line *line)
{
    const char *at = value, *colon = strrchr(value, ':');

#define IS(name) (!strncmp(verb, name "=", sizeof name))
    if (IS("read"))
        do_read(value, line);
    else if (IS("memory"))
        put_result(line, do_memory(number(&at)));
    else if (IS("write") && colon)
        put_result(line, do_write(value, colon));
    else if (IS("fork"))
        do_fork(number(&at), line);
    else if (IS("orphan"))
        put_result(line, do_orphan(number(&at)));
    else if (IS("burn"))
        put_result(line, do_burn(number(&at)));
    else if (IS("call"))
        do_call(value, line);
    else if (IS("escape"))
        do_escape(value, line);
    else if (IS("gate"))
        put_result(line, do_gate());
    else if (IS("connect") || IS("listen"))
        put_result(line, do_abstract(value, *verb == 'l'));
    else if (IS("tcp"))
        put_result(line, do_tcp(value));
    else if (IS("exit"))
        mb_exit((int)number(&at));
    else if (IS("signal"))
        do_signal(number(&at));
    else
        mb_put(line, "unknown\t");
#undef IS
}

_Noreturn void mb_witness(const char *nonce, char *const *acts,
                          void (*probe)(const char *only, struct mb_line *board))
{
    struct mb_line line = mb_line(board.text, sizeof board.text);
    struct mb_line magic = mb_line(board.magic, sizeof board.magic);
    struct mb_line name = mb_line(board.nonce, sizeof board.nonce);

    mb_put(&name, nonce);
    mb_put(&magic, "minibox-");
    mb_put(&magic, "board");
    for (; *acts; acts++) {
        const char *equals = strchr(*acts, '=');
        if (!strncmp(*acts, "probe=", 6))
            probe(*acts + 6, &line);
        else if (equals) {
            mb_put(&line, *acts);
            mb_put(&line, "\t");
            act(*acts, equals + 1, &line);
            mb_put(&line, "\n");
        }
        board.size = (uint32_t)mb_line_size(&line);
        board.done++;
    }
    board.done = ~0u;                   /* all of them */
    FOREVER;
}
