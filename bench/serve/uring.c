/* SPDX-License-Identifier: MIT */
/*
 * uring.c - how much io_uring would gain the echo: P threads, each with a loop around a ring, without runnel:
 * uring echo P
 *
 * As epoll.c, with what io_uring has for this: a ring that is one thread's, whose completions are made when it asks, a
 * receive that stays until the connection ends and takes its buffers from a ring of them, and sends that are submitted
 * with the next wait, all in one system call. Linux 6.0. With SINGLE=1 in the environment each receive is one of its own,
 * into the connection's buffer, as a library must do it whose callers bring theirs. With DIRECT=1 each send is a call of
 * its own, as a library must do it whose writes return when the kernel has the bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "echo.h"

enum { ENTRIES = 8192, COMPLETIONS = 65536, BUFFERS = 16384, BUFFER = 256, FDS = 65536 };
enum what { CONNECTION, RECEIVED, SENT };

struct loop {
    int fd, pipe[2]; /* the ring; through the pipe come connections */
    int arrived;
    uint32_t tail, submitted; /* of the queue of requests */
    uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    struct io_uring_buf_ring *given;
    uint16_t given_tail;
    char (*buffers)[BUFFER];
};

static struct loop loops[LOOPS_MAX];
static bool is_single, is_direct;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void submit(struct loop *l, uint32_t wait)
{
    long n;

    __atomic_store_n(l->sq_tail, l->tail, __ATOMIC_RELEASE);
    n = syscall(SYS_io_uring_enter, l->fd, l->tail - l->submitted, wait, IORING_ENTER_GETEVENTS,
                NULL, 0);
    if (n > 0)
        l->submitted += (uint32_t)n;
    else if (n < 0 && errno != EINTR && errno != EBUSY && errno != EAGAIN)
        fail("io_uring_enter");
}

static struct io_uring_sqe *request(struct loop *l, uint8_t opcode, int fd, enum what what,
                                    uint32_t buffer)
{
    struct io_uring_sqe *s;

    while (l->tail - __atomic_load_n(l->sq_head, __ATOMIC_ACQUIRE) >= ENTRIES)
        submit(l, 0);
    s = &l->sqes[l->tail++ & (ENTRIES - 1)];
    memset(s, 0, sizeof *s);
    s->opcode = opcode;
    s->fd = fd;
    s->user_data = (uint64_t)buffer << 32 | (uint64_t)what << 24 | (uint32_t)fd;
    return s;
}

static void receive(struct loop *l, int fd)
{
    struct io_uring_sqe *s = request(l, IORING_OP_RECV, fd, RECEIVED, (uint32_t)fd);

    if (is_single) {
        s->addr = (uintptr_t)l->buffers[fd];
        s->len = BUFFER;
    } else {
        s->ioprio = IORING_RECV_MULTISHOT;
        s->flags = IOSQE_BUFFER_SELECT;
    }
}

static void await_connection(struct loop *l)
{
    struct io_uring_sqe *s = request(l, IORING_OP_READ, l->pipe[0], CONNECTION, 0);

    s->addr = (uintptr_t)&l->arrived;
    s->len = sizeof l->arrived;
}

static void give(struct loop *l, uint32_t i)
{
    struct io_uring_buf *b = &l->given->bufs[l->given_tail++ & (BUFFERS - 1)];

    b->addr = (uintptr_t)l->buffers[i];
    b->len = BUFFER;
    b->bid = (uint16_t)i;
}

static void send_now(struct loop *l, int fd, uint32_t buffer, size_t size)
{
    if (send(fd, l->buffers[buffer], size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
        shutdown(fd, SHUT_RDWR); /* an echo of 64 bytes always fits, or the other end has gone */
    if (!is_single)
        give(l, buffer);
}

static void completed(struct loop *l, const struct io_uring_cqe *c)
{
    int fd = (int)(c->user_data & 0xffffff);
    uint32_t buffer = (uint32_t)(c->user_data >> 32);
    struct io_uring_sqe *s;

    switch ((enum what)(c->user_data >> 24 & 0xff)) {
    case CONNECTION:
        receive(l, l->arrived);
        await_connection(l);
        break;
    case RECEIVED:
        if (c->res == -ENOBUFS) {
            receive(l, fd);
        } else if (c->res <= 0) {
            close(fd);
        } else {
            if (!is_single)
                buffer = c->flags >> IORING_CQE_BUFFER_SHIFT;
            if (is_direct) {
                send_now(l, fd, buffer, (size_t)c->res);
                if (is_single || !(c->flags & IORING_CQE_F_MORE))
                    receive(l, fd);
                break;
            }
            s = request(l, IORING_OP_SEND, fd, SENT, buffer);
            s->addr = (uintptr_t)l->buffers[buffer];
            s->len = (uint32_t)c->res;
            s->msg_flags = MSG_NOSIGNAL;
            if (!is_single && !(c->flags & IORING_CQE_F_MORE))
                receive(l, fd);
        }
        break;
    case SENT:
        if (is_single)
            receive(l, fd);
        else
            give(l, buffer);
        break;
    }
}

static void begin(struct loop *l)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_CQSIZE,
                                .cq_entries = COMPLETIONS};
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
    size_t size;
    char *rings;

    l->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (l->fd < 0)
        fail("io_uring_setup");
    size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    if (size < p.sq_off.array + p.sq_entries * sizeof(uint32_t))
        size = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
    rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, l->fd,
                 IORING_OFF_SQ_RING);
    l->sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_POPULATE, l->fd, IORING_OFF_SQES);
    l->given = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    l->buffers = calloc(FDS, BUFFER);
    if (rings == MAP_FAILED || l->sqes == MAP_FAILED || l->given == MAP_FAILED || !l->buffers)
        fail("mmap");
    l->sq_head = (uint32_t *)(void *)(rings + p.sq_off.head);
    l->sq_tail = (uint32_t *)(void *)(rings + p.sq_off.tail);
    l->cq_head = (uint32_t *)(void *)(rings + p.cq_off.head);
    l->cq_tail = (uint32_t *)(void *)(rings + p.cq_off.tail);
    l->cqes = (struct io_uring_cqe *)(void *)(rings + p.cq_off.cqes);
    for (uint32_t i = 0; i < ENTRIES; i++)
        ((uint32_t *)(void *)(rings + p.sq_off.array))[i] = i;
    reg.ring_addr = (uintptr_t)l->given;
    if (!is_single && syscall(SYS_io_uring_register, l->fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
        fail("io_uring_register");
    for (uint32_t i = 0; !is_single && i < BUFFERS; i++)
        give(l, i);
}

static void *loop(void *arg)
{
    struct loop *l = arg;

    begin(l); /* here: the ring is of the thread that makes it */
    await_connection(l);
    for (;;) {
        uint32_t head = *l->cq_head, tail;

        __atomic_store_n(&l->given->tail, l->given_tail, __ATOMIC_RELEASE);
        submit(l, 1);
        tail = __atomic_load_n(l->cq_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++)
            completed(l, &l->cqes[head & (COMPLETIONS - 1)]);
        __atomic_store_n(l->cq_head, head, __ATOMIC_RELEASE);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int procs = echo_procs(argc, argv), port, listener;

    is_single = getenv("SINGLE") != NULL;
    is_direct = getenv("DIRECT") != NULL;
    listener = echo_listen(FDS, &port);
    for (int i = 0; i < procs; i++) {
        pthread_t t;

        if (pipe2(loops[i].pipe, O_CLOEXEC) != 0 || pthread_create(&t, NULL, loop, &loops[i]) != 0)
            return 1;
    }
    printf("%d\n", port);
    fflush(stdout);
    for (int i = 0;; i = (i + 1) % procs) { /* each loop gets its share of connections */
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            continue;
        nodelay(fd);
        if (write(loops[i].pipe[1], &fd, sizeof fd) != (ssize_t)sizeof fd)
            return 1;
    }
}
