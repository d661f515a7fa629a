// SPDX-License-Identifier: MIT
// plain.cc - the layer without macros, from C++: lambdas, exceptions and destructors in goroutines.
#include "plain.h"

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

} // namespace

int main()
{
    std::string text;

    MUST(plain_main() == 0);
    MUST(rn_run_fn(thrower, &text) == 1);
    MUST(destroyed == 2);
    MUST(text == "thrown in a goroutine");
    // D28: sizes and layouts are the same as in C.
    static_assert(sizeof(rn_mutex) == 16 && sizeof(rn_wg) == 24 && sizeof(rn_case) == 96, "sizes");
    return 0;
}
