/* What attempts are made of: one call, one file, one comparison. */
#pragma once
#include "probes.h"

/* The head of an attempt, most of which need neither of their two arguments. */
#define MB_ATTEMPT(name) \
    name(__attribute__((unused)) const struct mb_given *given, \
         __attribute__((unused)) struct mb_line *detail)

/* An attempt that is one system call, and whether that succeeds. */
#define MB_CALL_ATTEMPT(name, ...) \
    static int MB_ATTEMPT(name) { return mb_outcome(MB_QUIET(__VA_ARGS__)); }

#define MB_END { NULL, NULL }

/* A bad address: what reads or writes there says EFAULT, when it has come so far. */
#define MB_NOWHERE ((void *)1)

/* What the kernel cuts off an int argument. */
#define MB_HIGH_BIT (1ul << 32)

static inline int mb_outcome(long result)
{
    return result < 0 ? (int)result : MB_OPEN;
}

/* The number that argument *name* gives, -1 if it was not given. */
int64_t mb_given_number(const struct mb_given *given, const char *name);

/* Read the beginning of the file *path* as a text. Its length or -errno. */
ssize_t mb_read_text(const char *path, char *text, size_t size);

/* Can a file be opened with *flags*, and, to read it, does a first read succeed? */
int mb_try_file(const char *path, int flags);

/* Is this process in the host's namespace of *kind* ("net", "pid" …), which *kind*ns=INODE names? */
int mb_same_namespace(const struct mb_given *given, struct mb_line *detail, const char *kind);

/* The first number at or after *text*. */
uint64_t mb_number_in(const char *text);
