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

/* Can any of *paths* (NULL ends them) be opened? The first that can is the detail. If none can: the
 * error of one that is there, ENOENT if none is; held, if it is masked. Nothing is read. */
int mb_open_any(const char *const *paths, int flags, struct mb_line *detail);

/* The same for files that are not empty. */
int mb_read_any(const char *const *paths, struct mb_line *detail);

#define MB_PATHS(...) (const char *const[]){ __VA_ARGS__, NULL }

/* An attempt to open any of some files. */
#define MB_OPEN_ATTEMPT(name, flags, ...) \
    static int MB_ATTEMPT(name) { return mb_open_any(MB_PATHS(__VA_ARGS__), flags, detail); }

/* An attempt to read any of some files. */
#define MB_READ_ATTEMPT(name, ...) \
    static int MB_ATTEMPT(name) { return mb_read_any(MB_PATHS(__VA_ARGS__), detail); }

/* The names in the open directory *dir*, one after another; zeroed, with *dir* set, to begin. */
struct mb_names { int dir; ssize_t size, at; _Alignas(8) char entries[2048]; };

/* The next name but "." and "..", NULL at the end or after an error. */
const char *mb_next_name(struct mb_names *names);

static inline bool mb_is_number(const char *name)
{
    return *name >= '1' && *name <= '9';
}

/* One mount of this process's, as /proc tells; the rest of the text is for the next. *options* and
 * *propagation* may be "". */
struct mb_mount { const char *point, *options, *propagation, *type; };

/* Read all mounts (up to a size that no host has): a text for mb_next_mount(), NULL without /proc. */
char *mb_mounts(void);
bool mb_next_mount(char **text, struct mb_mount *mount);

/* Is *word* in *list*, with commas between? */
bool mb_has_word(const char *list, const char *word);

/* Is the file in memory or in an overlay, and so the box's own, rather than the host's? */
bool mb_is_passing(int fd);

/* Open an unnamed file for writing in *directory*: nothing is left of it. Or -errno. */
int mb_unnamed_file(const char *directory);

/* The first number at or after *text*. */
uint64_t mb_number_in(const char *text);
