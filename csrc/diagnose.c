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

static void note(struct finding *finding, enum mb_cause cause, const char *name, size_t size)
{
    size = size < sizeof finding->name ? size : sizeof finding->name - 1;
    finding->cause = cause;
    memcpy(finding->name, name, size);
    finding->name[size] = 0;
}

static bool is_there(const char *path)
{
    struct stat about;

    return !mb_fstatat(AT_FDCWD, path, &about, 0);
}

/* "#!INTERPRETER [ARGUMENT]" */
static void look_at_script(const char *head, size_t size, struct finding *finding)
{
    char interpreter[256];
    size_t begin = 2, end;

    while (begin < size && (head[begin] == ' ' || head[begin] == '\t'))
        begin++;
    for (end = begin; end < size && head[end] && !strchr(" \t\n\r", head[end]);)
        end++;
    size_t length = end - begin < sizeof interpreter ? end - begin : sizeof interpreter - 1;
    memcpy(interpreter, head + begin, length);
    interpreter[length] = 0;
    if (end < size && head[end] == '\r')
        note(finding, MB_INTERPRETER_CRLF, interpreter, length);
    else if (!length)
        note(finding, MB_NOT_A_PROGRAM, "", 0);
    else if (!is_there(interpreter))
        note(finding, MB_INTERPRETER_MISSING, interpreter, length);
}

static void look_at_elf64(int fd, const Elf64_Ehdr *head, struct finding *finding)
{
    for (unsigned n = 0; n < head->e_phnum && n < 64; n++) {
        Elf64_Phdr part;
        char loader[256] = "";
        off_t at = (off_t)(head->e_phoff + n * sizeof part);
        if (mb_pread(fd, &part, sizeof part, at) != sizeof part || part.p_type != PT_INTERP)
            continue;
        mb_pread(fd, loader, sizeof loader - 1, (off_t)part.p_offset);
        if (*loader && !is_there(loader))
            note(finding, MB_LOADER_MISSING, loader, strlen(loader));
        return;
    }
}

static void look_inside(const char *path, struct finding *finding)
{
    _Alignas(8) char head[512] = {0};
    MB_FD fd = mb_open(path, O_RDONLY);

    if (fd < 0)
        return;
    ssize_t size = mb_pread(fd, head, sizeof head - 1, 0);
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)(const void *)head;
    if (size >= 2 && head[0] == '#' && head[1] == '!')
        look_at_script(head, (size_t)size, finding);
    else if (size >= (ssize_t)sizeof *elf && !memcmp(head, ELFMAG, SELFMAG)) {
        if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != OUR_MACHINE ||
            elf->e_ident[EI_DATA] != ELFDATA2LSB)
            note(finding, MB_WRONG_ARCHITECTURE, path, strlen(path));
        else
            look_at_elf64(fd, elf, finding);
    } else
        note(finding, MB_NOT_A_PROGRAM, path, strlen(path));
}

static void look_at_access(const char *path, const struct stat *about, struct finding *finding)
{
    struct statfs where;
    MB_FD fd = mb_open(path, O_PATH);

    if (fd >= 0 && !mb_fstatfs(fd, &where) && where.f_flags & ST_NOEXEC)
        note(finding, MB_NOEXEC, path, strlen(path));
    else if (mb_faccessat2(AT_FDCWD, path, 1, AT_EACCESS) || !(about->st_mode & 0111))
        note(finding, MB_NOT_EXECUTABLE, path, strlen(path));
}

static void look_at_file(const char *path, int err, struct finding *finding)
{
    struct stat about;
    int missing = mb_fstatat(AT_FDCWD, path, &about, 0);

    if (missing == -ENOENT || missing == -ENOTDIR) {
        char to[256];
        ssize_t size = mb_readlinkat(AT_FDCWD, path, to, sizeof to);
        note(finding, size < 0 ? MB_MISSING : MB_DANGLING_LINK, size < 0 ? path : to,
             size < 0 ? strlen(path) : (size_t)size);
    } else if (missing == -EACCES)
        note(finding, MB_UNREACHABLE, path, strlen(path));
    else if (!missing && S_ISDIR(about.st_mode))
        note(finding, MB_DIRECTORY, path, strlen(path));
    else if (!missing && err == EACCES)
        look_at_access(path, &about, finding);
    else if (!missing && (err == ENOENT || err == ENOEXEC || err == EINVAL || err == ELIBBAD))
        look_inside(path, finding);
}

void mb_diagnose_exec(struct mb_box *box, const char *path, int err)
{
    struct finding finding = { .cause = MB_UNKNOWN };

    note(&finding, MB_UNKNOWN, path, strlen(path));
    if (err == ELOOP)
        finding.cause = MB_LINK_LOOP;
    else if (err == E2BIG || err == ENAMETOOLONG)
        finding.cause = MB_TOO_LONG;
    else if (err == ETXTBSY)
        finding.cause = MB_BUSY;
    else if (!strchr(path, '/'))
        finding.cause = MB_NOT_IN_PATH;
    else
        look_at_file(path, err, &finding);
    box->board->cause = (int32_t)finding.cause;
    mb_detail(box, finding.name, "");
}
