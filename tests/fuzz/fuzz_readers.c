/* What else in the engine reads bytes that others made, under a fuzzer: the program that could not be
 * executed (a file of the box), /proc/PID/stat (with a name that the box chose), messages on the link,
 * the engine's own arguments, and a filter of system calls with a call.  The first byte says which. */
#define main engine_main
#include "../../csrc/engine.c"
#undef main
#include "../../csrc/diagnose.c"
#include "../../csrc/init.c"
#include <stdio.h>
#include <unistd.h>
#include "../../csrc/seccomp.h"
#include "harness.h"

/* A file that was to be executed. At depth 0 it is not looked whether its interpreter is there: the
 * harness opens nothing of the host's that an input names. */
static void read_program(const uint8_t *data, size_t size)
{
    static const int errors[] = { ENOENT, ENOEXEC, EACCES, ELIBBAD };
    static char path[32];
    static int file = -1;
    struct finding finding = { .cause = MB_UNKNOWN };

    if (!size)
        return;
    if (file < 0) {
        file = memfd_create("program", MFD_CLOEXEC);
        EXPECT(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    EXPECT(!ftruncate(file, 0) && pwrite(file, data + 1, size - 1, 0) == (ssize_t)(size - 1));
    look_inside(path, errors[data[0] % 4], 0, &finding);
    EXPECT(finding.cause <= MB_BUSY && strnlen(finding.name, sizeof finding.name) < sizeof finding.name);
}

/* Of a line that the kernel wrote, the numbers are right whatever the name is; any other is survived. */
static void read_stat(const uint8_t *data, size_t size)
{
    static const char rest[] = ") R 1 2 3 4 5 6 7 8 9 10 1414 1515 1616 1717 18 19 20 21 22 23 2424 25";
    char *noise = malloc(size + 1), *line = malloc(size + 4 + sizeof rest);

    EXPECT(noise && line);
    memcpy(noise, data, size);
    noise[size] = 0;
    for (int field = 1; field < 60; field++)
        field_of(noise, field);
    memcpy(line, "42 (", 4);
    for (size_t n = 0; n < size; n++)
        line[4 + n] = data[n] ? (char)data[n] : '?';
    memcpy(line + 4 + size, rest, sizeof rest);
    EXPECT(field_of(line, 4) == 1 && field_of(line, 14) == 1414 && field_of(line, 15) == 1515);
    EXPECT(field_of(line, 16) == 1616 && field_of(line, 17) == 1717 && field_of(line, 24) == 2424);
    free(noise);
    free(line);
}

/* A message of any bytes and up to 15 descriptors, where up to three are awaited. */
static void read_message(const uint8_t *data, size_t size)
{
    union { struct cmsghdr head; char room[CMSG_SPACE(15 * sizeof(int))]; } control = {{ 0 }};
    struct iovec part = { (void *)(uintptr_t)(data + 1), size - 1 };
    struct msghdr all = { .msg_iov = &part, .msg_iovlen = 1 };
    struct mb_message message;
    int ends[2], fds[3], count = data[0] >> 4 & 3;

    EXPECT(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    if (data[0] & 15) {                             /* so many times descriptor 0 */
        control.head = (struct cmsghdr){ CMSG_LEN((data[0] & 15u) * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
        all.msg_control = &control;
        all.msg_controllen = control.head.cmsg_len;
    }
    EXPECT(sendmsg(ends[0], &all, 0) == (ssize_t)(size - 1));
    int err = mb_link_receive(ends[1], &message, fds, (size_t)count, MSG_DONTWAIT);
    EXPECT(err == 0 || err == -EPROTO || err == -EPIPE);
    EXPECT(err || size - 1 == sizeof message);
    for (int n = 0; n < count; n++)
        if (fds[n] >= 0)
            EXPECT(!close(fds[n]));
    EXPECT(mb_link_receive(ends[1], &message, fds, 0, MSG_DONTWAIT) == -EAGAIN);
    close(ends[0]);
    close(ends[1]);
    int next = dup(0);                              /* the lowest that is free: none was kept */
    EXPECT(next == ends[0]);
    close(next);
}

/* A call, and a filter of a plan, which is any array of numbers. */
static void read_filter(const uint8_t *data, size_t size)
{
    struct seccomp_data call;

    if (size < sizeof call)
        return;
    memcpy(&call, data, sizeof call);
    size_t count = (size - sizeof call) / sizeof(struct sock_filter);
    struct sock_filter *program = copy_of(data + sizeof call, count * sizeof *program);
    struct sock_fprog filter = { (unsigned short)count, program };
    uint32_t verdict = mb_filter_verdict(&filter, &call);
    bool returned = verdict == SECCOMP_RET_KILL_PROCESS;
    for (size_t n = 0; n < filter.len && !returned; n++)
        returned = program[n].code == (BPF_RET | BPF_K) && program[n].k == verdict;
    EXPECT(returned);
    EXPECT(!mb_filter_listens(&filter, false) || mb_filter_listens(&filter, true));
    free(program);
}

/* Arguments with a NUL after each. */
static void read_arguments(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *argv[64] = { "minibox-engine" };
    struct options options;
    int argc = 1;

    EXPECT(text);
    memcpy(text, data, size);
    text[size] = 0;
    for (size_t at = 0; at < size && argc < 63; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    if (read_options(&options, argc, argv)) {
        EXPECT((options.plan >= 3) == !options.file && (options.plan >= 3 || options.plan == -1));
        EXPECT((options.report >= 3 || options.report == -1) && options.report < 1 << 24);
        EXPECT((options.control >= 3 || options.control == -1) && (!options.tell || *options.tell));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const uint8_t *, size_t) = {
        read_program, read_stat, read_message, read_arguments, read_filter };

    if (size > 1) {
        uint8_t *copy = copy_of(data + 1, size - 1);
        readers[data[0] % 5](copy, size - 1);
        free(copy);
    }
    return 0;
}
