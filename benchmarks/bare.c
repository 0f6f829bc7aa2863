/* The bare limit: just the system calls that a box with these mechanics needs, and nothing else.
 *
 *     bare ROUNDS ROOTFS PROGRAM
 *
 * Each round makes all namespaces, maps one id, binds ROOTFS read-only as the new root with /proc, a
 * minimal /dev and a tmpfs on /tmp, brings loopback up, pivots, executes PROGRAM and waits for it.
 * Prints the nanoseconds of each round, one a line.  No hardening, no PID 1 of its own, no report,
 * no error recovery: it is what the kernel costs, for the table of `run.py`. */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MUST(call) ((call) < 0 ? err(1, "%s", #call) : (void)0)
enum { NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                    CLONE_NEWUTS | CLONE_NEWCGROUP };

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT, 0644);
    MUST(fd);
    MUST(write(fd, text, strlen(text)));
    close(fd);
}

static void map_ids(pid_t pid, unsigned uid, unsigned gid)
{
    char path[64], map[64];
    snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
    put(path, "deny");
    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    snprintf(map, sizeof map, "0 %u 1", uid);
    put(path, map);
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    snprintf(map, sizeof map, "0 %u 1", gid);
    put(path, map);
}

static void mount_devices(void)
{
    static const char *const names[] = { "null", "zero", "full", "random", "urandom", "tty" };
    MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"));
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char from[32], to[32];
        snprintf(from, sizeof from, "/dev/%s", names[n]);
        snprintf(to, sizeof to, "dev/%s", names[n]);
        close(open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
        MUST(mount(from, to, NULL, MS_BIND, NULL));
    }
    MUST(mkdir("dev/pts", 0755));
    MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666"));
    MUST(mkdir("dev/shm", 01777));
    MUST(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
}

static void child(int gate, const char *rootfs, char *const program[])
{
    char go;
    struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    if (read(gate, &go, 1) != 1)
        _exit(1);
    int net = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(ioctl(net, SIOCSIFFLAGS, &lo));
    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    MUST(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
    MUST(chdir(rootfs));
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
    MUST(syscall(SYS_mount_setattr, AT_FDCWD, ".", AT_RECURSIVE, &attr, sizeof attr));
    MUST(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    mount_devices();
    MUST(mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(chdir("/"));
    execv(program[0], program);
    err(1, "%s", program[0]);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        errx(2, "usage: bare ROUNDS ROOTFS PROGRAM [ARG]...");
    for (int round = atoi(argv[1]); round > 0; round--) {
        int gate[2], status;
        uint64_t start = now();
        MUST(pipe2(gate, O_CLOEXEC));
        struct { uint64_t flags, rest[10]; } args = { .flags = NAMESPACES };
        args.rest[3] = SIGCHLD;                                   /* exit_signal */
        long pid = syscall(SYS_clone3, &args, sizeof args);
        MUST(pid);
        if (pid == 0)
            child(gate[0], argv[2], argv + 3);
        map_ids((pid_t)pid, geteuid(), getegid());
        MUST(write(gate[1], "", 1));
        MUST(waitpid((pid_t)pid, &status, 0));
        close(gate[0]), close(gate[1]);
        if (status)
            errx(1, "%s ended with status %d", argv[3], status);
        printf("%llu\n", (unsigned long long)(now() - start));
    }
}
