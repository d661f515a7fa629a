// SPDX-License-Identifier: MIT
// plain.cc - the layer without macros, from C++: lambdas, exceptions and destructors in goroutines.
#include "plain.h"

#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

namespace {

int destroyed;

struct noisy {
    ~noisy() { destroyed++; }
};

int thrower(void *arg)
{
    noisy outer;

    try {
        noisy inner;

        rn_yield();
        throw std::runtime_error("thrown in a goroutine");
    } catch (const std::exception &e) {
        rn_yield(); // may go on upon another thread
        *static_cast<std::string *>(arg) = e.what();
    }
    return destroyed;
}

// Each waits inside a catch block, on whatever thread, and throws again what it caught: it must be its own.
rn_wg catchers;
std::atomic<int> right;

void catcher(void *arg)
{
    int mine = static_cast<int>(reinterpret_cast<std::intptr_t>(arg));

    for (int i = 0; i < 50; i++) {
        try {
            try {
                throw mine * 1000 + i;
            } catch (int) {
                for (int k = 0; k < 5; k++) {
                    if ((mine + i) % 7 == 0)
                        rn_sleep(1000); // first, so that no yield has put the exception away already
                    rn_yield();
                }
                throw;
            }
        } catch (int e) {
            right += e == mine * 1000 + i;
        }
    }
}

int catch_all(void *)
{
    for (std::intptr_t i = 0; i < 40; i++)
        rn_wg_go_fn(&catchers, catcher, reinterpret_cast<void *>(i));
    rn_wg_wait(&catchers);
    return right;
}

// D5: rn_exit ends a goroutine where it stands. It is not an exception: no destructor runs, in no frame, and no catch
// block either.
int caught_exit;

int exit_below(int depth)
{
    noisy here;

    if (depth > 0)
        return exit_below(depth - 1) + 1;
    if (caught_exit == 0)
        rn_exit(7);
    return -1;
}

int exit_deep(void *)
{
    noisy outer;

    try {
        return exit_below(10);
    } catch (...) {
        caught_exit++;
        throw;
    }
}

// Nor does what the goroutine had caught go over to another one.
int others = 0;

void exit_while_catching(void *)
{
    try {
        throw 5;
    } catch (int) {
        rn_exit(0);
    }
}

void look_for_others(void *)
{
    others += std::current_exception() != nullptr;
}

int exits_while_catching(void *)
{
    rn_wg wg = {};

    for (int i = 0; i < 20; i++) { // new ones run newest first: each that looks after one that has exited
        rn_wg_go_fn(&wg, look_for_others, nullptr);
        rn_wg_go_fn(&wg, exit_while_catching, nullptr);
    }
    rn_wg_wait(&wg);
    return others;
}

// A run inside a catch block: the goroutines have caught nothing, and the thread still has what it caught.
int run_while_catching()
{
    try {
        try {
            throw 6;
        } catch (int) {
            MUST(rn_run_fn(catch_all, nullptr) == 40 * 50);
            MUST(rn_run_fn(exits_while_catching, nullptr) == 0);
            throw;
        }
    } catch (int e) {
        return e;
    }
}

} // namespace

int main()
{
    std::string text;

    MUST(plain_main() == 0);
    MUST(rn_run_fn(thrower, &text) == 1);
    MUST(destroyed == 2);
    MUST(text == "thrown in a goroutine");
    MUST(rn_run_fn(catch_all, nullptr) == 40 * 50);
    destroyed = 0;
    MUST(rn_run_fn(exit_deep, nullptr) == 7);
    MUST(destroyed == 0 && caught_exit == 0);
    MUST(rn_set_procs(1) == 0);
    MUST(rn_run_fn(exits_while_catching, nullptr) == 0);
    right = 0;
    MUST(run_while_catching() == 6);
    MUST(rn_set_procs(0) == 0);
    right = 0;
    MUST(run_while_catching() == 6);
    // D28: sizes and layouts are the same as in C.
    static_assert(sizeof(rn_mutex) == 16 && sizeof(rn_wg) == 24 && sizeof(rn_case) == 96, "sizes");
    return 0;
}
