/* SPDX-License-Identifier: MIT */
/*
 * Goroutines. A goroutine is a function call that runs beside its caller. rn_go takes the function
 * and its arguments just as a call would: they are evaluated here and now, converted to the types
 * of the parameters, and copied. So the loop variable is safe, and a local variable may change or
 * leave scope once rn_go has returned.
 */
#include <runnel.h>
#include <stdio.h>

struct point {
    int x, y;
};

/* Nothing of a goroutine's result comes back by itself, so each one writes to a place of its own
 * and says when it is done. (Wait groups are the next example.) */
static void square(int n, int *result, rn_wg *wg)
{
    *result = n * n;
    rn_wg_done(wg);
}

static void half(double x, double *result, rn_wg *wg)
{
    *result = x / 2;
    rn_wg_done(wg);
}

static void area(struct point p, int *result, rn_wg *wg)
{
    *result = p.x * p.y;
    rn_wg_done(wg);
}

static int program(void)
{
    enum { N = 5 };
    int squares[N], seen, rectangle;
    double seven_halves;
    rn_wg wg = {0};

    rn_wg_add(&wg, N + 3);

    for (int i = 0; i < N; i++)
        rn_go(square, i, &squares[i], &wg); /* the value of i in this turn */

    int n = 10;
    rn_go(square, n, &seen, &wg); /* captured now: 10 */
    n = 99;                       /* too late to be seen */

    rn_go(half, 7, &seven_halves, &wg); /* 7 becomes a double, as in a call */
    /* rn_go(half, "7", ...) and rn_go(half, 7) do not compile, as a call would not */

    struct point p = {3, 4};
    rn_go(area, p, &rectangle, &wg); /* a struct of up to 16 bytes is copied, too */

    rn_wg_wait(&wg);
    for (int i = 0; i < N; i++)
        printf("%d squared is %d\n", i, squares[i]);
    printf("the goroutine saw 10, not %d: %d\n", n, seen);
    printf("half of 7 is %.1f, 3 by 4 is %d\n", seven_halves, rectangle);
    return 0;
}

/* rn_run runs the first goroutine and gives its result back, here as the exit status. When it
 * returns, goroutines that still run or wait are ended; so wait for those that matter. */
int main(void)
{
    return rn_run(program);
}
