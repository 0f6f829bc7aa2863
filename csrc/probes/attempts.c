/* The common parts of attempts. */
#include "attempts.h"

uint64_t mb_number_in(const char *text)
{
    uint64_t number = 0;

    while (*text && (*text < '0' || *text > '9'))
        text++;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (uint64_t)(*text - '0');
    return number;
}

int64_t mb_given_number(const struct mb_given *given, const char *name)
{
    const char *text = mb_given(given, name);
    return text ? (int64_t)mb_number_in(text) : -1;
}

ssize_t mb_read_text(const char *path, char *text, size_t size)
{
    MB_FD fd = mb_open(path, O_RDONLY);
    size_t have = 0;
    ssize_t got = fd;

    *text = 0;
    if (fd < 0)
        return fd;
    while (have < size - 1 && (got = mb_read(fd, text + have, size - 1 - have)) > 0)
        have += (size_t)got;
    text[have] = 0;
    return got < 0 ? got : (ssize_t)have;
}

int mb_try_file(const char *path, int flags)
{
    MB_FD fd = mb_open(path, flags);
    char byte;

    if (fd < 0 || (flags & (O_WRONLY | O_RDWR | O_PATH | O_DIRECTORY)))
        return mb_outcome(fd);
    return mb_outcome(mb_read(fd, &byte, 1));
}

int mb_same_namespace(const struct mb_given *given, struct mb_line *detail, const char *kind)
{
    char name[16], path[32], link[64];
    struct mb_line argument = mb_line(name, sizeof name), at = mb_line(path, sizeof path);
    int64_t host;
    ssize_t size;

    mb_put(&argument, kind);
    mb_put(&argument, "ns");
    host = mb_given_number(given, name);
    mb_put(&at, "/proc/self/ns/");
    mb_put(&at, kind);
    size = MB_QUIET(__NR_readlinkat, AT_FDCWD, path, link, sizeof link - 1);
    if (host < 0 || size < 0)
        return MB_UNPROVABLE;
    link[size] = 0;
    mb_put(detail, link);
    return mb_number_in(link) == (uint64_t)host ? MB_OPEN : MB_HELD;
}
