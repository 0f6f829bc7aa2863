/* Messages between engine and init. */
#include <string.h>
#include "link.h"
#include "sys.h"

/* Room for the descriptors of one message, aligned as the kernel wants it. */
union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(MB_LINK_FDS * sizeof(int))];
};

int mb_link_send(int link, const struct mb_message *message, const int *fds, size_t count)
{
    struct iovec part = { (void *)(uintptr_t)message, sizeof *message };
    struct msghdr all = { .msg_iov = &part, .msg_iovlen = 1 };
    union control control;

    if (count > MB_LINK_FDS)
        return -EINVAL;
    if (count) {
        control.head = (struct cmsghdr){ CMSG_LEN(count * sizeof *fds), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.head), fds, count * sizeof *fds);
        all.msg_control = &control;
        all.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    }
    ssize_t sent = mb_sendmsg(link, &all, 0);
    return sent == -ECONNRESET ? -EPIPE : sent < 0 ? (int)sent : 0;
}

/* Takes the descriptors of a message; those that were not expected are closed. How many came. */
static size_t take(struct msghdr *all, int *fds, size_t count)
{
    struct cmsghdr *head = CMSG_FIRSTHDR(all);
    size_t came = 0;

    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
        return 0;
    for (; CMSG_LEN((came + 1) * sizeof *fds) <= head->cmsg_len; came++) {
        int fd;
        memcpy(&fd, CMSG_DATA(head) + came * sizeof fd, sizeof fd);
        if (came < count)
            fds[came] = fd;
        else
            mb_close(fd);
    }
    return came;
}

int mb_link_receive(int link, struct mb_message *message, int *fds, size_t count, int flags)
{
    struct iovec part = { message, sizeof *message };
    union control control;
    struct msghdr all = { .msg_iov = &part, .msg_iovlen = 1,
                          .msg_control = &control, .msg_controllen = sizeof control };

    for (size_t n = 0; n < count; n++)
        fds[n] = -1;
    ssize_t size = mb_recvmsg(link, &all, flags);
    if (size == 0 || size == -ECONNRESET)
        return -EPIPE;
    if (size < 0)
        return (int)size;
    size_t came = take(&all, fds, count);
    bool whole = size == sizeof *message && came <= count && !(all.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    return whole ? 0 : -EPROTO;
}
