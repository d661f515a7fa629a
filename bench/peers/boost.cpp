/* SPDX-License-Identifier: MIT */
/*
 * boost.cpp - some of the benchmarks with Boost.Fiber: round robin on one thread, work stealing on more. Its channels
 * with a buffer want a power of two: 128 for 100. Skynet is missing: a million stacks of malloc, 128 KiB each, are more
 * mappings than the kernel allows. Workloads: ../README.md.
 */
#include "peer.h"

#include <boost/fiber/all.hpp>
#include <boost/fiber/algo/work_stealing.hpp>

#include <memory>
#include <thread>
#include <vector>

namespace fibers = boost::fibers;
typedef fibers::unbuffered_channel<int64_t> hand_over;
typedef fibers::buffered_channel<int64_t> queue;

static void fail(const char *why)
{
    fprintf(stderr, "boost: %s\n", why);
    exit(1);
}

static void ping_pong(int64_t n, int)
{
    hand_over ping, pong;
    fibers::fiber echo([&] {
        int64_t v;

        while (ping.pop(v) == fibers::channel_op_status::success)
            pong.push(v);
    });
    int64_t v;

    for (int64_t i = 0; i < n; i++) {
        ping.push(i);
        pong.pop(v);
    }
    ping.close();
    echo.join();
}

static void producer_consumer(int64_t n, int)
{
    queue ch(128);
    int64_t v, sum = 0;
    fibers::fiber producer([&] {
        for (int64_t i = 0; i < n; i++)
            ch.push(i);
        ch.close();
    });

    while (ch.pop(v) == fibers::channel_op_status::success)
        sum += v;
    producer.join();
    if (sum != n * (n - 1) / 2)
        fail("a lost number");
}

static void spawn_wait(int64_t n, int)
{
    for (int64_t i = 0; i < n; i++)
        fibers::fiber([] {}).join();
}

static void spawn_batch(int64_t n, int)
{
    std::vector<fibers::fiber> all;

    for (int64_t left = n; left > 0; left -= 1000) {
        all.clear();
        for (int64_t i = 0; i < 1000 && i < left; i++)
            all.emplace_back([] {});
        for (auto &f : all)
            f.join();
    }
}

static void lock_by(fibers::mutex *shared, int64_t n, int procs)
{
    std::vector<fibers::fiber> all;

    for (int i = 0; i < procs; i++)
        all.emplace_back([=] {
            fibers::mutex own;
            fibers::mutex &m = shared ? *shared : own;

            for (int64_t k = 0; k < n / procs + 1; k++) {
                m.lock();
                m.unlock();
            }
        });
    for (auto &f : all)
        f.join();
}
static void mutex_uncontended(int64_t n, int procs)
{
    lock_by(nullptr, n, procs);
}
static void mutex(int64_t n, int procs)
{
    fibers::mutex m;

    lock_by(&m, n, procs);
}

static void ring(int64_t n, int)
{
    enum { RING = 503 };
    std::vector<std::unique_ptr<hand_over>> link;
    std::vector<fibers::fiber> all;
    hand_over end;
    int64_t v;

    for (int i = 0; i < RING; i++)
        link.emplace_back(new hand_over);
    for (int i = 0; i < RING; i++)
        all.emplace_back([&, i] {
            int64_t hops;

            while (link[i]->pop(hops) == fibers::channel_op_status::success)
                (hops == 0 ? end : *link[(i + 1) % RING]).push(hops - 1);
        });
    peer_reset();
    link[0]->push(n);
    end.pop(v);
    peer_stop();
    for (auto &l : link)
        l->close();
    for (auto &f : all)
        f.join();
}

static void worker_pool(int64_t n, int procs)
{
    queue jobs(128), results(128);
    std::vector<fibers::fiber> all;
    int64_t v, sum = 0;

    for (int i = 0; i < 4 * procs; i++)
        all.emplace_back([&] {
            int64_t job;

            while (jobs.pop(job) == fibers::channel_op_status::success) {
                local_work(100);
                results.push(job);
            }
        });
    fibers::fiber submit([&] {
        for (int64_t i = 0; i < n; i++)
            jobs.push(i);
        jobs.close();
    });
    for (int64_t i = 0; i < n; i++) {
        results.pop(v);
        sum += v;
    }
    submit.join();
    for (auto &f : all)
        f.join();
    if (sum != n * (n - 1) / 2)
        fail("a lost job");
}

/* ---- Threads that steal ---------------------------------------------------------------------------- */

static fibers::mutex over_lock;
static fibers::condition_variable over_changed;
static bool over;
static std::vector<std::thread> thieves;

static void prepare(int procs)
{
    if (procs == 1)
        return;
    for (int i = 1; i < procs; i++)
        thieves.emplace_back([procs] {
            fibers::use_scheduling_algorithm<fibers::algo::work_stealing>((uint32_t)procs);
            std::unique_lock<fibers::mutex> lock(over_lock);
            over_changed.wait(lock, [] { return over; });
        });
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>((uint32_t)procs);
}

static void end_thieves()
{
    {
        std::unique_lock<fibers::mutex> lock(over_lock);
        over = true;
    }
    over_changed.notify_all();
    for (auto &t : thieves)
        t.join();
}

/* A benchmark runs in a fiber of its own, which can be stolen; the main one cannot. */
template <void (*FN)(int64_t, int)> static void in_fiber(int64_t n, int procs)
{
    fibers::fiber([=] { FN(n, procs); }).join();
}

int main(int argc, char **argv)
{
    static const struct peer_entry entries[] = {
        {"PingPong", in_fiber<ping_pong>},
        {"ProducerConsumer100", in_fiber<producer_consumer>},
        {"SpawnWait", in_fiber<spawn_wait>},
        {"SpawnBatch1000", in_fiber<spawn_batch>},
        {"MutexUncontended", in_fiber<mutex_uncontended>},
        {"Mutex", in_fiber<mutex>},
        {"Ring503", in_fiber<ring>},
        {"WorkerPool", in_fiber<worker_pool>},
        {nullptr, nullptr},
    };
    int result = peer_main(argc, argv, entries, prepare);

    end_thieves();
    return result;
}
