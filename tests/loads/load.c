/* load burn SECONDS | burn-children COUNT SECONDS | touch BYTES | fill PATH BYTES | fork COUNT |
        write PATH BYTES | sleep SECONDS
   A load of known size.  It prints what it did by its own measure: CPU seconds by
   CLOCK_PROCESS_CPUTIME_ID (clock_gettime(2)), bytes, processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void burn(double seconds)
{
    while (cpu_seconds() < seconds)
        ;
    printf("%.6f\n", cpu_seconds());
}

static void wait_for_all(void)
{
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

static void burn_children(long count, double seconds)
{
    for (long at = 0; at < count; at++)
        if (fork() == 0) {
            while (cpu_seconds() < seconds)
                ;
            _exit(0);
        }
    wait_for_all();
}

static void touch(size_t size)
{
    char *memory = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        exit(1);
    for (size_t at = 0; at < size; at += 4096)
        ((volatile char *)memory)[at] = 1;
    printf("%zu\n", size);
}

/* Each child lives until all are there: they wait for the end of a pipe. */
static void fork_many(long count)
{
    int ends[2];
    long made = 0;
    char byte;

    if (pipe(ends))
        exit(1);
    for (pid_t child; made < count && (child = fork()) >= 0; made++)
        if (child == 0) {
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) != 0);
        }
    close(ends[1]);
    wait_for_all();
    printf("%ld\n", made);
}

static void write_file(const char *path, size_t size, int flags)
{
    const size_t block = 1 << 16;       /* small beside what is measured */
    char *data = aligned_alloc(4096, block);
    int file = open(path, O_WRONLY | O_CREAT | flags, 0600);

    if (!data || file < 0)
        exit(1);
    memset(data, 1, block);
    for (size_t done = 0; done < size;) {
        ssize_t count = write(file, data, size - done < block ? size - done : block);
        if (count < 0)
            exit(1);
        done += (size_t)count;
    }
    fsync(file);
    printf("%zu\n", size);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    const char *last = argv[argc - 1];

    if (!strcmp(what, "burn"))
        burn(atof(last));
    else if (!strcmp(what, "burn-children") && argc == 4)
        burn_children(atol(argv[2]), atof(last));
    else if (!strcmp(what, "touch"))
        touch(strtoul(last, NULL, 10));
    else if (!strcmp(what, "fork"))
        fork_many(atol(last));
    else if (!strcmp(what, "fill") && argc == 4)
        write_file(argv[2], strtoul(last, NULL, 10), 0);
    else if (!strcmp(what, "write") && argc == 4)
        write_file(argv[2], strtoul(last, NULL, 10), O_DIRECT);
    else if (!strcmp(what, "sleep"))
        usleep((useconds_t)(atof(last) * 1e6));
    else
        return 2;
    return 0;
}
