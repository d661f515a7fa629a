/* SPDX-License-Identifier: MIT */
/*
 * refused.c - what one call does when one thing it asks for is refused, or answered in a way that is rare: a system
 * call with a certain error, memory, a thread, a name. Each case says which; driver.c refuses everything in turn.
 *
 * Linked with the archive, with the C library's functions wrapped. A rule is for one system call: so many pass, then so
 * many fail with an error; rules for the same call are used up one after the other.
 */
#define _GNU_SOURCE
#include "slack.h"
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* ---- What is refused --------------------------------------------------------------------------------------- */

struct rule {
    long number;
    int error;
    int skip, times; /* atomic */
};
static struct rule rules[16];
static int rule_count;
static _Atomic int refusals;

static void refuse(long number, int error, int skip, int times)
{
    CHECK(rule_count < 16);
    rules[rule_count++] = (struct rule){number, error, skip, times};
}
static void refuse_no_more(void)
{
    for (int i = 0; i < rule_count; i++)
        __atomic_store_n(&rules[i].times, 0, __ATOMIC_RELAXED);
    rule_count = 0;
}

enum { MEMORY = -1, THREAD = -2, WRITE_CALL = -3, ALT_STACK = -4 };

/* The error with which this call is to fail, or 0. */
static int refused(long number)
{
    for (int i = 0; i < rule_count; i++) {
        struct rule *r = &rules[i];

        if (r->number != number || __atomic_load_n(&r->times, __ATOMIC_RELAXED) <= 0)
            continue;
        if (__atomic_load_n(&r->skip, __ATOMIC_RELAXED) > 0) {
            __atomic_sub_fetch(&r->skip, 1, __ATOMIC_RELAXED);
            return 0;
        }
        if (__atomic_fetch_sub(&r->times, 1, __ATOMIC_RELAXED) > 0) {
            refusals++;
            return r->error;
        }
    }
    return 0;
}

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __real_posix_memalign(void **ret, size_t align, size_t size);
int __wrap_posix_memalign(void **ret, size_t align, size_t size);
int __real_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
ssize_t __real_write(int fd, const void *buf, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t size);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
long __real_sysconf(int name);
long __wrap_sysconf(int name);
int __real_sigaltstack(const stack_t *ss, stack_t *old);
int __wrap_sigaltstack(const stack_t *ss, stack_t *old);
int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
void __real_freeaddrinfo(struct addrinfo *list);
void __wrap_freeaddrinfo(struct addrinfo *list);

int __real_sem_wait(sem_t *sem);
int __wrap_sem_wait(sem_t *sem);
int __real_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_join(pthread_t thread, void **ret);

static void (*refuse_wait)(void); /* before the answer that there is no thread */
static bool meets_itself; /* connect: the socket gets the address that it is to connect to */
static bool is_endless; /* pipe2: what is read from the next one never ends, and is always there */
static _Atomic int vector_reads;
static const char *other_root; /* openat: the system's files about CPUs stand there */

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    int err = refused(number);

    if (err) {
        errno = err;
        return -1;
    }
    if (number == SYS_connect && meets_itself) {
        meets_itself = false;
        CHECK_EQ(bind((int)a, (const struct sockaddr *)b, (socklen_t)c), 0);
    }
    if (number == SYS_readv)
        vector_reads++;
    if (number == SYS_openat && other_root) {
        const char *path = (const char *)b;

        if (strncmp(path, "/sys/fs/cgroup", 14) == 0 || strcmp(path, "/proc/self/cgroup") == 0) {
            char there[4600];

            snprintf(there, sizeof(there), "%s%s", other_root, path);
            return __real_syscall(number, a, (long)there, c, d, e, f);
        }
    }
    if (number == SYS_pipe2 && is_endless) {
        const int *fds = (const int *)a;
        int endless = open("/dev/random", O_RDONLY | O_NONBLOCK);

        is_endless = false;
        if (__real_syscall(number, a, b, c, d, e, f) != 0 || endless < 0)
            abort();
        CHECK_EQ(dup3(endless, fds[0], O_CLOEXEC), fds[0]);
        close(endless);
        return 0;
    }
    return __real_syscall(number, a, b, c, d, e, f);
}

void *__wrap_malloc(size_t size)
{
    errno = refused(MEMORY);
    return errno ? NULL : __real_malloc(size);
}
void *__wrap_realloc(void *p, size_t size)
{
    errno = refused(MEMORY);
    return errno ? NULL : __real_realloc(p, size);
}
int __wrap_posix_memalign(void **ret, size_t align, size_t size)
{
    int err = refused(MEMORY);

    return err ? err : __real_posix_memalign(ret, align, size);
}
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    int err = refused(THREAD);

    if (err && refuse_wait)
        refuse_wait();
    return err ? err : __real_pthread_create(t, attr, fn, arg);
}

/* The thread that waits for signals: it comes late, when the next post is there too; and what happens once it is gone. */
static _Atomic bool comes_late, has_waited;
static pthread_t waited;
static void (*once_gone)(void);
int __wrap_sem_wait(sem_t *sem)
{
    int result = __real_sem_wait(sem), posts = 0;

    waited = pthread_self();
    has_waited = true;
    while (comes_late && sem_getvalue(sem, &posts) == 0 && posts == 0)
        sched_yield();
    return result;
}
int __wrap_pthread_join(pthread_t thread, void **ret)
{
    int result = __real_pthread_join(thread, ret);

    if (has_waited && once_gone && pthread_equal(thread, waited))
        once_gone();
    return result;
}
ssize_t __wrap_write(int fd, const void *buf, size_t size)
{
    errno = refused(WRITE_CALL);
    return errno ? -1 : __real_write(fd, buf, size);
}
int __wrap_sigaltstack(const stack_t *ss, stack_t *old)
{
    errno = ss ? refused(ALT_STACK) : 0;
    return errno ? -1 : __real_sigaltstack(ss, old);
}

static _Atomic int cpus_allowed, cpus_online; /* 0: as it is */
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    (void)pid;
    if (cpus_allowed < 0)
        return -1;
    CPU_ZERO_S(size, set);
    for (int i = 0; i < (cpus_allowed ? cpus_allowed : 2); i++)
        CPU_SET_S((size_t)i, size, set);
    return 0;
}
long __wrap_sysconf(int name)
{
    return name == _SC_NPROCESSORS_ONLN && cpus_online ? cpus_online : __real_sysconf(name);
}

/* What a look-up of a name answers: a code, or a list. */
static bool answers;
static int answer;
static struct addrinfo *answer_list;
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    if (!answers)
        return __real_getaddrinfo(host, service, hints, ret);
    *ret = answer_list;
    errno = EMFILE;
    return answer;
}
void __wrap_freeaddrinfo(struct addrinfo *list)
{
    if (!answers)
        __real_freeaddrinfo(list);
}

static int descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 200; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int port_of(const rn_listener *l)
{
    rn_addr a;

    CHECK_EQ(rn_listener_addr(l, &a), 0);
    return rn_addr_port(&a);
}

static rn_listener *listener(void)
{
    rn_listener *l = NULL;

    CHECK_EQ(rn_listen("tcp4", "127.0.0.1:0", &l), 0);
    return l;
}

static rn_conn *dial_to(const rn_listener *l)
{
    rn_conn *c = NULL;
    char at[40];

    snprintf(at, sizeof(at), "127.0.0.1:%d", port_of(l));
    CHECK_EQ(rn_dial("tcp4", at, &c), 0);
    return c;
}

/* ---- Listening and accepting ------------------------------------------------------------------------------- */

/* What may befall one connection before it is accepted is no matter of the listener's: it accepts the next. */
GO_TEST(refused_accept_goes_on)
{
    static const int passing[] = {ECONNABORTED, EPROTO, EPERM,        ENETDOWN,    ENOPROTOOPT,
                                  EHOSTDOWN,    ENONET, EHOSTUNREACH, ENETUNREACH, EINTR};
    enum { N = sizeof(passing) / sizeof(*passing) };
    rn_listener *l = listener();
    rn_conn *there = dial_to(l), *here = NULL;

    for (int i = 0; i < N; i++)
        refuse(SYS_accept4, passing[i], 0, 1);
    CHECK_EQ(rn_accept(l, &here), 0);
    CHECK_EQ(refusals, N);
    CHECK_EQ(rn_write(there, "x", 1), 1);
    CHECK_EQ(rn_read(here, (char[1]){0}, 1), 1);
    rn_conn_close(here);
    rn_conn_close(there);

    /* An error of the listener's is told. */
    refuse(SYS_accept4, EINVAL, 0, 1);
    here = NULL;
    CHECK_EQ(rn_accept(l, &here), -EINVAL);
    CHECK(!here);
    rn_listener_close(l);
}

static void dialler(const rn_listener *l, rn_chan(int) done)
{
    rn_conn_close(dial_to(l));
    rn_send(done, 1);
}

/* Where nothing can be had for a connection it is closed, and the next one is tried a little later. */
GO_TEST(refused_accept_without_memory)
{
    rn_listener *l = listener();
    rn_conn *there = dial_to(l), *here = NULL;
    rn_chan(int) done = rn_chan_make(int, 0);
    int before = descriptors();
    char byte;

    rn_go(dialler, l, done);
    (void)rn_recv(done);
    refuse(MEMORY, ENOMEM, 0, 1);
    CHECK_EQ(rn_accept(l, &here), 0); /* the second */
    CHECK_EQ(refusals, 1);
    CHECK(rn_read(there, &byte, 1) <= 0); /* the first is gone */
    CHECK_EQ(descriptors(), before + 1);
    rn_conn_close(here);
    rn_conn_close(there);
    rn_listener_close(l);
    rn_chan_release(done);
}

/* No descriptors, and no memory for the time to wait until there are. */
GO_TEST(refused_accept_cannot_wait)
{
    rn_listener *l = listener();
    rn_conn *there = dial_to(l), *here = NULL;

    refuse(SYS_accept4, EMFILE, 0, 1);
    refuse(MEMORY, ENOMEM, 0, 100);
    CHECK_EQ(rn_accept(l, &here), -ENOMEM);
    refuse_no_more();
    CHECK_EQ(rn_accept(l, &here), 0);
    rn_conn_close(here);
    rn_conn_close(there);
    rn_listener_close(l);
}

/* Nothing stays open of what could not be made, and the message names it. */
GO_TEST(refused_listen)
{
    static const struct {
        long number;
        int error;
    } ways[] = {
        {SYS_socket, EMFILE}, {SYS_bind, EADDRINUSE}, {SYS_listen, EADDRINUSE}, {MEMORY, ENOMEM}};
    int before;

    rn_listener_close(listener()); /* what is made once */
    before = descriptors();
    for (int i = 0; i < 4; i++) {
        rn_listener *l = NULL;
        rn_conn *c = NULL;

        refuse(ways[i].number, ways[i].error, 0, 1);
        CHECK_EQ(rn_listen("tcp4", "127.0.0.1:0", &l), -ways[i].error);
        CHECK(!l && refusals == 2 * i + 1);
        CHECK_EQ(descriptors(), before);
        if (ways[i].number > 0)
            CHECK(strstr(rn_errmsg(-ways[i].error), "listen tcp4 127.0.0.1:0: "));
        refuse_no_more();

        refuse(ways[i].number, ways[i].error, 0, 1);
        if (ways[i].number == SYS_listen) {
            CHECK_EQ(rn_bind("udp4", "127.0.0.1:0", &c), 0); /* which does not listen */
            refusals++;
            rn_conn_close(c);
        } else {
            CHECK_EQ(rn_bind("udp4", "127.0.0.1:0", &c), -ways[i].error);
            CHECK(!c);
        }
        CHECK_EQ(descriptors(), before);
        refuse_no_more();
    }
}

/* Nor does the path of a Unix socket stay behind; it goes with the close, of whoever it was. */
GO_TEST(refused_path)
{
    static const long ways[] = {SYS_listen, MEMORY, MEMORY};
    char dir[] = "/tmp/runnel-path-XXXXXX", path[40];

    CHECK(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    for (int i = 0; i < 4; i++) {
        rn_listener *l = NULL;
        rn_conn *c = NULL;

        if (i < 3)
            refuse(ways[i], ENOMEM, i == 2, 1);
        CHECK_EQ(rn_listen("unix", path, &l), i < 3 ? -ENOMEM : 0);
        refuse_no_more();
        CHECK_EQ(access(path, F_OK), i < 3 ? -1 : 0);
        rn_listener_close(l);
        CHECK_EQ(access(path, F_OK), -1);
        if (i > 0 && i < 3)
            refuse(ways[i], ENOMEM, i == 2, 1);
        CHECK_EQ(rn_bind("unixgram", path, &c), i > 0 && i < 3 ? -ENOMEM : 0);
        refuse_no_more();
        rn_conn_close(c);
        CHECK_EQ(access(path, F_OK), -1);
    }
    CHECK_EQ(rmdir(dir), 0);
}

/* A machine without IPv6 listens on IPv4 when no host is given. */
GO_TEST(refused_family)
{
    rn_listener *l = NULL;
    char text[RN_ADDR_TEXT];
    rn_addr a;

    refuse(SYS_socket, EAFNOSUPPORT, 0, 1);
    CHECK_EQ(rn_listen("tcp", ":0", &l), 0);
    CHECK_EQ(refusals, 1);
    CHECK_EQ(rn_listener_addr(l, &a), 0);
    CHECK(rn_addr_text(&a, text, sizeof(text)) > 0);
    CHECK(strncmp(text, "0.0.0.0:", 8) == 0);
    rn_listener_close(l);
}

/* ---- Dialling ------------------------------------------------------------------------------------------------ */

GO_TEST(refused_dial)
{
    rn_listener *l = listener();
    rn_conn *c = NULL, *here = NULL;
    char at[40];
    int before;

    snprintf(at, sizeof(at), "127.0.0.1:%d", port_of(l));
    before = descriptors();
    refuse(SYS_socket, EMFILE, 0, 1);
    CHECK_EQ(rn_dial("tcp4", at, &c), -EMFILE);
    CHECK(strstr(rn_errmsg(-EMFILE), "dial tcp4 127.0.0.1:"));
    refuse_no_more();
    refuse(MEMORY, ENOMEM, 0, 1);
    CHECK_EQ(rn_dial("tcp4", at, &c), -ENOMEM);
    refuse_no_more();
    refuse(SYS_connect, EPERM, 0, 1);
    CHECK_EQ(rn_dial("tcp4", at, &c), -EPERM);
    refuse_no_more();
    CHECK(!c);
    CHECK_EQ(descriptors(), before);

    /* Connected already, says the kernel of the second attempt: it is. */
    refuse(SYS_connect, EINPROGRESS, 0, 1);
    refuse(SYS_connect, EISCONN, 0, 1);
    CHECK_EQ(rn_dial("tcp4", at, &c), 0);
    rn_conn_close(c);
    refuse_no_more();

    /* The options of a socket are wishes. */
    refuse(SYS_setsockopt, EPERM, 0, 100);
    CHECK_EQ(rn_dial("tcp4", at, &c), 0);
    CHECK_EQ(rn_accept(l, &here), 0);
    rn_conn_close(c);
    rn_conn_close(here);
    rn_listener_close(l);
}

/* A name, and a name of several addresses: whichever piece of memory is not there, nothing stays behind. */
GO_TEST(refused_dial_name)
{
    rn_listener *l = listener();
    char at[40];
    int before, refused_at_all = 0;

    snprintf(at, sizeof(at), "localhost:%d", port_of(l));
    before = 0;
    for (int skip = -1; skip < 12; skip++) {
        rn_conn *c = NULL, *here = NULL;
        int err;

        if (skip >= 0)
            refuse(MEMORY, ENOMEM, skip, 1);
        err = rn_dial("tcp", at, &c);
        refuse_no_more();
        CHECK((err == 0) == (c != NULL));
        if (c) {
            CHECK_EQ(rn_accept(l, &here), 0);
            rn_conn_close(here);
            rn_conn_close(c);
        } else {
            refused_at_all++;
        }
        if (skip < 0)
            before = descriptors();     /* with those for waiting */
        AWAIT(descriptors() <= before); /* an attempt that lost may still be closing */
    }
    CHECK(refused_at_all > 0);
    rn_listener_close(l);
}

/* A pipe is two connections; a shared descriptor is first another one. */
GO_TEST(refused_pipe_and_share)
{
    rn_conn *r = NULL, *w = NULL;
    int fds[2], before = descriptors();

    for (int skip = 0; skip < 2; skip++) {
        refuse(MEMORY, ENOMEM, skip, 1);
        CHECK_EQ(rn_pipe(&r, &w), -ENOMEM);
        refuse_no_more();
        CHECK(!r && !w);
        CHECK_EQ(descriptors(), before);
    }
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    refuse(MEMORY, ENOMEM, 0, 1);
    CHECK_EQ(rn_conn_share(fds[0], &r), -ENOMEM);
    refuse_no_more();
    refuse(SYS_fcntl, EMFILE, 0, 1);
    CHECK_EQ(rn_conn_share(fds[0], &r), -EMFILE);
    refuse_no_more();
    CHECK(!r);
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(rn_conn_share(fds[0], &r), -EBADF);
    CHECK_EQ(descriptors(), before);
}

/* A port where nobody listens, and which the kernel chooses for the caller's own side: that is no connection. */
GO_TEST(refused_own_port)
{
    rn_listener *l = listener();
    int port = port_of(l);
    rn_conn *c = NULL;
    char at[40];

    snprintf(at, sizeof(at), "127.0.0.1:%d", port);
    rn_listener_close(l);
    meets_itself = true;
    CHECK_EQ(rn_dial("tcp4", at, &c), -ECONNREFUSED);
    CHECK(!c && !meets_itself);
}

/* An adopted descriptor that cannot be made one of ours stays its owner's. */
GO_TEST(refused_adopt)
{
    rn_conn *c = NULL;
    int fds[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    refuse(SYS_fcntl, EINVAL, 0, 1);
    CHECK_EQ(rn_conn_adopt(fds[0], &c), -EINVAL);
    refuse_no_more();
    refuse(MEMORY, ENOMEM, 0, 1);
    CHECK_EQ(rn_conn_adopt(fds[0], &c), -ENOMEM);
    refuse_no_more();
    CHECK(!c && fcntl(fds[0], F_GETFD) >= 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &c), 0);

    /* A deadline for which there is no memory is none. */
    refuse(MEMORY, ENOMEM, 0, 100);
    CHECK_EQ(rn_set_read_deadline(c, rn_now() + RN_HOUR), -ENOMEM);
    refuse_no_more();
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(rn_read(c, (char[1]){0}, 1), 1);
    rn_conn_close(c);
    close(fds[1]);
}

/* ---- Names ---------------------------------------------------------------------------------------------------- */

static int look_up(int code)
{
    rn_conn *c = NULL;
    int err;

    answers = true;
    answer = code;
    err = rn_dial("tcp", "some.example:80", &c);
    CHECK(!c && err < 0);
    return err;
}

/* Take, or release again, more channels of each size than a processor keeps of those that were released: the next one is
 * made of memory that is asked for. */
static void take_kept(bool take)
{
    enum { SIZES = 8, EACH = 20 };
    static rn_chan(char) ch[SIZES * EACH];

    for (int i = 0; i < SIZES * EACH; i++)
        if (take)
            ch[i] = rn_chan_make(char, i / EACH * 64);
        else
            rn_chan_release(ch[i]);
}

GO_TEST_PROCS(refused_lookup_codes, 1)
{
    CHECK_EQ(look_up(EAI_NONAME), -ENOENT);
    CHECK(strstr(rn_errmsg(-ENOENT), "lookup some.example: no such host"));
    CHECK_EQ(look_up(EAI_NODATA), -ENOENT);
    CHECK_EQ(look_up(EAI_AGAIN), -EAGAIN);
    CHECK(strstr(rn_errmsg(-EAGAIN), "lookup some.example: "));
    CHECK_EQ(look_up(EAI_MEMORY), -ENOMEM);
    CHECK_EQ(look_up(EAI_SYSTEM), -EMFILE);
    CHECK_EQ(look_up(EAI_FAIL), -EIO);
    CHECK_EQ(look_up(EAI_SERVICE), -EINVAL);
    CHECK(strstr(rn_errmsg(-EINVAL), "no such service"));
    CHECK_EQ(look_up(0), -ENOENT); /* a name without an address */

    refuse(MEMORY, ENOMEM, 0, 1);
    CHECK_EQ(look_up(0), -ENOMEM);
    refuse_no_more();
    take_kept(true);
    refuse(MEMORY, ENOMEM, 1, 1);
    CHECK_EQ(look_up(0), -ENOMEM);
    refuse_no_more();
    take_kept(false);
}

enum { ADDRS = 5 };
static struct addrinfo infos[ADDRS];
static struct sockaddr_in in4[ADDRS];
static struct sockaddr_in6 in6[ADDRS];

/* The names' addresses, one a letter: 4 and 6 are this machine's loopback, x is of a family that we do not know. */
static void addresses(const char *families, int port)
{
    int n = (int)strlen(families);

    for (int i = 0; i < n; i++) {
        infos[i] = (struct addrinfo){.ai_socktype = SOCK_STREAM,
                                     .ai_next = i + 1 < n ? &infos[i + 1] : NULL};
        if (families[i] == '6') {
            in6[i] = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                           .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                                           .sin6_port = htons((uint16_t)port)};
            infos[i].ai_family = AF_INET6;
            infos[i].ai_addr = (struct sockaddr *)&in6[i];
            infos[i].ai_addrlen = sizeof(in6[i]);
        } else {
            in4[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
            in4[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            infos[i].ai_family = families[i] == '4' ? AF_INET : AF_APPLETALK;
            infos[i].ai_addr = (struct sockaddr *)&in4[i];
            infos[i].ai_addrlen = sizeof(in4[i]);
        }
    }
    answers = true;
    answer = 0;
    answer_list = infos;
}

/* Of several addresses those that refuse are passed over, whatever their order and family; what is of no family of
 * ours is not tried. */
GO_TEST(refused_addresses)
{
    static const char *const lists[] = {"x4", "64", "446", "666x4", "44644"};
    rn_listener *l = listener();
    char at[40];

    for (int i = 0; i < 5; i++) {
        rn_conn *c = NULL, *here = NULL;

        addresses(lists[i], port_of(l));
        snprintf(at, sizeof(at), "some.example:%d", port_of(l));
        CHECK_EQ(rn_dial("tcp", at, &c), 0);
        CHECK_EQ(rn_accept(l, &here), 0);
        rn_conn_close(c);
        rn_conn_close(here);
        /* Two may have been under way; the loser is closed. */
        rn_listener_set_deadline(l, 1);
        while (rn_accept(l, &here) == 0)
            rn_conn_close(here);
        rn_listener_set_deadline(l, 0);
    }
    {
        rn_conn *c = NULL;
        int port = port_of(l), before;

        rn_listener_close(l);
        before = descriptors();
        addresses("4646", port);
        snprintf(at, sizeof(at), "some.example:%d", port);
        CHECK_EQ(rn_dial("tcp", at, &c), -ECONNREFUSED); /* what the first said */
        CHECK(!c);
        CHECK_EQ(descriptors(), before);
    }
}

/* A race between addresses for which something is refused is an error, and no panic: also where no processor keeps
 * a channel or a goroutine's record for the next. */
GO_TEST_PROCS(refused_race, 1)
{
    rn_listener *l = listener();
    int before = 0, failures = 0;
    char at[40];

    addresses("44", port_of(l));
    snprintf(at, sizeof(at), "some.example:%d", port_of(l));
    for (int skip = -1; skip < 12; skip++) {
        rn_conn *c = NULL, *here = NULL;
        int err;

        take_kept(true);
        if (skip >= 0)
            refuse(MEMORY, ENOMEM, skip, 1);
        err = rn_dial("tcp", at, &c);
        refuse_no_more();
        take_kept(false);
        CHECK(err == 0 || err == -ENOMEM);
        failures += err != 0;
        rn_conn_close(c);
        rn_listener_set_deadline(l, 1); /* whoever came */
        while (rn_accept(l, &here) == 0)
            rn_conn_close(here);
        rn_listener_set_deadline(l, 0);
        if (skip < 0)
            before = descriptors();
        AWAIT(descriptors() <= before);
    }
    CHECK(failures > 3);
    rn_listener_close(l);
}

/* ---- Waiting for descriptors ---------------------------------------------------------------------------------- */

static int wait_pipe(void)
{
    int fds[2], n;

    CHECK_EQ(pipe(fds), 0);
    n = rn_wait_fd(fds[0], RN_READ, rn_ctx_background());
    rn_forget_fd(fds[0]);
    close(fds[0]);
    close(fds[1]);
    return n;
}

GO_TEST(refused_polling)
{
    static const struct {
        long number;
        int error, skip;
    } ways[] = {{SYS_epoll_create1, EMFILE, 0},
                {SYS_eventfd2, ENFILE, 0},
                {SYS_epoll_ctl, ENOMEM, 0},
                {SYS_epoll_ctl, ENOSPC, 1},
                {SYS_ppoll, ENOMEM, 0}};
    int before = descriptors(), fds[2];

    refuse(SYS_mmap, ENOMEM, 0, 1); /* the first block of records */
    CHECK_EQ(wait_pipe(), -ENOMEM);
    refuse_no_more();
    for (int i = 0; i < 5; i++) {
        refuse(ways[i].number, ways[i].error, ways[i].skip, 1);
        CHECK_EQ(wait_pipe(), -ways[i].error);
        refuse_no_more();
        CHECK_EQ(descriptors(), before + (i < 3 ? 0 : 2)); /* then there is an instance */
    }
    CHECK_EQ(refusals, 6);

    CHECK_EQ(pipe(fds), 0);
    refuse(SYS_ppoll, EINTR, 0, 3);
    CHECK_EQ(rn_wait_fd(fds[1], RN_WRITE, NULL), RN_WRITE);
    CHECK_EQ(refusals, 9);
    close(fds[0]);
    close(fds[1]);
}

static void writes_later(int fd)
{
    rn_sleep(3 * RN_MILLISECOND);
    CHECK_EQ(write(fd, "x", 1), 1);
}

/* A kernel, or a sandbox, without epoll_pwait2: it sleeps by the coarser call. */
GO_TEST_PROCS(refused_pwait2, 1)
{
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    refuse(SYS_epoll_pwait2, ENOSYS, 0, 1000000);
    for (int i = 0; i < 3; i++) {
        rn_go(writes_later, fds[1]);
        CHECK_EQ(rn_wait_fd(fds[0], RN_READ, NULL), RN_READ);
        CHECK_EQ(read(fds[0], (char[1]){0}, 1), 1);
    }
    CHECK_EQ(refusals, 1); /* it is not asked again */
    rn_forget_fd(fds[0]);
    close(fds[0]);
    close(fds[1]);
}

/* A thread whose wait needs a runtime, for which there is no memory. */
PLAIN_TEST(refused_wait_without_runtime)
{
    rn_conn *c = NULL;
    int fds[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(rn_conn_adopt(fds[0], &c), 0);
    refuse(MEMORY, ENOMEM, 0, 1000000);
    CHECK_EQ(rn_wait_fd(fds[1], RN_READ, NULL), -ENOMEM);
    CHECK_EQ(rn_read(c, (char[1]){0}, 1), -ENOMEM);
    refuse_no_more();
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(rn_read(c, (char[1]){0}, 1), 1);
    rn_conn_close(c);
    close(fds[1]);
}

/* ---- Memory ----------------------------------------------------------------------------------------------------- */

DEATH_TEST(refused_sleep, "panic: out of memory for a timer")
{
    refuse(MEMORY, ENOMEM, 0, 1000000);
    rn_sleep(RN_HOUR);
}
DEATH_TEST_PLAIN(refused_sleep_thread, "panic: out of memory for a timer")
{
    refuse(MEMORY, ENOMEM, 0, 1000000);
    rn_sleep(RN_HOUR);
}
DEATH_TEST(refused_timer, "panic: out of memory for a timer")
{
    static rn_timer t;

    refuse(MEMORY, ENOMEM, 0, 1000000);
    rn_timer_reset(&t, RN_HOUR);
}
DEATH_TEST(refused_after, "panic: out of memory for a timer")
{
    refuse(MEMORY, ENOMEM, 0, 1);
    rn_go_after(RN_HOUR, test_let_run);
}
DEATH_TEST(refused_after_heap, "panic: out of memory for a timer")
{
    refuse(MEMORY, ENOMEM, 1, 1000000);
    rn_go_after(RN_HOUR, test_let_run);
}

static void many(int n)
{
    (void)n;
}
DEATH_TEST_PROCS(refused_after_fires, 1, "panic: out of memory for an after-function")
{
    rn_go_after(1, test_let_run);
    refuse(MEMORY, ENOMEM, 0, 1000000);
    for (;;) { /* until no record is left for its goroutine */
        rn_chan(int) never;

        while (rn_go_err(many, 1) == 0)
            ;
        if (rn_chan_make_err(&never, 0) == -ENOMEM)
            rn_yield();
    }
}

/* A goroutine for whose stack there is no memory waits until another gives one of that size back. */
static _Atomic bool have_started, may_end, have_run;
static void has_the_stack(void)
{
    have_started = true;
    while (!may_end)
        rn_yield();
}
static void wants_the_stack(void)
{
    have_run = true;
}
GO_TEST(refused_stack_waits_for_one)
{
    const size_t large = (size_t)512 << 20; /* a mapping of its own */

    rn_go_with(RN_ATTR(.stack_size = large), has_the_stack);
    AWAIT(have_started);
    refuse(SYS_mmap, ENOMEM, 0, 1000000);
    rn_go_with(RN_ATTR(.stack_size = large), wants_the_stack);
    AWAIT(refusals > 0);
    test_let_run();
    CHECK(!have_run);
    may_end = true;
    AWAIT(have_run);
    refuse_no_more();
}

/* Memory that comes back is found, whoever was the last to find nothing to do: also when the one who looks at the time,
 * until a timer that is far away, went to sleep before. */
static void *gives_memory_back(void *arg)
{
    struct timespec a_while = {0, 20000000};

    (void)arg;
    nanosleep(&a_while, NULL);
    refuse_no_more();
    return NULL;
}
static void tells(rn_chan(int) ch, int fd)
{
    rn_send(ch, 1);
    CHECK_EQ(__real_write(fd, "x", 1), 1);
}
GO_TEST_PROCS(refused_stack_memory_comes_back, 2)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    for (int bits = 19; bits <= 30;
         bits++) { /* each size for the first time, so that memory is asked for */
        pthread_t thread;
        int before = refusals;
        char byte;

        rn_sleep(RN_MILLISECOND); /* the other thread is idle */
        refuse(SYS_mmap, ENOMEM, 0, 1000000);
        CHECK_EQ(__real_pthread_create(&thread, NULL, gives_memory_back, NULL), 0);
        rn_go_with(RN_ATTR(.stack_size = (size_t)1 << bits), tells, ch, fds[1]);
        if (bits % 2) { /* or the last is one that blocks in C, when the other has gone to sleep */
            struct timespec a_while = {0, 5000000};

            nanosleep(&a_while, NULL);
            CHECK_EQ(rn_blocking(read(fds[0], &byte, 1)), 1);
            CHECK_EQ(rn_recv(ch), 1);
        } else {
            CHECK_EQ(rn_select(rn_on_recv(ch, NULL), rn_on_timeout(RN_HOUR)), 0);
            CHECK_EQ(read(fds[0], &byte, 1), 1);
        }
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK(refusals > before);
    }
    CHECK_EQ(close(fds[0]) + close(fds[1]), 0);
    rn_chan_release(ch);
}

GO_TEST(refused_trace)
{
    refuse(SYS_mmap, ENOMEM, 0, 100);
    CHECK_EQ(rn_trace_start(), -ENOMEM);
    CHECK(!rn_trace_on());
    refuse_no_more();
    CHECK_EQ(rn_trace_start(), 0);
    CHECK(rn_trace_on());
    rn_trace_stop();
}

/* An unknown error has a text also where there is no room for its number. */
GO_TEST(refused_errmsg)
{
    refuse(MEMORY, ENOMEM, 0, 1000000);
    CHECK_STR(rn_errmsg(-100000), "unknown error");
    refuse_no_more();
    CHECK_STR(rn_errmsg(-100000), "unknown error -100000");
}

/* ---- Threads ---------------------------------------------------------------------------------------------------- */

GO_TEST(refused_signal_thread)
{
    refuse(THREAD, EAGAIN, 0, 1);
    CHECK_EQ(rn_dump_on_signal(SIGUSR1), -EAGAIN);
    refuse_no_more();
    CHECK_EQ(rn_dump_on_signal(SIGUSR1), 0);
}

GO_TEST(refused_signal_notify)
{
    rn_chan(int) ch = rn_chan_make(int, 1);
    int v = 0;

    refuse(MEMORY, ENOMEM, 0, 1);
    CHECK_EQ(rn_signal_notify(ch, SIGUSR2), -ENOMEM);
    refuse_no_more();
    refuse(THREAD, EAGAIN, 0, 1);
    CHECK_EQ(rn_signal_notify(ch, SIGUSR2), -EAGAIN);
    refuse_no_more();
    CHECK_EQ(rn_signal_notify(ch, SIGUSR2), 0);
    CHECK_EQ(raise(SIGUSR2), 0);
    CHECK(rn_recv_ok(ch, &v));
    CHECK_EQ(v, SIGUSR2);
    rn_signal_stop(ch);
    rn_chan_release(ch);
}

/* The end of rn_run loses no signal: what was noted before is delivered, however late the thread is that does so, and what
 * comes once that is gone has its former effect. */
static _Atomic int formerly;
static void former(int n)
{
    (void)n;
    formerly++;
}
static void raises(void)
{
    once_gone = NULL;
    CHECK_EQ(raise(SIGUSR2), 0);
}
static int watches_and_ends(rn_chan(int) ch)
{
    CHECK_EQ(rn_signal_notify(ch, SIGUSR2), 0);
    comes_late = true;
    once_gone = raises;
    CHECK_EQ(raise(SIGUSR2), 0);
    return 0;
}
PLAIN_TEST(refused_signal_at_the_end)
{
    rn_chan(int) ch = rn_chan_make(int, 2);

    signal(SIGUSR2, former);
    CHECK_EQ(rn_run(watches_and_ends, ch), 0);
    CHECK(!once_gone);
    CHECK_EQ(rn_len(ch), 1);
    CHECK_EQ(rn_recv(ch), SIGUSR2);
    CHECK_EQ(formerly, 1);
    rn_chan_release(ch);
}

/* The kernel refuses membarrier: a goroutine that computes loses its processor all the same. */
static _Atomic bool set;
static void sets(void)
{
    set = true;
}
PLAIN_TEST(refused_membarrier)
{
    refuse(SYS_membarrier, ENOSYS, 0, 1000000);
    CHECK_EQ(rn_set_procs(1), 0);
    rn_go(sets);
    AWAIT(set);
    CHECK(refusals > 0);
}
static int computes(void)
{
    rn_go(sets);
    while (!set) /* makes no call */
        ;
    return 0;
}
PLAIN_TEST(refused_membarrier_computing)
{
    refuse(SYS_membarrier, ENOSYS, 0, 1000000);
    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(computes), 0);
    CHECK(refusals > 0);
}

static void lets_go(rn_chan(int) gate)
{
    rn_send(gate, 1);
}
static int needs_another(rn_chan(int) gate)
{
    rn_lock_thread(); /* whoever opens the gate needs a thread of its own */
    rn_go(lets_go, gate);
    return rn_recv(gate);
}
/* D25: a thread that the kernel refuses, once or many times over, is asked for again: nothing panics, and what only a
 * second thread can do gets done. */
PLAIN_TEST(refused_thread_is_asked_for_again)
{
    for (int times = 1; times <= 20; times += 19) {
        rn_chan(int) gate = rn_chan_make(int, 0);
        int before = refusals;

        refuse_no_more();
        refuse(THREAD, EAGAIN, 0, times);
        CHECK_EQ(rn_run(needs_another, gate), 1);
        CHECK_EQ(refusals - before, times);
        rn_chan_release(gate);
    }
}

/* rn_run's thread waits for timers itself where there is no other, and is as it was afterwards. */
PLAIN_TEST(refused_thread_and_its_slack)
{
    CHECK_EQ(slack_set(USUAL_SLACK), 0);
    refuse(THREAD, EAGAIN, 0, 1000000);
    CHECK_EQ(rn_run(sleeps_exactly), WORKERS_SLACK);
    CHECK_EQ(slack(), USUAL_SLACK);
    CHECK(refusals > 0);
}

/* Where calls were short again and again rn_blocking keeps the processor, for the monitor to take: not without one. */
static volatile int block_on; /* volatile: compilers would make a place of its own for each */
static __attribute__((noinline)) int reads_there(void)
{
    int fd = block_on;
    char c;

    return rn_blocking(fd < 0 ? 0 : (int)read(fd, &c, 1));
}
static int makes_short_calls(void)
{
    block_on = -1;
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(reads_there(), 0);
    return 0;
}
static void writes_byte(int fd)
{
    CHECK_EQ(__real_write(fd, "x", 1), 1);
}
static int blocks_without_monitor(void)
{
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    rn_go(writes_byte, fds[1]);
    block_on = fds[0];
    CHECK_EQ(reads_there(), 1);
    close(fds[0]);
    close(fds[1]);
    return 0;
}
PLAIN_TEST(refused_monitor_and_a_call_that_blocks)
{
    int before;

    CHECK_EQ(rn_set_procs(1), 0);
    CHECK_EQ(rn_run(makes_short_calls), 0);
    before = refusals;
    refuse(THREAD, EAGAIN, 0, 1);
    CHECK_EQ(rn_run(blocks_without_monitor), 0);
    CHECK_EQ(refusals - before, 1);
}

/* Somebody asks for a thread, with a processor in his hands, while all others find nothing to do; and is refused. Then
 * nothing runs, and it is found out that nothing ever will. */
static _Atomic bool thread_asked, first_parks, nothing_left;
static int first_tid;
static bool asleep(int tid)
{
    char name[64], text[256] = {0};
    const char *state;
    int fd;

    snprintf(name, sizeof(name), "/proc/self/task/%d/stat", tid);
    fd = open(name, O_RDONLY);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    state = strrchr(text, ')');
    CHECK(state);
    return state[2] == 'S';
}
static void refuses_late(void)
{
    thread_asked = true;
    while (!first_parks || !nothing_left || !asleep(first_tid))
        sched_yield();
}
static void takes_note(void)
{
    nothing_left = true;
}
static void *asks_for_a_thread(void *arg)
{
    refuse(THREAD, EAGAIN, 0, 1);
    refuse_wait = refuses_late;
    rn_go(takes_note);
    return arg;
}
DEATH_TEST_PROCS(refused_thread_when_all_are_idle, 2,
                 "fatal error: all goroutines are asleep - deadlock!")
{
    pthread_t thread;

    refuse(THREAD, EAGAIN, 0, 1000000);
    rn_sleep(RN_MILLISECOND); /* rn_run's thread does a worker's work from now on */
    refuse_no_more();
    first_tid = (int)syscall(SYS_gettid);
    CHECK_EQ(__real_pthread_create(&thread, NULL, asks_for_a_thread, NULL), 0);
    CHECK_EQ(pthread_detach(thread), 0);
    while (!thread_asked) /* makes no call that lets another run */
        ;
    first_parks = true;
    rn_select_array(NULL, 0);
}

/* No stack for signal handlers: the worker does without. */
PLAIN_TEST(refused_signal_stack)
{
    refuse(ALT_STACK, ENOMEM, 0, 1000000);
    CHECK_EQ(rn_run(computes), 0);
    CHECK(refusals > 0);
}

/* ---- Reports ---------------------------------------------------------------------------------------------------- */

static void waits(rn_chan(int) ch)
{
    (void)rn_recv(ch);
}

/* What rn_dump says into a pipe. */
static const char *dumped(void)
{
    static char text[65536];
    size_t n = 0;
    ssize_t got;
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    CHECK(fcntl(fds[1], F_SETPIPE_SZ, (int)sizeof(text)) > 0);
    rn_dump(fds[1]);
    refuse_no_more();
    close(fds[1]);
    while ((got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    close(fds[0]);
    return text;
}

/* A report needs no memory: without it each goroutine is told of on its own, and nothing of the text is lost. */
GO_TEST_PROCS(refused_report_memory, 1)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    int whole;

    for (int i = 0; i < 3; i++)
        rn_go_with(RN_ATTR(.name = "waiter"), waits, ch);
    test_let_run();
    refuse(SYS_mmap, ENOMEM, 0, 1000000);
    (void)dumped();
    whole = refusals;
    CHECK(whole > 0);
    for (int first = 0; first <= whole; first++) {
        const char *text;

        refuse(SYS_mmap, ENOMEM, first, 1000000);
        text = dumped();
        CHECK(strncmp(text, "runnel: 4 goroutines, ", 22) == 0);
        CHECK(strstr(text, "[running]:"));
        if (!strstr(text, "waiter") || !strstr(text, "chan receive"))
            test_fail(__FILE__, __LINE__, "with %d mappings: %s", first, text);
    }
    refuse(SYS_mmap, ENOMEM, 0, 1000000);
    CHECK_EQ(rn_leaks(-1), 3);
    refuse_no_more();
    for (int i = 0; i < 3; i++)
        rn_send(ch, i);
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(ch);
}

GO_TEST(refused_report_interrupted)
{
    const char *text;

    refuse(WRITE_CALL, EINTR, 0, 2);
    text = dumped();
    CHECK_EQ(refusals, 2);
    CHECK(strstr(text, "goroutine 1 [running]:"));
    refuse(WRITE_CALL, EPIPE, 0, 1000);
    CHECK_STR(dumped(), "");
}

/* ---- Child processes ---------------------------------------------------------------------------------------------- */

/* A child whose output always has more to be read: its context ends it, and `drain` what is left of it. */
static const char *const idler[] = {"sleep", "1000", NULL};
static const rn_exec_options idler_options = {
    .argv = idler, .out = RN_STDIO_KEEP(100), .drain = RN_MILLISECOND};

GO_TEST(refused_child_writes_without_end)
{
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_exec_result r;
    rn_child *c;

    is_endless = true;
    CHECK_EQ(rn_exec_start(ctx, &idler_options, &c), 0);
    AWAIT(vector_reads > 3);
    rn_ctx_cancel(ctx);
    CHECK_EQ(rn_child_wait(c, &r), -ECANCELED);
    CHECK_EQ(r.signal, SIGTERM);
    CHECK(r.cut);
    CHECK_EQ(r.out_size, 100);
    rn_child_release(c);
    rn_ctx_end(ctx);
}

/* And so does the end of the runtime. */
static rn_child *left_child;
static int leaves_a_child(void)
{
    is_endless = true;
    CHECK_EQ(rn_exec_start(NULL, &idler_options, &left_child), 0);
    AWAIT(vector_reads > 3);
    return 0;
}
PLAIN_TEST(refused_child_writes_beyond_the_end)
{
    rn_exec_result r;

    CHECK_EQ(rn_run(leaves_a_child), 0);
    CHECK_EQ(kill(rn_child_pid(left_child), 0), -1); /* killed and reaped by now */
    CHECK_EQ(rn_child_wait(left_child, &r), -ECANCELED);
    CHECK_EQ(r.signal, SIGKILL);
    rn_child_release(left_child);
}

/* ---- How many CPUs ------------------------------------------------------------------------------------------------ */

static char root[64];
static void put(const char *path, const char *text)
{
    char at[600];
    FILE *f;

    snprintf(at, sizeof(at), "%s%s", root, path);
    for (char *slash = at + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        (void)mkdir(at, 0755);
        *slash = '/';
    }
    f = fopen(at, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}
static void new_root(void)
{
    strcpy(root, "/tmp/runnel-cpus-XXXXXX");
    CHECK(mkdtemp(root));
    other_root = root;
}
static void end_root(void)
{
    char command[100];

    snprintf(command, sizeof(command), "rm -rf %s", root);
    CHECK_EQ(system(command), 0);
}

/* What a process sees that is allowed so many CPUs: each in a child, since the number is asked for once. */
static int procs_of_child(int allowed)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        cpus_allowed = allowed;
        _exit((int)rn_procs());
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The tightest quota on the way from the process's group to the root counts, rounded up; what cannot be read does
 * not. */
PLAIN_TEST(refused_cpus_quota)
{
    char longer[4400];

    unsetenv("RUNNEL_PROCS");
    new_root();
    CHECK_EQ(procs_of_child(8), 8); /* no list of groups */
    put("/proc/self/cgroup", "0::/a/b\n");
    CHECK_EQ(procs_of_child(8), 8); /* no quotas */
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CHECK_EQ(procs_of_child(8), 8);
    put("/sys/fs/cgroup/a/b/cpu.max", "550000 100000\n");
    CHECK_EQ(procs_of_child(8), 6);
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    CHECK_EQ(procs_of_child(8), 3);
    CHECK_EQ(procs_of_child(2), 2);
    put("/sys/fs/cgroup/cpu.max", "20000 100000\n");
    CHECK_EQ(procs_of_child(8), 1);
    put("/sys/fs/cgroup/cpu.max", "0 100000\n");
    CHECK_EQ(procs_of_child(8), 3);
    CHECK_EQ(procs_of_child(-1), 1); /* and who does not tell which it may use has one */

    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    CHECK_EQ(procs_of_child(8), 4);

    /* The older form, and lines that say nothing. */
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    memcpy(longer, "0::/", 4);
    put("/proc/self/cgroup", "nothing\n1\n7:cpuset:/c\n5:one colon\n4:cpu,cpuacct:/c\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "500000\n");
    CHECK_EQ(procs_of_child(8), 8);
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(procs_of_child(8), 5);
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
    CHECK_EQ(procs_of_child(8), 8);
    put("/proc/self/cgroup", longer);
    CHECK_EQ(procs_of_child(8), 8);
    put("/proc/self/cgroup", "0::/a/b\n");
    refuse(SYS_read, EIO, 0, 1000);
    CHECK_EQ(procs_of_child(8), 8);
    end_root();
}

/* CPUs that come and go while the program runs are used, and left. */
static _Atomic int at_once, most;
static void works(rn_wg *wg)
{
    rn_time until = rn_now() + RN_MILLISECOND;
    int now = ++at_once;

    for (int was = most; now > was && !atomic_compare_exchange_weak(&most, &was, now);)
        ;
    while (rn_now() < until)
        ;
    at_once--;
    rn_wg_done(wg);
}
static int follows(void)
{
    static rn_wg wg;
    static const int sizes[] = {4, 3, 6, 2};

    CHECK_EQ(rn_procs(), 2);
    for (int i = 0; i < 4; i++) {
        cpus_allowed = sizes[i];
        while ((int)rn_procs() != sizes[i]) { /* work keeps whoever looks at them awake */
            rn_wg_add(&wg, 40);
            for (int k = 0; k < 40; k++)
                rn_go(works, &wg);
            rn_wg_wait(&wg);
        }
    }
    return 0;
}
PLAIN_TEST(refused_cpus_follow)
{
    unsetenv("RUNNEL_PROCS");
    new_root();
    cpus_online = 6;
    cpus_allowed = 2;
    CHECK_EQ(rn_run(follows), 0);
    end_root();
}
