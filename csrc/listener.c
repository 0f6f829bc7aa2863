/* The engine answers for the filter: what it refuses is counted by name of the call, and what it kills
 * is known by it.  The filter that the kernel runs only asks; what to answer, its original in the plan says. */
#include <linux/ioctl.h>
#include <string.h>
#include "engine.h"
#include "files.h"
#include "seccomp.h"
#include "text.h"

/* The step that loaded the filter; there is one, or nobody would ask. */
static const struct mb_filter_calls *filter_step(const struct mb_plan *plan)
{
    for (uint32_t n = plan->first[MB_PART_APP]; n < plan->first[MB_PART_FINISH]; n++)
        if (mb_step_at(plan, n)->kind == MB_FILTER_CALLS)
            return (const struct mb_filter_calls *)(const void *)mb_step_at(plan, n);
    return NULL;
}

/* A table of fixed size: a box that makes all calls there are must not make the engine grow. The last
 * place counts what has none. */
static void count(struct mb_engine *engine, int32_t call, uint32_t verdict)
{
    struct mb_refusal *at = engine->refused, *last = at + MB_REFUSALS - 1;

    while (at < last && at->count && (at->call != call || at->verdict != verdict))
        at++;
    if (!at->count)
        *at = (struct mb_refusal){ at < last ? call : -1, verdict, 0 };
    at->count++;
}

/* The pid that the box knows the process of thread *tid* by: the last number of its NStgid. */
static pid_t pid_in_box(pid_t tid)
{
    char path[32], text[4096];
    struct mb_line line = mb_line(path, sizeof path);
    pid_t pid = 0;

    mb_put(&line, "/proc/");
    mb_put_u64(&line, (uint64_t)tid);
    mb_put(&line, "/status");
    if (mb_read_file(AT_FDCWD, path, text, sizeof text) <= 0)
        return 0;
    const char *at = text;
    while (strncmp(at, "NStgid:", 7)) {
        at = strchr(at, '\n');
        if (!at++)
            return 0;
    }
    for (at += 7; *at != '\n' && *at; at++)
        pid = *at == '\t' ? 0 : pid * 10 + *at - '0';
    return pid;
}

/* The thread waits for our answer, so its number is nobody else's. */
static void kill_asker(struct mb_engine *engine, const struct seccomp_notif *asked)
{
    pid_t tid = (pid_t)asked->pid, pid = pid_in_box(tid);

    if (mb_ioctl(engine->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, (void *)(uintptr_t)&asked->id))
        return;
    if (pid && (engine->box.has_init ? pid == engine->app_pid : tid == engine->box.init_pid || pid == 1))
        engine->fatal_call = asked->data.nr;
    mb_kill(tid, SIGKILL);
}

/* Answer one question. False: there is none. */
static bool answer(struct mb_engine *engine, const struct mb_filter_calls *step)
{
    struct sock_fprog filter = mb_filter_of(engine->box.plan, step);
    struct seccomp_notif asked = {0};

    if (mb_ioctl(engine->listener, SECCOMP_IOCTL_NOTIF_RECV, &asked))
        return false;                   /* ENOENT: the one who asked is dead */
    uint32_t verdict = mb_filter_verdict(&filter, &asked.data);
    count(engine, asked.data.nr, verdict);
    if ((verdict & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO) {
        kill_asker(engine, &asked);
        return true;
    }
    struct seccomp_notif_resp said = { .id = asked.id, .error = -(int32_t)(verdict & SECCOMP_RET_DATA) };
    mb_ioctl(engine->listener, SECCOMP_IOCTL_NOTIF_SEND, &said);
    return true;
}

void mb_listener_run(struct mb_engine *engine, short events)
{
    const struct mb_filter_calls *step = filter_step(engine->box.plan);

    if (events & POLLIN && step)
        answer(engine, step);
    else if (events) {                  /* nobody is left who could ask */
        mb_close(engine->listener);
        engine->listener = -1;
    }
}
