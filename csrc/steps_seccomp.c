/* The filter of system calls: loading it, and running it ourselves to know what it said. */
#include <linux/audit.h>
#include <linux/prctl.h>
#include <string.h>
#include "box.h"
#include "link.h"
#include "seccomp.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1u << 5)
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(struct sock_filter) == 8,
               "an int of the plan is an instruction");

struct sock_fprog mb_filter_of(const struct mb_plan *plan, const struct mb_filter_calls *step)
{
    return (struct sock_fprog){
        .len = (unsigned short)step->program.count,
        .filter = (struct sock_filter *)(uintptr_t)(plan->block + step->program.off) };
}

/* What jumps have to skip; the number of instructions for a code that we do not make. */
static size_t skip_of(const struct sock_filter *at, uint32_t loaded, size_t size)
{
    switch (at->code) {
    case BPF_JMP | BPF_JA:
        return at->k;
    case BPF_JMP | BPF_JEQ | BPF_K:
        return loaded == at->k ? at->jt : at->jf;
    case BPF_JMP | BPF_JGE | BPF_K:
        return loaded >= at->k ? at->jt : at->jf;
    case BPF_JMP | BPF_JGT | BPF_K:
        return loaded > at->k ? at->jt : at->jf;
    case BPF_JMP | BPF_JSET | BPF_K:
        return loaded & at->k ? at->jt : at->jf;
    }
    return size;
}

uint32_t mb_filter_verdict(const struct sock_fprog *filter, const struct seccomp_data *call)
{
    uint32_t loaded = 0;

    for (size_t n = 0; n < filter->len; n++) {
        const struct sock_filter *at = &filter->filter[n];
        switch (at->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (at->k % 4 || at->k > sizeof *call - 4)
                return SECCOMP_RET_KILL_PROCESS;
            memcpy(&loaded, (const char *)call + at->k, sizeof loaded);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            loaded &= at->k;
            break;
        case BPF_RET | BPF_K:
            return at->k;
        default:
            n += skip_of(at, loaded, filter->len);
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

bool mb_filter_tells(uint32_t verdict, bool log)
{
    uint32_t action = verdict & SECCOMP_RET_ACTION_FULL;

    return action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD ||
           (log && action == SECCOMP_RET_ERRNO);
}

bool mb_filter_listens(const struct sock_fprog *filter, bool log)
{
    for (size_t n = 0; n < filter->len; n++)
        if (filter->filter[n].code == (BPF_RET | BPF_K) && mb_filter_tells(filter->filter[n].k, log))
            return true;
    return false;
}

static bool allows(const struct sock_fprog *filter, int number, uint64_t first)
{
    struct seccomp_data call = { .nr = number, .args = { first } };

#if defined(__x86_64__)
    call.arch = AUDIT_ARCH_X86_64;
#else
    call.arch = AUDIT_ARCH_AARCH64;
#endif
    return (mb_filter_verdict(filter, &call) & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
}

bool mb_filter_lets_stop(const struct sock_fprog *filter)
{
    return allows(filter, __NR_write, 3) && allows(filter, __NR_read, 3) &&
           allows(filter, __NR_prctl, PR_GET_DUMPABLE) && allows(filter, __NR_prctl, PR_SET_DUMPABLE);
}

/* Load a copy in which every verdict that the engine is to see asks it instead. */
static int load_listening(struct mb_box *box, const struct sock_fprog *filter, bool log)
{
    static struct sock_filter copy[BPF_MAXINSNS];
    const struct mb_message message = { .type = MB_LISTENER };
    struct sock_fprog asking = { filter->len, copy };

    if (!allows(filter, __NR_sendmsg, 0))       /* to hand over the listener must not wait for it */
        return -EACCES;
    for (size_t n = 0; n < filter->len; n++) {
        copy[n] = filter->filter[n];
        if (copy[n].code == (BPF_RET | BPF_K) && mb_filter_tells(copy[n].k, log))
            copy[n].k = SECCOMP_RET_USER_NOTIF;
    }
    unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    int fd = mb_seccomp(SECCOMP_SET_MODE_FILTER, flags, &asking);
    if (fd == -EINVAL)                  /* before Linux 5.19: a signal makes a call ask twice */
        fd = mb_seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &asking);
    MB_FD listener = fd;
    return fd < 0 ? fd : mb_link_send(box->engine_link, &message, &listener, 1);
}

int step_filter_calls(struct mb_box *box, const struct mb_filter_calls *step)
{
    struct sock_fprog filter = mb_filter_of(box->plan, step);

    if (step->program.count > BPF_MAXINSNS)         /* before it is cut to the 16 bits that len has */
        return -E2BIG;
    if (mb_filter_listens(&filter, step->log))
        return load_listening(box, &filter, step->log);
    return mb_seccomp(SECCOMP_SET_MODE_FILTER, 0, &filter);
}
