/* Why a program could not be executed. The kernel says ENOENT for a script without its interpreter and a
 * program without its loader as well as for a file that is not there: so we look at the file. It runs
 * in the application's own process, which sees what the application would have seen. */
#include <elf.h>
#include <linux/errno.h>
#include <string.h>
#include <sys/vfs.h>
#include "box.h"
#include "text.h"

#ifndef ST_NOEXEC
#define ST_NOEXEC 8
#endif

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

struct finding { enum mb_cause cause; char name[256]; };   /* the file that it hangs on */

static void look_at_file(const char *path, int err, int depth, struct finding *finding);

static void note(struct finding *finding, enum mb_cause cause, const char *name)
{
    struct mb_line line = mb_line(finding->name, sizeof finding->name);

    finding->cause = cause;
    mb_put(&line, name);
}

/* The program that this one needs first: what is wrong with that one is wrong with this. */
static void look_at_helper(const char *path, enum mb_cause missing, int err, int depth,
                           struct finding *finding)
{
    struct finding of_helper = { .cause = MB_UNKNOWN };

    if (depth)
        look_at_file(path, err, depth - 1, &of_helper);
    if (of_helper.cause == MB_MISSING || of_helper.cause == MB_DANGLING_LINK)
        of_helper.cause = missing;
    if (of_helper.cause != MB_UNKNOWN)
        *finding = of_helper;
}

/* "#!INTERPRETER [ARGUMENT]" */
static void look_at_script(const char *head, size_t size, int err, int depth, struct finding *finding)
{
    char interpreter[256];
    struct mb_line line = mb_line(interpreter, sizeof interpreter);
    size_t begin = 2, end;

    while (begin < size && (head[begin] == ' ' || head[begin] == '\t'))
        begin++;
    for (end = begin; end < size && head[end] && !strchr(" \t\n\r", head[end]);)
        end++;
    mb_put_bytes(&line, head + begin, end - begin);
    if (end < size && head[end] == '\r')
        note(finding, MB_INTERPRETER_CRLF, interpreter);
    else if (!*interpreter)
        note(finding, MB_NOT_A_PROGRAM, "");
    else
        look_at_helper(interpreter, MB_INTERPRETER_MISSING, err, depth, finding);
}

union header { char bytes[512]; Elf64_Ehdr wide; Elf32_Ehdr narrow; };

/* Where the name of the loader lies in the file, 0 if it needs none. */
static off_t loader_at(int fd, const union header *head)
{
    bool wide = head->wide.e_ident[EI_CLASS] == ELFCLASS64;
    uint64_t table = wide ? head->wide.e_phoff : head->narrow.e_phoff;
    unsigned count = wide ? head->wide.e_phnum : head->narrow.e_phnum;
    uint64_t size = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

    for (unsigned n = 0; n < count && n < 64; n++) {
        union { Elf64_Phdr wide; Elf32_Phdr narrow; } part;
        if (mb_pread(fd, &part, size, (off_t)(table + n * size)) == (ssize_t)size &&
            part.wide.p_type == PT_INTERP)          /* the first word of both */
            return (off_t)(wide ? part.wide.p_offset : part.narrow.p_offset);
    }
    return 0;
}

/* The kernel says ENOEXEC if this machine cannot run it; then it has not looked for a loader. */
static void look_at_elf(int fd, const char *path, const union header *head, int err, int depth,
                        struct finding *finding)
{
    char loader[256] = "";
    off_t at = loader_at(fd, head);

    if (err == ENOEXEC && (head->wide.e_ident[EI_CLASS] != ELFCLASS64 ||
                           head->wide.e_ident[EI_DATA] != ELFDATA2LSB ||
                           head->wide.e_machine != OUR_MACHINE))
        note(finding, MB_WRONG_ARCHITECTURE, path);
    else if (at && mb_pread(fd, loader, sizeof loader - 1, at) > 0 && *loader)
        look_at_helper(loader, MB_LOADER_MISSING, err, depth, finding);
}

static void look_inside(const char *path, int err, int depth, struct finding *finding)
{
    union header head = {{0}};
    MB_FD fd = mb_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return;
    ssize_t size = mb_pread(fd, head.bytes, sizeof head.bytes - 1, 0);
    if (size >= 2 && !memcmp(head.bytes, "#!", 2))
        look_at_script(head.bytes, (size_t)size, err, depth, finding);
    else if (size >= (ssize_t)sizeof head.wide && !memcmp(head.bytes, ELFMAG, SELFMAG))
        look_at_elf(fd, path, &head, err, depth, finding);
    else if (err == ENOEXEC)
        note(finding, MB_NOT_A_PROGRAM, path);
}

/* Whether the file itself may be executed. */
static bool look_at_access(const char *path, const struct stat *about, struct finding *finding)
{
    struct statfs where;
    MB_FD fd = mb_open(path, O_PATH);

    if (fd >= 0 && !mb_fstatfs(fd, &where) && where.f_flags & ST_NOEXEC)
        note(finding, MB_NOEXEC, path);
    else if (mb_faccessat2(AT_FDCWD, path, 1, AT_EACCESS) || !(about->st_mode & 0111))
        note(finding, MB_NOT_EXECUTABLE, path);
    return finding->cause == MB_UNKNOWN;
}

static void look_at_file(const char *path, int err, int depth, struct finding *finding)
{
    struct stat about;
    int missing = mb_fstatat(AT_FDCWD, path, &about, 0);

    if (missing == -ENOENT || missing == -ENOTDIR) {
        bool link = !mb_fstatat(AT_FDCWD, path, &about, AT_SYMLINK_NOFOLLOW);
        note(finding, link ? MB_DANGLING_LINK : MB_MISSING, path);
    } else if (missing == -EACCES)
        note(finding, MB_UNREACHABLE, path);
    else if (missing == -ELOOP)
        note(finding, MB_LINK_LOOP, path);
    else if (!missing && S_ISDIR(about.st_mode))
        note(finding, MB_DIRECTORY, path);
    else if (!missing && (err != EACCES || look_at_access(path, &about, finding)))
        look_inside(path, err, depth, finding);
}

void mb_diagnose_exec(struct mb_box *box, const char *path, int err)
{
    struct finding finding = { .cause = MB_UNKNOWN };

    if (err == E2BIG || err == ENAMETOOLONG)
        finding.cause = MB_TOO_LONG;
    else if (err == ETXTBSY)
        finding.cause = MB_BUSY;
    else if (!strchr(path, '/'))
        finding.cause = MB_NOT_IN_PATH;
    else
        look_at_file(path, err, 4, &finding);       /* the kernel follows four interpreters, too */
    box->board->cause = (int32_t)finding.cause;
    mb_detail(box, *finding.name ? finding.name : path, "");
}
