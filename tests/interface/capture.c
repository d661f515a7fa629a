/* SPDX-License-Identifier: MIT */
/*
 * capture.c - arguments arrive as a call would pass them: every type, registers and stack, evaluated
 * once. What the macros compile to differs from compiler to compiler, what happens must not: packaging.sh
 * links the tour in every way.
 */
#include "support.h"

#include <float.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>

#ifdef CAPTURE_OTHER_WAY
/*
 * D3: as compilers do that keep the record in another register: on aarch64 gcc and older clang have it in x18, clang
 * from 20 on in x15. The calls of this one go the other's way in; and the register that was right is spoilt.
 */
__asm__(".text\n"
        ".p2align 4\n"
        ".type other_way, %function\n"
        "other_way:\n"
        "        hint    #34\n"
#if defined(__clang__) && __clang_major__ >= 20
        "        mov     x18, x15\n"
        "        mov     x15, #1\n"
        "        adrp    x16, :got:rn__capture_at\n"
        "        ldr     x16, [x16, :got_lo12:rn__capture_at]\n"
#else
        "        mov     x15, x18\n"
        "        mov     x18, #1\n"
        "        adrp    x16, :got:rn__capture_x15_at\n"
        "        ldr     x16, [x16, :got_lo12:rn__capture_x15_at]\n"
#endif
        "        ldr     x16, [x16]\n"
        "        br      x16\n"
        ".size other_way, . - other_way\n");
void other_way(void);
/* The library's are variables too: of a function that it sees, gcc knows the type. */
extern volatile uintptr_t other_way_at;
volatile uintptr_t other_way_at = (uintptr_t)&other_way;

#undef RN__CAPTURE_AT
#define RN__CAPTURE_AT other_way_at
#endif

static _Atomic int arrived;

/* Waits for the goroutine started last. */
static void expect_arrival(const char *file, int line)
{
    test_expect_settled(file, line);
    if (arrived != 1)
        test_fail(file, line, "%d arrivals", arrived);
    arrived = 0;
}

#define ARRIVES(...)                                                                               \
    do {                                                                                           \
        rn_go(__VA_ARGS__);                                                                        \
        expect_arrival(__FILE__, __LINE__);                                                        \
    } while (0)

/* One function for each type, which compares bytes: two arguments, the second behind the first. */
#define TYPE_TEST(name, T, first, second)                                                          \
    static void take_##name(T a, T b)                                                              \
    {                                                                                              \
        CHECK(a == (first));                                                                       \
        CHECK(b == (second));                                                                      \
        arrived++;                                                                                 \
    }                                                                                              \
    GO_TEST(capture_##name)                                                                        \
    {                                                                                              \
        T b = second;                                                                              \
                                                                                                   \
        ARRIVES(take_##name, first, b);                                                            \
    }

/* Each scalar type, converted to the parameter's type as in a call. */
TYPE_TEST(char, char, 'x', 'y')
TYPE_TEST(signed_char, signed char, -128, 127)
TYPE_TEST(unsigned_char, unsigned char, 255, 0)
TYPE_TEST(bool, bool, true, false)
TYPE_TEST(short, short, SHRT_MIN, SHRT_MAX)
TYPE_TEST(unsigned_short, unsigned short, USHRT_MAX, 1)
TYPE_TEST(int, int, INT_MIN, INT_MAX)
TYPE_TEST(unsigned, unsigned, UINT_MAX, 7u)
TYPE_TEST(long, long, LONG_MIN, LONG_MAX)
TYPE_TEST(unsigned_long_long, unsigned long long, ULLONG_MAX, 1ull)
TYPE_TEST(float, float, 1.5f, -FLT_MAX)
TYPE_TEST(double, double, -0.1, DBL_MIN)
TYPE_TEST(pointer, void *, (void *)&arrived, NULL)
TYPE_TEST(const_pointer, const int *, (const int *)&arrived, NULL)
__extension__ typedef __int128 wide_int;
TYPE_TEST(int128, wide_int, ((wide_int)1 << 100) + 3, -((wide_int)7 << 70))

enum colour { RED = -1, GREEN, BLUE = 0x7fffffff };
TYPE_TEST(enum, enum colour, RED, BLUE)

#if defined(__aarch64__)
TYPE_TEST(long_double, long double, 1.25L, -LDBL_MAX)
#endif

static void complex_double(double _Complex z, float _Complex w)
{
    CHECK(__real__ z == 1.5 && __imag__ z == -2.5);
    CHECK(__real__ w == 3.5f && __imag__ w == -4.5f);
    arrived++;
}

GO_TEST(capture_complex)
{
    double _Complex z;
    float _Complex w;

    __real__ z = 1.5, __imag__ z = -2.5;
    __real__ w = 3.5f, __imag__ w = -4.5f;
    ARRIVES(complex_double, z, w);
}

typedef float four_floats __attribute__((vector_size(16)));

static void vectors(four_floats a, int n, four_floats b)
{
    for (int i = 0; i < 4; i++) {
        CHECK(a[i] == (float)i + 0.5f);
        CHECK(b[i] == (float)-i);
    }
    CHECK_EQ(n, 5);
    arrived++;
}

/* D4: whole vector registers, not their lower halves. */
GO_TEST(capture_vectors)
{
    ARRIVES(vectors, ((four_floats){0.5f, 1.5f, 2.5f, 3.5f}), 5, ((four_floats){0, -1, -2, -3}));
}

static void conversions(double d, int i, unsigned char c, long l, bool b, const char *text)
{
    CHECK(d == 3.0);
    CHECK_EQ(i, 2);
    CHECK_EQ(c, 44);
    CHECK_EQ(l, -1);
    CHECK(b);
    CHECK_STR(text, "text");
    arrived++;
}

/* D32: converted as a call converts: integer to double, double to int, cut, widened; a string literal is
 * allowed, being there for ever. */
GO_TEST(capture_conversions)
{
    volatile int three = 3, minus_one = -1;
    volatile double two = 2.9;

    ARRIVES(conversions, three, (int)two, (unsigned char)300, minus_one, three, "text");
}

struct bytes1 {
    unsigned char b[1];
};
struct bytes7 {
    unsigned char b[7];
};
struct two_longs {
    long a, b;
};
struct two_doubles {
    double a, b;
};
struct long_double_pair {
    long a;
    double b;
};
struct double_long_pair {
    double a;
    long b;
};
struct floats4 {
    float f[4];
};
struct packed_ends {
    char a;
    int b;
    short c;
};
union any {
    int i;
    double d;
    char text[16];
};

static void structs(struct bytes1 a, struct bytes7 b, struct two_longs c, struct two_doubles d,
                    struct long_double_pair e)
{
    CHECK_EQ(a.b[0], 200);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(b.b[i], 10 + i);
    CHECK(c.a == -1 && c.b == LONG_MAX);
    CHECK(d.a == 0.25 && d.b == -0.5);
    CHECK(e.a == 77 && e.b == 7.75);
    arrived++;
}

static void more_structs(struct double_long_pair a, struct floats4 b, struct packed_ends c,
                         union any d, struct two_longs e, struct two_longs f)
{
    CHECK(a.a == 1.125 && a.b == -5);
    for (int i = 0; i < 4; i++)
        CHECK(b.f[i] == (float)i * 2);
    CHECK(c.a == 'c' && c.b == -123456 && c.c == 321);
    CHECK_STR(d.text, "fifteen letters");
    CHECK(e.a == 1 && e.b == 2);
    CHECK(f.a == 3 && f.b == 4);
    arrived++;
}

/* D4: structs and unions up to 16 bytes, in integer and vector registers, both, and on the stack. */
GO_TEST(capture_structs)
{
    struct bytes7 seven = {{10, 11, 12, 13, 14, 15, 16}};
    union any any = {.text = "fifteen letters"};

    ARRIVES(structs, (struct bytes1){{200}}, seven, ((struct two_longs){-1, LONG_MAX}),
            ((struct two_doubles){0.25, -0.5}), ((struct long_double_pair){77, 7.75}));
    ARRIVES(more_structs, ((struct double_long_pair){1.125, -5}), ((struct floats4){{0, 2, 4, 6}}),
            ((struct packed_ends){'c', -123456, 321}), any, ((struct two_longs){1, 2}),
            ((struct two_longs){3, 4}));
}

static void integers14(int a, long b, short c, char d, int e, long f, int g, long h, int i, long j,
                       short k, char l, int m, long n)
{
    CHECK(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7);
    CHECK(h == -8 && i == 9 && j == -10 && k == 11 && l == 12 && m == -13 && n == 14);
    arrived++;
}

static void integers9(long a, long b, long c, long d, long e, long f, long g, long h, long i)
{
    CHECK(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8 && i == 9);
    arrived++;
}

static void doubles10(double a, double b, double c, double d, double e, double f, double g,
                      double h, double i, double j)
{
    CHECK(a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8);
    CHECK(i == 9 && j == 10);
    arrived++;
}

static void mixed14(int a, double b, void *c, float d, struct two_longs e, struct two_doubles f,
                    char g, double h, long i, float j, double k, double l, long m, double n)
{
    CHECK(a == 1 && b == 2 && c == &arrived && d == 4);
    CHECK(e.a == 5 && e.b == 55 && f.a == 6 && f.b == 66);
    CHECK(g == 7 && h == 8 && i == 9 && j == 10 && k == 11 && l == 12 && m == 13 && n == 14);
    arrived++;
}

/* D4: nine and more arguments: what has no register travels on the caller's stack. Up to 14. */
GO_TEST(capture_many_arguments)
{
    struct two_longs e = {5, 55};
    struct two_doubles f = {6, 66};

    ARRIVES(integers9, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    ARRIVES(integers14, 1, 2, 3, 4, 5, 6, 7, -8, 9, -10, 11, 12, -13, 14);
    ARRIVES(doubles10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    ARRIVES(mixed14, 1, 2, &arrived, 4, e, f, 7, 8, 9, 10, 11, 12, 13, 14);
}

static void no_argument(void)
{
    arrived++;
}

/* No argument; the empty list is no trouble for any form. */
GO_TEST(capture_no_argument)
{
    rn_wg wg = {0};
    rn_once once = {0};

    ARRIVES(no_argument);
    rn_wg_go(&wg, no_argument);
    rn_wg_wait(&wg);
    rn_once_do(&once, no_argument);
    {
        rn_defer(no_argument);
    }
    CHECK_EQ(rn_go_err(no_argument), 0);
    rn_go_with(RN_ATTR(.name = "nobody"), no_argument);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(arrived, 5);
}

static void add(int a, int b)
{
    CHECK(a == 40 && b == 2);
    arrived++;
}

struct methods {
    void (*add)(int, int);
};

static void (*choose(bool first))(int, int)
{
    return first ? add : NULL;
}

/* The function may be a variable, a member, an element, a result, or dereferenced. */
GO_TEST(capture_function_pointers)
{
    void (*variable)(int, int) = add;
    void (*const constant)(int, int) = add;
    void (*table[2])(int, int) = {NULL, add};
    struct methods methods = {add}, *m = &methods;

    ARRIVES(variable, 40, 2);
    ARRIVES(constant, 40, 2);
    ARRIVES(table[1], 40, 2);
    ARRIVES(m->add, 40, 2);
    ARRIVES(choose(true), 40, 2);
    ARRIVES(*variable, 40, 2);
    ARRIVES(&add, 40, 2);
    ARRIVES((add), 40, 2);
    ARRIVES((arrived == 0 ? add : NULL), 40, 2);
}

static void take_function(int (*fn)(int), int argument, int result)
{
    CHECK_EQ(fn(argument), result);
    arrived++;
}

/* A function as an argument; a function of the C library as the target. */
GO_TEST(capture_functions_as_arguments)
{
    ARRIVES(take_function, abs, -5, 5);
    rn_go(free, malloc(10));
    rn_go(abs, -3);
    test_expect_settled(__FILE__, __LINE__);
}

static int variadic(int a, ...)
{
    va_list args;
    double d;
    int i;

    va_start(args, a);
    i = va_arg(args, int);
    d = va_arg(args, double);
    va_end(args);
    CHECK(a == 'a' && i == 9 && d == 1.5);
    arrived++;
    return 1;
}

/* A variadic function. */
GO_TEST(capture_variadic)
{
    ARRIVES(variadic, 'a', 9, 1.5);
}

/* ---- D2: attributes of the target must not make the compiler drop code ------------------------- */

static __attribute__((noreturn)) void never_returns(int n)
{
    CHECK_EQ(n, 6);
    arrived++;
    rn_exit(n);
}

static __attribute__((const)) int const_function(int n)
{
    return n * 2;
}

static __attribute__((pure)) int pure_function(const int *n)
{
    return *n;
}

static __attribute__((warn_unused_result)) int unused_result(int n)
{
    CHECK_EQ(n, 8);
    arrived++;
    return n;
}

static __attribute__((noinline)) int spawn_noreturn(void)
{
    rn_go(never_returns, 6);
    return 4711; /* gone if the call inherits noreturn */
}

/* D2: what follows a start is there, and a function that never returns may be started again. */
GO_TEST(attribute_noreturn)
{
    CHECK_EQ(spawn_noreturn(), 4711);
    expect_arrival(__FILE__, __LINE__);
    for (int i = 0; i < 2; i++)
        rn_go(never_returns, 6);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(arrived, 2);
}

static __attribute__((noinline)) int spawn_exit(void)
{
    rn_go(rn_exit, 0);
    return 4712;
}
static __attribute__((noinline)) int spawn_panic(bool really)
{
    if (really)
        rn_go(rn_panic, "%d and %s", 17, "more");
    return 4713;
}

/* D2: the library's own, too, one of which is variadic. */
GO_TEST(attribute_noreturn_of_ours)
{
    CHECK_EQ(spawn_exit(), 4712);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(spawn_panic(false), 4713);
}
static int panics_as_goroutine(void)
{
    CHECK_EQ(spawn_panic(true), 4713);
    rn_sleep(RN_MINUTE);
    return 0;
}
static void run_panics_as_goroutine(void)
{
    (void)!rn_run(panics_as_goroutine);
}
PLAIN_TEST(attribute_noreturn_of_a_panic)
{
    (void)test_expect_death(__FILE__, __LINE__, run_panics_as_goroutine, "panic: 17 and more");
}

static const int seven = 7;

/* D2: a const or pure function does nothing but return: what shows that a call was not dropped is who
 * waits for its end, and its result. */
GO_TEST(attribute_const_and_pure)
{
    rn_flight f = {0};
    rn_group g = {0};
    rn_wg wg = {0};
    int out;

    for (int i = 0; i < 10; i++) {
        rn_wg_go(&wg, const_function, 1);
        rn_wg_go(&wg, pure_function, &seven);
    }
    rn_wg_wait(&wg);
    rn_group_go(&g, const_function, -3);
    CHECK_EQ(rn_group_wait(&g), -6);
    CHECK_EQ(rn_flight_do(&f, "k", &out, const_function, 21), 42);
    CHECK_EQ(rn_flight_do(&f, "k", &out, pure_function, &seven), 7);
    rn_go(const_function, 1);
    rn_go(pure_function, &seven);
}

/* D2: rn_go drops the result, so warn_unused_result is no warning. */
GO_TEST(attribute_warn_unused_result)
{
    ARRIVES(unused_result, 8);
}

static __attribute__((nonnull)) void takes_nonnull(const char *text)
{
    CHECK_STR(text, "given");
    arrived++;
}

static inline __attribute__((always_inline)) void always_inlined(int n)
{
    CHECK_EQ(n, 3);
    arrived++;
}

GO_TEST(attribute_others)
{
    ARRIVES(takes_nonnull, "given");
    ARRIVES(always_inlined, 3);
}

/* ---- Evaluation --------------------------------------------------------------------------------- */

static char order_log[32];
static int order_n;

static int log_int(int value, char name)
{
    order_log[order_n++] = name;
    return value;
}

static void (*log_fn(void (*fn)(int, int), char name))(int, int)
{
    order_log[order_n++] = name;
    return fn;
}

static rn_wg *log_wg(rn_wg *wg)
{
    order_log[order_n++] = 'w';
    return wg;
}

static int times_letter(char c)
{
    int n = 0;

    for (int i = 0; i < order_n; i++)
        n += order_log[i] == c;
    return n;
}

/* RT-01, D27: function and arguments are evaluated here and now, each once. (C leaves the order of
 * arguments to the compiler; what comes before them, such as the wait group, is first.) */
GO_TEST(evaluation_once_and_now)
{
    rn_wg wg = {0};
    int a = 40;

    rn_go(log_fn(add, 'f'), log_int(a, 'a'), log_int(2, 'b'));
    a = 0;
    CHECK_EQ(order_n, 3);
    CHECK(times_letter('f') == 1 && times_letter('a') == 1 && times_letter('b') == 1);
    expect_arrival(__FILE__, __LINE__);

    order_n = 0;
    a = 40;
    rn_wg_go(log_wg(&wg), add, log_int(a, 'a'), log_int(2, 'b'));
    a = 0;
    CHECK_EQ(order_n, 3);
    CHECK(order_log[0] == 'w');
    rn_wg_wait(&wg);
    expect_arrival(__FILE__, __LINE__);

    order_n = 0;
    rn_go_with(RN_ATTR(.stack_size = (size_t)log_int(65536, 's'), .name = "adder"), add,
               log_int(40, 'a'), log_int(2, 'b'));
    CHECK_EQ(order_n, 3);
    CHECK(order_log[0] == 's');
    expect_arrival(__FILE__, __LINE__);

    order_n = 0;
    {
        rn_defer(add, log_int(40, 'a'), log_int(2, 'b'));
        CHECK_EQ(order_n, 2);
        CHECK_EQ(arrived, 0);
    }
    CHECK_EQ(order_n, 2);
    expect_arrival(__FILE__, __LINE__);
}

static void collect(rn_send_only(int) out, int i)
{
    rn_send(out, i);
}

/* RT-01: the loop variable is safe, arguments may themselves start goroutines. */
static int start_one(rn_chan(int) ch, int i)
{
    rn_go(collect, ch, 1000 + i);
    return i;
}

GO_TEST(evaluation_in_loops)
{
    rn_chan(int) ch = rn_chan_make(int, 0);
    int n = test_times(1000), sum = 0;

    for (int i = 0; i < n; i++)
        rn_go(collect, ch, start_one(ch, i));
    for (int i = 0; i < 2 * n; i++)
        sum += rn_recv(ch) % 1000;
    CHECK_EQ(sum, n * (n - 1));
    test_expect_settled(__FILE__, __LINE__);
    rn_chan_release(ch);
}

/* ---- The other forms that capture --------------------------------------------------------------- */

struct big {
    long value[1000];
};

static void sum_up(struct big *b)
{
    long sum = 0;

    for (int i = 0; i < 1000; i++)
        sum += b->value[i];
    CHECK_EQ(sum, 499500);
    b->value[0] = 1; /* a copy of one's own */
    arrived++;
}

static void sum_up_const(const struct big *b)
{
    CHECK_EQ(b->value[999], 999);
    arrived++;
}

/* D32: rn_go_copy copies *src into the goroutine, for as long as that lives. */
GO_TEST(capture_go_copy)
{
    struct big *b = malloc(sizeof(*b));

    CHECK(b);
    for (int i = 0; i < 1000; i++)
        b->value[i] = i;
    for (int i = 0; i < 10; i++)
        rn_go_copy(sum_up, b);
    rn_go_copy(sum_up_const, b);
    memset(b, 0xff, sizeof(*b));
    free(b);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(arrived, 11);
}

static int many_to_int(int a, double b, struct two_longs c, long d, long e, long f, long g, long h,
                       float i)
{
    CHECK(a == 1 && b == 2.5 && c.a == 3 && c.b == 4 && d == 5 && e == 6 && f == 7 && g == 8);
    CHECK(h == 9 && i == 10.5f);
    arrived++;
    return 77;
}

#define MANY many_to_int, 1, 2.5, ((struct two_longs){3, 4}), 5, 6, 7, 8, 9, 10.5f

/* D1, D4: one mechanism under all of them: registers, stack, struct and result. */
GO_TEST(capture_every_form)
{
    rn_wg wg = {0};
    rn_once once = {0};
    rn_group g = {0};
    rn_flight flight = {0};
    rn_ctx *ctx = rn_ctx_with_cancel(rn_ctx_background());
    rn_ctx_hook hook = {0};
    rn_timer *timer;
    int out = 0;

    rn_go(MANY);
    CHECK_EQ(rn_go_err(MANY), 0);
    rn_go_with(RN_ATTR(.name = "many"), MANY);
    rn_wg_go(&wg, MANY);
    rn_once_do(&once, MANY);
    rn_once_do(&once, MANY);
    rn_group_go(&g, MANY);
    CHECK(rn_group_try_go(&g, MANY));
    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK_EQ(rn_flight_do(&flight, "many", &out, MANY), 77);
    {
        rn_defer(MANY);
    }
    timer = rn_after_func(0, MANY);
    rn_go_after(0, MANY);
    rn_ctx_after_func(&hook, ctx, MANY);
    rn_ctx_end(ctx);
    AWAIT(arrived == 12);
    (void)rn_ctx_hook_stop(&hook);
    rn_timer_free(timer);
    rn_wg_wait(&wg);
    test_expect_settled(__FILE__, __LINE__);
    CHECK_EQ(arrived, 12);
}

/* The limit of a group refuses a try, but its arguments are evaluated all the same. */
static int block_on(rn_recv_only(int) in)
{
    (void)rn_recv(in);
    return 0;
}

GO_TEST(capture_refused_try)
{
    rn_group g = {0};
    rn_chan(int) ch = rn_chan_make(int, 0);

    rn_group_set_limit(&g, 1);
    rn_group_go(&g, block_on, ch);
    order_n = 0;
    CHECK(!rn_group_try_go(&g, many_to_int, log_int(1, 'a'), 2.5, ((struct two_longs){3, 4}), 5, 6,
                           7, 8, 9, (float)log_int(10, 'b')));
    CHECK_EQ(order_n, 2);
    rn_close(ch);
    CHECK_EQ(rn_group_wait(&g), 0);
    CHECK_EQ(arrived, 0);
    rn_chan_release(ch);
}

PLAIN_TEST(capture_run)
{
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(rn_run(MANY), 77);
        CHECK_EQ(arrived, i);
    }
}

/* RT-02: a nil function is fatal. */
DEATH_TEST(capture_nil_function, "fatal error: go of nil func value")
{
    void (*volatile nobody)(int, int) = NULL;

    rn_go(nobody, 1, 2);
    test_let_run();
}
