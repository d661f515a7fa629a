// SPDX-License-Identifier: MIT
// plain.cc - the layer without macros, from C++: lambdas, exceptions and destructors in goroutines.
#include "plain.h"

#include <atomic>
#include <cstdint>
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
                    rn_yield();
                    if ((mine + i) % 7 == 0)
                        rn_sleep(1000);
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

} // namespace

int main()
{
    std::string text;

    MUST(plain_main() == 0);
    MUST(rn_run_fn(thrower, &text) == 1);
    MUST(destroyed == 2);
    MUST(text == "thrown in a goroutine");
    MUST(rn_run_fn(catch_all, nullptr) == 40 * 50);
    // D28: sizes and layouts are the same as in C.
    static_assert(sizeof(rn_mutex) == 16 && sizeof(rn_wg) == 24 && sizeof(rn_case) == 96, "sizes");
    return 0;
}
