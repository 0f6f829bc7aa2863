/* The link: a SOCK_SEQPACKET pair between engine and init, with small typed messages and descriptors.
 * End of file on it means that the other side is dead, however it died.
 * Until init has said STARTED the engine sends nothing but releases; signals that come before it
 * holds back, because init reads the link only at its gates until then. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum mb_message_type {
    /* engine to init */
    MB_RELEASED = 1,                    /* value: gate; data[0]: bit n for tree n, whose descriptors follow */
    MB_SEND_SIGNAL,                     /* value: signal for the app */
    MB_STOP_ALL, MB_CONTINUE_ALL,       /* for job control */
    MB_KILL_ALL,                        /* asks for an ENDED once all are dead */
    MB_SAMPLE,                          /* asks for a SAMPLED */
    /* init to engine */
    MB_TERMINAL,                        /* one descriptor: the master of the box's terminal */
    MB_STARTED,                         /* value: the app's pid in the box */
    MB_ENDED,                           /* value: CLD_EXITED...; data[0]: code or signal; data[1]: reaped */
    MB_LISTENER,                        /* of the app; one descriptor: of what its filter asks */
    MB_SAMPLED                          /* data: CPU ns, resident bytes, processes */
};

struct mb_message { uint32_t type; int32_t value; uint64_t data[3]; };
_Static_assert(sizeof(struct mb_message) == 32, "no padding that could leak");

#define MB_LINK_FDS 64

/* 0 or -errno; -EPIPE: the other side is dead. */
int mb_link_send(int link, const struct mb_message *message, const int *fds, size_t count);

/* Waits unless *flags* has MSG_DONTWAIT. *fds* has room for *count* descriptors, all CLOEXEC; the rest
 * of it becomes -1. 0 or -errno: -EPIPE: the other side is dead; -EPROTO: not a whole message. */
int mb_link_receive(int link, struct mb_message *message, int *fds, size_t count, int flags);
