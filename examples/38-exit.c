/* SPDX-License-Identifier: MIT */
/*
 * Exit. rn_exit ends the goroutine that calls it, however deep in its calls it is: the deferred
 * calls run, and the result goes to whoever waits for the goroutine's result: a group, a flight, or
 * rn_run. In the first goroutine the others go on, and rn_run returns once the last has ended.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

static int parse_digit(char c)
{
    if (c < '0' || c > '9')
        rn_exit(rn_errorf(-EINVAL, "'%c' is not a digit", c)); /* does not return */
    return c - '0';
}

static void mark(bool *flag)
{
    *flag = true;
}

static int sum_digits(const char *text, int *sum, bool *cleaned_up)
{
    rn_defer(mark, cleaned_up); /* runs after rn_exit as after return */
    for (; *text; text++)
        *sum += parse_digit(*text); /* needs no check: parse_digit does not return on error */
    return 0;
}

static void slow_printer(const char *line)
{
    rn_sleep(2 * RN_MILLISECOND);
    puts(line);
}

static int program(void)
{
    static const char *const texts[] = {"123", "4x6"};
    int sums[2] = {0};
    bool cleaned_up[2] = {false};
    rn_group group = {0};

    for (int i = 0; i < 2; i++)
        rn_group_go(&group, sum_digits, texts[i], &sums[i], &cleaned_up[i]);
    int err = rn_group_wait(&group);
    printf("sum %d; error: %s\n", sums[0], rn_errmsg(err));
    printf("cleaned up: %d %d\n", cleaned_up[0], cleaned_up[1]);

    rn_go(slow_printer, "the other goroutine was not cut off");
    rn_exit(3); /* return 3 would end the other goroutine here */
}

int main(void)
{
    int result = rn_run(program);

    printf("rn_run gave %d\n", result);
    return result == 3 ? 0 : 1;
}
