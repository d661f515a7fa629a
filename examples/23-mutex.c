/* SPDX-License-Identifier: MIT */
/*
 * Mutex. Where goroutines share memory, a mutex lets one of them in at a time. Keep it beside what
 * it guards, say so in a comment, and unlock with rn_defer, which no return can forget. A goroutine
 * that waits for the lock does not block a thread.
 */
#include <errno.h>
#include <runnel.h>
#include <stdio.h>

struct bank {
    rn_mutex mu;
    int balance[3]; /* guarded by mu */
    int transfers;  /* guarded by mu */
};

static int transfer(struct bank *bank, int from, int to, int amount)
{
    rn_mutex_lock(&bank->mu);
    rn_defer(rn_mutex_unlock, &bank->mu);
    if (bank->balance[from] < amount)
        return -ERANGE; /* unlocked on the way out */
    bank->balance[from] -= amount;
    bank->balance[to] += amount; /* nobody sees the money on its way */
    bank->transfers++;
    return 0;
}

/* Readers lock, too. */
static int total(struct bank *bank)
{
    rn_mutex_lock(&bank->mu);
    rn_defer(rn_mutex_unlock, &bank->mu);
    return bank->balance[0] + bank->balance[1] + bank->balance[2];
}

static void trade(struct bank *bank, int who)
{
    for (int i = 0; i < 100; i++)
        (void)transfer(bank, who, (who + 1) % 3, 1);
}

static void audit(struct bank *bank, int *wrong)
{
    for (int i = 0; i < 100; i++)
        *wrong += total(bank) != 3000;
}

static int program(void)
{
    struct bank bank = {.balance = {1000, 1000, 1000}};
    int wrong = 0;
    rn_wg wg = {0};

    for (int i = 0; i < 9; i++)
        rn_wg_go(&wg, trade, &bank, i % 3);
    rn_wg_go(&wg, audit, &bank, &wrong);
    rn_wg_wait(&wg);
    printf("%d transfers, %d wrong totals, %d in the end\n", bank.transfers, wrong, total(&bank));
    printf("overdrawn: %s\n", transfer(&bank, 0, 1, 5000) == -ERANGE ? "refused" : "?");

    if (rn_mutex_try_lock(&bank.mu)) { /* if that needs no waiting */
        printf("a second try while it is locked: %d\n", rn_mutex_try_lock(&bank.mu));
        rn_mutex_unlock(&bank.mu);
    }
    return 0;
}

int main(void)
{
    return rn_run(program);
}
