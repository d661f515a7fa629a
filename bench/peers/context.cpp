/* SPDX-License-Identifier: MIT */
/*
 * context.cpp - what a switch costs where there is nothing else: two of Boost.Context's fibers, on stacks that are
 * there already, each of which resumes the other. No queue, no scheduler, one thread whatever the processors.
 */
#include "peer.h"

#include <boost/context/fiber.hpp>

namespace context = boost::context;

static void context_switch(int64_t n, int)
{
    int64_t left = n;
    context::fiber other([&left](context::fiber &&caller) {
        while (left > 0) {
            left--;
            caller = std::move(caller).resume();
        }
        return std::move(caller);
    });

    while (left > 0) {
        left--;
        other = std::move(other).resume();
    }
    while (other)
        other = std::move(other).resume();
}

static void prepare(int) {}

int main(int argc, char **argv)
{
    static const struct peer_entry entries[] = {{"ContextSwitch", context_switch},
                                                {nullptr, nullptr}};

    return peer_main(argc, argv, entries, prepare);
}
