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

/* ---- several files ---- */

/* Of two errors, the one that tells more: that there is no such file tells least. */
static int graver(int error, int than)
{
    return than == -ENOENT ? error : than;
}

/* Is it the null device?  One that lies on another file masks it. */
static bool is_null(int fd)
{
    struct stat about = {0};
    return mb_fstat(fd, &about) == 0 && S_ISCHR(about.st_mode) && about.st_rdev == (1 << 8 | 3);
}

int mb_open_any(const char *const *paths, int flags, struct mb_line *detail)
{
    int result = -ENOENT;

    for (; *paths; paths++) {
        MB_FD fd = mb_open(*paths, flags | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0 && !is_null(fd)) {
            mb_put(detail, *paths);
            return MB_OPEN;
        }
        result = graver(fd < 0 ? fd : MB_HELD, result);
    }
    return result;
}

int mb_read_any(const char *const *paths, struct mb_line *detail)
{
    int result = -ENOENT;

    for (; *paths; paths++) {
        MB_FD fd = mb_open(*paths, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        uint64_t some;                      /* /proc/kpagecount gives no less */
        ssize_t got = fd < 0 ? fd : mb_read(fd, &some, sizeof some);
        if (got > 0) {
            mb_put(detail, *paths);
            return MB_OPEN;
        }
        result = graver(got < 0 ? (int)got : MB_HELD, result);
    }
    return result;
}

const char *mb_next_name(struct mb_names *names)
{
    const char *name;

    do {
        if (names->at >= names->size) {
            names->at = 0;
            names->size = mb_getdents64(names->dir, names->entries, sizeof names->entries);
            if (names->size <= 0)
                return NULL;
        }
        name = names->entries + names->at + 19;         /* struct linux_dirent64 */
        names->at += *(uint16_t *)(void *)(names->entries + names->at + 16);
    } while (!strcmp(name, ".") || !strcmp(name, ".."));
    return name;
}

/* ---- mounts ---- */

char *mb_mounts(void)
{
    static char text[1 << 18];
    return mb_read_text("/proc/self/mountinfo", text, sizeof text) > 0 ? text : NULL;
}

/* Take the text up to *end* off *at*; NULL if there is none. */
static char *take(char **at, char end)
{
    char *start = *at, *found = strchr(start, end);

    if (!found)
        return NULL;
    *found = 0;
    *at = found + 1;
    return start;
}

/* "21 1 8:1 /root /point options shared:1 master:2 - type source options" */
bool mb_next_mount(char **text, struct mb_mount *mount)
{
    char *line = take(text, '\n'), *field;

    for (int skipped = 0; line && skipped < 4; skipped++)
        if (!take(&line, ' '))
            return false;
    if (!line || !(mount->point = take(&line, ' ')) || !(mount->options = take(&line, ' ')))
        return false;
    for (mount->propagation = ""; (field = take(&line, ' ')) && strcmp(field, "-");)
        if (!*mount->propagation)
            mount->propagation = field;
    mount->type = take(&line, ' ');
    return mount->type != NULL;
}

bool mb_has_word(const char *list, const char *word)
{
    size_t size = strlen(word);

    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, word, size) && (at[size] == ',' || !at[size]))
            return true;
    return false;
}

/* ---- what a write would go to ---- */

bool mb_is_passing(int fd)
{
    const uint32_t tmpfs = 0x01021994, ramfs = 0x858458f6, overlay = 0x794c7630;
    struct statfs about = {0};
    uint32_t type;

    if (mb_fstatfs(fd, &about) < 0)
        return false;
    type = (uint32_t)about.f_type;
    return type == tmpfs || type == ramfs || type == overlay;
}

int mb_unnamed_file(const char *directory)
{
    return mb_openat(AT_FDCWD, directory, O_TMPFILE | O_RDWR, 0600);
}
