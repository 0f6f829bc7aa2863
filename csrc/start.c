/* The static engine's own start and the few functions on memory that it needs, in the place of libc's:
 * glibc's start-up alone takes half a millisecond in a virtual machine (CPUID traps) and touches 300 KiB.
 * A sanitized build is not static: it has libc, and this file is empty. */
#include <stddef.h>
#include <stdint.h>
#include "sys.h"

#ifndef MB_HOSTED

int main(int argc, char **argv);

char **environ;
uintptr_t __stack_chk_guard;            /* -mstack-protector-guard=global: there is no TLS */

_Noreturn void __stack_chk_fail(void)
{
    __builtin_trap();
}

/* Else the compiler sees what a loop does, and makes it a call of the function that it stands in. */
#define MB_A_LOOP __asm__ volatile("")

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    char *target = to;
    const char *source = from;

    while (size--) {
        *target++ = *source++;
        MB_A_LOOP;
    }
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    char *target = to;

    while (size--) {
        *target++ = (char)byte;
        MB_A_LOOP;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *one = a, *other = b;

    for (; size--; one++, other++)
        if (*one != *other)
            return *one - *other;
    return 0;
}

void *memchr(const void *in, int byte, size_t size)
{
    for (const unsigned char *at = in; size--; at++)
        if (*at == (unsigned char)byte)
            return (void *)(uintptr_t)at;
    return NULL;
}

size_t strlen(const char *text)
{
    size_t size = 0;

    while (text[size]) {
        size++;
        MB_A_LOOP;
    }
    return size;
}

size_t strnlen(const char *text, size_t most)
{
    const char *end = memchr(text, 0, most);
    return end ? (size_t)(end - text) : most;
}

int strncmp(const char *a, const char *b, size_t most)
{
    for (; most--; a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *text, int byte)
{
    for (;; text++) {
        if (*text == (char)byte)
            return (char *)(uintptr_t)text;
        if (!*text)
            return NULL;
    }
}

char *strrchr(const char *text, int byte)
{
    const char *found = NULL;

    for (;; text++) {
        if (*text == (char)byte)
            found = text;
        if (!*text)
            return (char *)(uintptr_t)found;
    }
}

size_t strcspn(const char *text, const char *stops)
{
    size_t size = 0;

    while (text[size] && !strchr(stops, text[size]))
        size++;
    return size;
}

size_t strspn(const char *text, const char *wanted)
{
    size_t size = 0;

    while (text[size] && strchr(wanted, text[size]))
        size++;
    return size;
}

/* What lies at the top of a new process's stack: argc, argv, NULL, the environment, NULL. */
__attribute__((used)) _Noreturn static void start(long *stack)
{
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);

    environ = argv + argc + 1;
    mb_getrandom(&__stack_chk_guard, sizeof __stack_chk_guard);
    mb_exit(main(argc, argv));
}

#if defined(__x86_64__)
__asm__(".text\n.globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl _start\n_start:\n\tmov x0, sp\n\tbl start\n");
#endif

#endif
