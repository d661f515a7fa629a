/* SPDX-License-Identifier: MIT */
/*
 * Waiting. A wait group counts what is still under way; rn_wg_wait returns when nothing is. What
 * the goroutines wrote before their done is visible after the wait. Zero is ready to use, nothing
 * is freed, and the wait group may leave scope as soon as rn_wg_wait has returned.
 */
#include <runnel.h>
#include <stdio.h>

static void count_vowels(const char *text, int *result)
{
    *result = 0;
    for (; *text; text++)
        *result += *text == 'a' || *text == 'e' || *text == 'i' || *text == 'o' || *text == 'u';
}

/* By hand: whoever is waited for calls rn_wg_done. rn_defer calls it when the block is left,
 * whichever way that happens. */
static void count_vowels_tracked(rn_wg *wg, const char *text, int *result)
{
    rn_defer(rn_wg_done, wg);
    if (text == NULL)
        return; /* done is called here, too */
    count_vowels(text, result);
}

static int program(void)
{
    enum { N = 3 };
    const char *words[N] = {"goroutine", "channel", "select"};
    int vowels[N + 1];
    rn_wg wg = {0};

    /* Add before rn_go, never inside the goroutine: the wait could come first. */
    for (int i = 0; i < N; i++) {
        rn_wg_add(&wg, 1);
        rn_go(count_vowels_tracked, &wg, words[i], &vowels[i]);
    }
    rn_wg_add(&wg, 1);
    rn_go(count_vowels_tracked, &wg, NULL, &vowels[N]);
    rn_wg_wait(&wg);
    for (int i = 0; i < N; i++)
        printf("%s: %d vowels\n", words[i], vowels[i]);

    /* The same in one step: add, start, and done at the end. The function needs to know nothing of
     * the wait group. A wait group may be used again once every wait has returned. */
    for (int i = 0; i < N; i++)
        rn_wg_go(&wg, count_vowels, words[i], &vowels[i]);
    rn_wg_wait(&wg);
    printf("together %d\n", vowels[0] + vowels[1] + vowels[2]);
    return 0;
}

int main(void)
{
    return rn_run(program);
}
