/* SPDX-License-Identifier: MIT */
/*
 * cases.c - programs that must not compile, one for each CASE, and what the compiler must say.
 *
 * refuse.sh compiles each case twice: with the mistake, which must be refused with the text of the
 * line that begins with "//=", and without it, which must compile. Behind the text may follow, in
 * brackets: flags for the compiler; "gcc only" or "clang only"; "lax" where RN_LAX lets the mistake
 * through. A text of several forms is written as form|form.
 */
#ifdef LAX
#define RN_LAX
#endif
#include <runnel.h>

#ifdef MISTAKE
#define WRONG(...) __VA_ARGS__
#define RIGHT(...)
#else
#define WRONG(...)
#define RIGHT(...) __VA_ARGS__
#endif

struct big {
    long value[3]; /* 24 bytes */
};
struct aligned {
    int value;
} __attribute__((aligned(32)));
struct job {
    int id, cost;
};

rn_chan(int) ch;
rn_recv_only(int) in;
rn_send_only(int) out;
rn_chan(double) doubles;
rn_wg wg;
rn_once once;
rn_group group;
rn_flight flight;
int value;
double number;
bool ok;

void takes_int(int a);
void takes_two(int a, const char *b);
void takes_pointer(int *p);
void takes_text(const char *text);
void takes_big(struct big b);
void takes_aligned(struct aligned a);
void takes_in(rn_recv_only(int) c);
void takes_out(rn_send_only(int) c);
void takes_both(rn_chan(int) c);
void takes_15(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l,
              int m, int n, int o);
void takes_nothing(void);
int gives_int(int a);
void sum_big(const struct big *b);

void test(bool condition);
void test(bool condition)
{
    struct big big = {{1, 2, 3}};
    struct aligned aligned = {1};
    int array[4] = {0};

    (void)condition, (void)big, (void)aligned, (void)array;

    /* ---- CHAN-37: directions ---- */
#if CASE == 1
    //= send on a receive-only channel: in
    WRONG(rn_send(in, 1);) RIGHT(rn_send(out, 1);)
#elif CASE == 2
    //= send on a receive-only channel: in
    WRONG((void)rn_try_send(in, 1);) RIGHT((void)rn_try_send(out, 1);)
#elif CASE == 3
    //= send on a receive-only channel: in
    WRONG((void)rn_send_ctx(NULL, in, 1);) RIGHT((void)rn_send_ctx(NULL, out, 1);)
#elif CASE == 4
    /* SEL-30 */
    //= send on a receive-only channel: in
    WRONG((void)rn_select(rn_on_send(in, 1));) RIGHT((void)rn_select(rn_on_send(out, 1));)
#elif CASE == 5
    //= receive from a send-only channel: out
    WRONG((void)rn_recv(out);) RIGHT((void)rn_recv(in);)
#elif CASE == 6
    //= receive from a send-only channel: out
    WRONG((void)rn_recv_ok(out, &value);) RIGHT((void)rn_recv_ok(in, &value);)
#elif CASE == 7
    //= receive from a send-only channel: out
    WRONG(rn_range (v, out)(void) v;) RIGHT(rn_range (v, in)(void) v;)
#elif CASE == 8
    //= receive from a send-only channel: out
    WRONG((void)rn_try_recv(out, &value);) RIGHT((void)rn_try_recv(in, &value);)
#elif CASE == 9
    //= receive from a send-only channel: out
    WRONG((void)rn_recv_ctx(NULL, out, &value);) RIGHT((void)rn_recv_ctx(NULL, in, &value);)
#elif CASE == 10
    /* SEL-30 */
    //= receive from a send-only channel: out
    WRONG((void)rn_select(rn_on_recv(out, &value));) RIGHT((void)rn_select(rn_on_recv(in, &value));)
#elif CASE == 11
    //= close of a receive-only channel: in
    WRONG(rn_close(in);) RIGHT(rn_close(out);)
#elif CASE == 12
    /* D28: the function of that name takes no receive-only channel. */
    //= discards 'const' qualifier|discards ‘const’ qualifier|discards qualifiers [lax]
    WRONG(rn_defer(rn_close, in);) RIGHT(rn_defer(rn_close, out);)
#elif CASE == 13
    //= discards 'const' qualifier|discards ‘const’ qualifier|discards qualifiers [lax]
    WRONG(takes_both(in);) RIGHT(takes_both(ch);)
#elif CASE == 14
    //= discards 'volatile' qualifier|discards ‘volatile’ qualifier|discards qualifiers [lax]
    WRONG(takes_both(out);) RIGHT(takes_out(ch);)
#elif CASE == 15
    //= discards 'const' qualifier|discards ‘const’ qualifier|discards qualifiers [lax]
    WRONG(takes_out(in);) RIGHT(takes_in(ch);)
#elif CASE == 16
    //= discards 'const' qualifier|discards ‘const’ qualifier|discards qualifiers [lax]
    WRONG(ch = in;) RIGHT(in = ch;)
#elif CASE == 17
    /* The capturing call checks as a call does. */
    //= discards 'const' qualifier|discards ‘const’ qualifier|discards qualifiers [lax]
    WRONG(rn_go(takes_out, in);) RIGHT(rn_go(takes_out, ch);)

    /* ---- Element types ---- */
#elif CASE == 18
    //= incompatible pointer type [lax]
    WRONG(ch = doubles;) RIGHT(ch = ch;)
#elif CASE == 19
    //= incompatible pointer type [lax]
    WRONG(takes_in(doubles);) RIGHT(takes_in(ch);)
#elif CASE == 20
    //= incompatible pointer type [lax]
    WRONG(rn_go(takes_in, doubles);) RIGHT(rn_go(takes_in, ch);)
#elif CASE == 21
    //= incompatible type|incompatible types
    WRONG(rn_send(ch, big);) RIGHT(rn_send(ch, (int)big.value[0]);)
#elif CASE == 22
    //= incompatible pointer type|pointer type mismatch [lax]
    WRONG((void)rn_recv_ok(ch, &number);) RIGHT((void)rn_recv_ok(ch, &value);)
#elif CASE == 23
    //= incompatible pointer type|pointer type mismatch [lax]
    WRONG((void)rn_select(rn_on_recv(ch, &number));) RIGHT((void)rn_select(rn_on_recv(ch, &value));)
#elif CASE == 24
    //= incompatible pointer type|pointer type mismatch [lax]
    WRONG((void)rn_select(rn_on_send_from(ch, &number));)
    RIGHT((void)rn_select(rn_on_send_from(ch, &value));)
#elif CASE == 25
    //= incompatible pointer type [lax]
    WRONG((void)rn_recv_ctx(NULL, ch, &value), ch = rn_chan_make(long, 1);)
    RIGHT((void)rn_recv_ctx(NULL, ch, &value), ch = rn_chan_make(int, 1);)
#elif CASE == 26
    //= integer|makes pointer from integer
    WRONG(rn_chan(int *) p = rn_chan_make(int *, 1); rn_send(p, 7);)
    RIGHT(rn_chan(int *) p = rn_chan_make(int *, 1); rn_send(p, &value);)
#elif CASE == 27
    /* CHAN-08 */
    //= channel element of 64 KiB or more
    WRONG((void)rn_chan_make(struct { char c[65536]; }, 1);)
    RIGHT((void)rn_chan_make(struct { char c[65535]; }, 1);)
#elif CASE == 28
    /* D28: the macro takes channels alone. */
    //= not a channel|called object|not a function
    WRONG(rn_close(&value);) RIGHT(rn_close(ch);)
#elif CASE == 29
    //= not a channel|called object|not a function
    WRONG((void)rn_len(array);) RIGHT((void)rn_len(ch);)
#elif CASE == 30
    //= not a pointer to a channel
    WRONG((void)rn_chan_make_err(&in, 1);) RIGHT((void)rn_chan_make_err(&ch, 1);)

    /* ---- Captured calls ---- */
#elif CASE == 31
    //= too few arguments
    WRONG(rn_go(takes_two, 1);) RIGHT(rn_go(takes_two, 1, "two");)
#elif CASE == 32
    //= too many arguments
    WRONG(rn_go(takes_int, 1, 2);) RIGHT(rn_go(takes_int, 1);)
#elif CASE == 33
    //= integer|makes pointer from integer [lax]
    WRONG(rn_go(takes_pointer, 5);) RIGHT(rn_go(takes_pointer, &value);)
#elif CASE == 34
    //= incompatible pointer type [lax]
    WRONG(rn_go(takes_pointer, &number);) RIGHT(rn_go(takes_pointer, &value);)
#elif CASE == 35
    /* D4 */
    //= argument above 16 bytes: pass a pointer
    WRONG(rn_go(takes_big, big);) RIGHT(rn_go_copy(sum_big, &big);)
#elif CASE == 36
    /* D4 */
    //= argument above 16 bytes: pass a pointer
    WRONG(rn_go(takes_aligned, aligned);) RIGHT(rn_go(takes_int, aligned.value);)
#elif CASE == 37
    /* D32 */
    //= an array would dangle
    WRONG(rn_go(takes_pointer, array);) RIGHT(rn_go(takes_pointer, &array[0]);)
#elif CASE == 38
    /* D32 */
    //= an array would dangle
    WRONG(char text[] = "text"; rn_go(takes_text, text);) RIGHT(rn_go(takes_text, "text");)
#elif CASE == 39
    //= at most 14 arguments|too many
    WRONG(rn_go(takes_15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);)
    RIGHT(takes_15(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);)
#elif CASE == 40
    //= too few arguments
    WRONG(rn_wg_go(&wg, takes_int);) RIGHT(rn_wg_go(&wg, takes_int, 1);)
#elif CASE == 41
    //= incompatible pointer type [lax]
    WRONG(rn_wg_go(&once, takes_int, 1);) RIGHT(rn_wg_go(&wg, takes_int, 1);)
#elif CASE == 42
    /* D29 */
    //= result is used: it must return int
    WRONG(rn_group_go(&group, takes_int, 1);) RIGHT(rn_group_go(&group, gives_int, 1);)
#elif CASE == 43
    /* D29 */
    //= result is used: it must return int
    WRONG((void)rn_group_try_go(&group, takes_int, 1);)
    RIGHT((void)rn_group_try_go(&group, gives_int, 1);)
#elif CASE == 44
    /* D29 */
    //= result is used: it must return int
    WRONG((void)rn_run(takes_nothing);) RIGHT((void)rn_run(gives_int, 3);)
#elif CASE == 45
    /* D29 */
    //= result is used: it must return int
    WRONG((void)rn_flight_do(&flight, "key", &value, takes_int, 1);)
    RIGHT((void)rn_flight_do(&flight, "key", &value, gives_int, 1);)
#elif CASE == 46
    //= incompatible pointer type [lax]
    WRONG(rn_go_copy(sum_big, &number);) RIGHT(rn_go_copy(sum_big, &big);)
#elif CASE == 47
    //= too many arguments
    WRONG(rn_once_do(&once, takes_nothing, 1);) RIGHT(rn_once_do(&once, takes_nothing);)
#elif CASE == 48
    //= too few arguments
    WRONG((void)rn_after_func(1, takes_int);) RIGHT((void)rn_after_func(1, takes_int, 1);)

    /* ---- rn_defer ---- */
#elif CASE == 49
    /* D5: a declaration needs braces. */
    //= expected expression|expected expression before
    WRONG(if (condition) rn_defer(takes_int, 1);) RIGHT(if (condition) { rn_defer(takes_int, 1); })
#elif CASE == 50
    //= expected expression|expected expression before
    WRONG(while (condition) rn_defer(takes_nothing);)
    RIGHT(while (condition) { rn_defer(takes_nothing); })
#elif CASE == 51
    //= integer|makes pointer from integer [lax]
    WRONG(rn_defer(takes_pointer, 5);) RIGHT(rn_defer(takes_pointer, &value);)
#elif CASE == 52
    //= incompatible pointer type [lax]
    WRONG(rn_defer(takes_pointer, &number);) RIGHT(rn_defer(takes_pointer, &value);)
#elif CASE == 53
    //= too few arguments
    WRONG(rn_defer(takes_two, 1);) RIGHT(rn_defer(takes_two, 1, "two");)
#elif CASE == 54
    //= an array would dangle
    WRONG(rn_defer(takes_pointer, array);) RIGHT(rn_defer(takes_pointer, &array[0]);)
#elif CASE == 55
    //= argument above 16 bytes
    WRONG(rn_defer(takes_big, big);) RIGHT(rn_defer(sum_big, &big);)
#elif CASE == 56
    /* D5: clang refuses to jump over a record; gcc allows it, and nothing runs. */
    //= cannot jump from switch statement to this case label [clang only]
    WRONG(switch (value) {
        case 0:;
            rn_defer(takes_int, 1);
            break;
        case 1:
            break;
    })
    RIGHT(switch (value) {
        case 0: {
            rn_defer(takes_int, 1);
            break;
        }
        case 1:
            break;
    })

    /* ---- Select ---- */
#elif CASE == 57
    /* D24: a list in braces says nothing about its type. */
    //= expected ';'
    WRONG(rn_chan(struct job) jobs = NULL; (void)rn_select(rn_on_send(jobs, {1, 2}));)
    RIGHT(rn_chan(struct job) jobs = NULL; (void)rn_select(rn_on_send(jobs, (struct job){1, 2}));)
#elif CASE == 58
    //= expected ';'
    WRONG(rn_chan(struct job) jobs = NULL; rn_send(jobs, {1, 2});)
    RIGHT(rn_chan(struct job) jobs = NULL; rn_send(jobs, (struct job){1, 2});)
#elif CASE == 59
    /* D26: a forgotten case. */
    //= TIMEOUT [-Wswitch -Werror]
    switch (rn_select_named(VALUE, rn_on_recv(ch, &value), TIMEOUT, rn_on_timeout(1))) {
    case VALUE:
        break;
        RIGHT(case TIMEOUT : break;)
    }
#elif CASE == 60
    /* D26: one too many. */
    //= not in enumerated type|undeclared [-Wswitch -Werror]
    switch (rn_select_named(VALUE, rn_on_recv(ch, &value), TIMEOUT, rn_on_timeout(1))) {
    case VALUE:
    case TIMEOUT:
        break;
        WRONG(case GONE : break;)
    }
#elif CASE == 61
    /* D26: a name may come again in another select, but not in the same. */
    //= redeclaration|redefinition
    (void)rn_select_named(VALUE, rn_on_recv(ch, &value), WRONG(VALUE) RIGHT(OTHER), rn_default);
#elif CASE == 62
    //= pointer type mismatch|incompatible pointer type [lax]
    WRONG((void)rn_select(rn_on_done(&wg));)
    RIGHT((void)rn_select(rn_on_done(rn_ctx_background()));)
#elif CASE == 63
    //= incompatible pointer type [lax]
    WRONG((void)rn_select(rn_on_recv_ok(ch, &value, &value));)
    RIGHT((void)rn_select(rn_on_recv_ok(ch, &value, &ok));)
#elif CASE == 74
    /* SEL-30: to send takes a value, */
    //= expected expression
    WRONG((void)rn_select(rn_on_send(ch));) RIGHT((void)rn_select(rn_on_send(ch, 1));)
#elif CASE == 75
    /* SEL-30 */
    //= requires 2 arguments|too few arguments provided
    WRONG((void)rn_select(rn_on_send_from(ch));)
    RIGHT((void)rn_select(rn_on_send_from(ch, &value));)
#elif CASE == 76
    /* SEL-30: and to receive takes none. */
    //= integer|makes pointer from integer
    WRONG((void)rn_select(rn_on_recv(ch, 5));) RIGHT((void)rn_select(rn_on_recv(ch, &value));)

#elif CASE == 69
    //= rn__made_by_rn_on [lax]
    WRONG((void)rn_select(ch);) RIGHT((void)rn_select(rn_on_recv(ch, NULL));)
#elif CASE == 70
    //= rn__made_by_rn_on [lax]
    WRONG((void)rn_select(rn_ctx_background());)
    RIGHT((void)rn_select(rn_on_done(rn_ctx_background()));)
#elif CASE == 71
    //= not a function: write (fn, a, b), not (fn(a, b))
    WRONG(rn_go(takes_int(1));) RIGHT(rn_go(takes_int, 1);)
#elif CASE == 72
    //= not a function: write (fn, a, b), not (fn(a, b))
    WRONG(rn_group_go(&group, gives_int(1));) RIGHT(rn_group_go(&group, gives_int, 1);)
#elif CASE == 73
    //= not a function: write (fn, a, b), not (fn(a, b))
    WRONG(rn_defer(takes_int(1));) RIGHT(rn_defer(takes_int, 1);)

#elif CASE == 77
    /* D35: of any type; and no compiler calls what is inside unused. */
    //= void [-Wall -Wextra -Werror]
    WRONG(value = rn_blocking(takes_int(1));)
    RIGHT(rn_blocking(takes_int(1)); value = rn_blocking(gives_int(1));)

    /* ---- The rest ---- */
#elif CASE == 64
    /* D31: format(printf) */
    //= -Wformat|-Werror=format [-Wformat -Werror]
    WRONG((void)rn_errorf(-1, "%s", 5);) RIGHT((void)rn_errorf(-1, "%d", 5);)
#elif CASE == 65
    //= -Wformat|-Werror=format [-Wformat -Werror]
    WRONG(rn_panic("%d", "text");) RIGHT(rn_panic("%s", "text");)
#elif CASE == 66
    //= unused result|warn_unused_result|-Wunused-result [-Wunused-result -Werror]
    WRONG(rn_group_wait(&group);) RIGHT((void)!rn_group_wait(&group);)
#elif CASE == 67
    //= unused result|warn_unused_result|-Wunused-result [-Wunused-result -Werror]
    rn_sem sem = RN_SEM(1);
    WRONG(rn_sem_acquire(NULL, &sem, 1);) RIGHT((void)!rn_sem_acquire(NULL, &sem, 1);)
#elif CASE == 68
    /* D36: a function that ends the goroutine: what follows needs no value. */
    //= control reaches end|does not return a value|-Wreturn-type [-Wreturn-type -Werror]
}
int last(void);
int last(void)
{
    WRONG(rn_yield();) RIGHT(rn_exit(0);)
#else
#error "no such case"
#endif
}
