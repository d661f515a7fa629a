/* SPDX-License-Identifier: MIT */
/* programs.c - small whole programs. Workloads: README.md. */
#include "driver.h"

#include <stdlib.h>
#include <string.h>
#ifdef BENCH_HAVE_OPENSSL
#include <openssl/evp.h>
#endif

enum { RING = 503, STAGES = 4, WORKERS_PER_PROC = 4, QUEUE = 100 };

/* ---- Ring ------------------------------------------------------------------------------------- */

static void ring_node(rn_recv_only(int64_t) in, rn_send_only(int64_t) out,
                      rn_send_only(rn_unit) arrived)
{
    rn_range (hops, in) {
        if (hops == 0)
            rn_send(arrived, RN_UNIT);
        else
            rn_send(out, hops - 1);
    }
}

static void ring(struct bench *b)
{
    rn_chan(int64_t) link[RING];
    rn_chan(rn_unit) arrived = rn_chan_make(rn_unit, 0);
    rn_wg wg = {0};

    for (int i = 0; i < RING; i++)
        link[i] = rn_chan_make(int64_t, 0);
    for (int i = 0; i < RING; i++)
        rn_wg_go(&wg, ring_node, link[i], link[(i + 1) % RING], arrived);
    bench_reset(b);
    rn_send(link[0], b->n);
    (void)rn_recv(arrived);
    bench_stop(b);
    for (int i = 0; i < RING; i++)
        rn_close(link[i]);
    rn_wg_wait(&wg);
    for (int i = 0; i < RING; i++)
        rn_chan_release(link[i]);
    rn_chan_release(arrived);
}

/* ---- Sieve ------------------------------------------------------------------------------------ */

/* The numbers end at the last prime, so that every stage ends too, in C and in Go. */
static void candidates(rn_send_only(int64_t) out, int64_t last)
{
    for (int64_t i = 2; i <= last; i++)
        rn_send(out, i);
    rn_close(out);
}

/* Owns in: nobody else uses it once it is closed. */
static void filter(rn_chan(int64_t) in, rn_send_only(int64_t) out, int64_t prime)
{
    rn_range (i, in)
        if (i % prime != 0)
            rn_send(out, i);
    rn_close(out);
    rn_chan_release(in);
}

static void sieve(struct bench *b)
{
    int64_t last = b->is_smoke ? 541 : 17389, want = b->is_smoke ? 100 : 2000;

    for (int64_t k = 0; k < b->n; k++) {
        rn_chan(int64_t) ch = rn_chan_make(int64_t, 0);
        int64_t prime, count = 0;

        rn_go(candidates, ch, last);
        while (rn_recv_ok(ch, &prime)) {
            rn_chan(int64_t) next = rn_chan_make(int64_t, 0);

            count++;
            rn_go(filter, ch, next, prime);
            ch = next;
        }
        rn_chan_release(ch);
        if (count != want)
            bench_fail("%lld primes", (long long)count);
    }
}

/* ---- Skynet ----------------------------------------------------------------------------------- */

static void skynet_node(rn_send_only(int64_t) up, int64_t number, int64_t size)
{
    rn_chan(int64_t) ch;
    int64_t sum = 0;

    if (size == 1) {
        rn_send(up, number);
        return;
    }
    ch = rn_chan_make(int64_t, 0);
    for (int64_t i = 0; i < 10; i++)
        rn_go(skynet_node, ch, number + i * (size / 10), size / 10);
    for (int i = 0; i < 10; i++)
        sum += rn_recv(ch);
    rn_chan_release(ch);
    rn_send(up, sum);
}

static void skynet(struct bench *b)
{
    int64_t size = b->is_smoke ? 1000 : 1000000;

    for (int64_t k = 0; k < b->n; k++) {
        rn_chan(int64_t) ch = rn_chan_make(int64_t, 0);

        rn_go(skynet_node, ch, INT64_C(0), size);
        if (rn_recv(ch) != size * (size - 1) / 2)
            bench_fail("a wrong sum");
        rn_chan_release(ch);
    }
}

/* ---- Pipeline --------------------------------------------------------------------------------- */

static void generate(rn_send_only(int64_t) out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_send(out, i);
    rn_close(out);
}

static void add_one(rn_recv_only(int64_t) in, rn_send_only(int64_t) out)
{
    rn_range (v, in)
        rn_send(out, v + 1);
    rn_close(out);
}

static void pipeline(struct bench *b)
{
    rn_chan(int64_t) ch[STAGES + 1];
    int64_t sum = 0;

    for (int i = 0; i <= STAGES; i++)
        ch[i] = rn_chan_make(int64_t, b->arg);
    rn_go(generate, ch[0], b->n);
    for (int i = 0; i < STAGES; i++)
        rn_go(add_one, ch[i], ch[i + 1]);
    rn_range (v, ch[STAGES])
        sum += v;
    bench_stop(b);
    if (sum != b->n * (b->n - 1) / 2 + STAGES * b->n)
        bench_fail("the pipeline lost a value");
    for (int i = 0; i <= STAGES; i++)
        rn_chan_release(ch[i]);
}

/* ---- Fan-out, fan-in -------------------------------------------------------------------------- */

static void square_each(rn_recv_only(int64_t) in, rn_send_only(int64_t) out)
{
    rn_range (v, in)
        rn_send(out, v * v);
    rn_close(out);
}

static void forward(rn_recv_only(int64_t) in, rn_send_only(int64_t) out)
{
    rn_range (v, in)
        rn_send(out, v);
}

static void close_merged(rn_wg *wg, rn_send_only(int64_t) merged)
{
    rn_wg_wait(wg);
    rn_close(merged);
}

static void fan_out_fan_in(struct bench *b)
{
    int workers = b->procs;
    rn_chan(int64_t) numbers = rn_chan_make(int64_t, 0);
    rn_chan(int64_t) merged = rn_chan_make(int64_t, 0);
    rn_chan(int64_t) *outs = calloc((size_t)workers, sizeof(*outs));
    uint64_t sum = 0, want = 0;
    rn_wg wg = {0};

    if (!outs)
        bench_fail("out of memory");
    rn_go(generate, numbers, b->n);
    for (int i = 0; i < workers; i++) {
        outs[i] = rn_chan_make(int64_t, 0);
        rn_go(square_each, numbers, outs[i]);
    }
    for (int i = 0; i < workers; i++)
        rn_wg_go(&wg, forward, outs[i], merged);
    rn_go(close_merged, &wg, merged);
    rn_range (v, merged)
        sum += (uint64_t)v;
    bench_stop(b);
    for (int64_t i = 0; i < b->n; i++)
        want += (uint64_t)(i * i);
    if (sum != want)
        bench_fail("fan-in lost a value");
    for (int i = 0; i < workers; i++)
        rn_chan_release(outs[i]);
    free(outs);
    rn_chan_release(merged);
    rn_chan_release(numbers);
}

/* ---- Worker pool ------------------------------------------------------------------------------ */

struct job {
    int64_t id;
};
struct result {
    int64_t job, square;
};

static void worker(rn_recv_only(struct job) jobs, rn_send_only(struct result) results, int64_t work)
{
    rn_range (job, jobs) {
        local_work(work);
        rn_send(results, (struct result){.job = job.id, .square = job.id * job.id});
    }
}

static void submit(rn_send_only(struct job) jobs, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_send(jobs, (struct job){i});
    rn_close(jobs);
}

static void close_after(rn_wg *wg, rn_send_only(struct result) results)
{
    rn_wg_wait(wg);
    rn_close(results);
}

static void worker_pool(struct bench *b)
{
    rn_chan(struct job) jobs = rn_chan_make(struct job, QUEUE);
    rn_chan(struct result) results = rn_chan_make(struct result, QUEUE);
    rn_wg wg = {0};
    int64_t right = 0;

    for (int i = 0; i < WORKERS_PER_PROC * b->procs; i++)
        rn_wg_go(&wg, worker, jobs, results, b->arg);
    rn_go(close_after, &wg, results);
    rn_go(submit, jobs, b->n);
    rn_range (r, results)
        right += r.square == r.job * r.job;
    bench_stop(b);
    if (right != b->n)
        bench_fail("%lld right results of %lld", (long long)right, (long long)b->n);
    rn_chan_release(jobs);
    rn_chan_release(results);
}

/* ---- The same with real work: SHA-256 of blocks of 4 KiB, by OpenSSL ---------------------------- */

#ifdef BENCH_HAVE_OPENSSL

enum { BLOCK = 4096, DIGEST = 32 };

struct block_job {
    const unsigned char *block;
    int64_t id;
};
struct block_result {
    unsigned char digest[DIGEST];
    int64_t id;
};

static void hash(EVP_MD_CTX *ctx, const EVP_MD *sha256, const unsigned char *block,
                 unsigned char *digest)
{
    if (!EVP_DigestInit_ex(ctx, sha256, NULL) || !EVP_DigestUpdate(ctx, block, BLOCK) ||
        !EVP_DigestFinal_ex(ctx, digest, NULL))
        bench_fail("no digest");
}

static void hasher(const EVP_MD *sha256, rn_recv_only(struct block_job) jobs,
                   rn_send_only(struct block_result) results)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    rn_range (job, jobs) {
        struct block_result r = {.id = job.id};

        hash(ctx, sha256, job.block, r.digest);
        rn_send(results, r);
    }
    EVP_MD_CTX_free(ctx);
}

static void submit_blocks(rn_send_only(struct block_job) jobs, const unsigned char *blocks,
                          int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        rn_send(jobs, (struct block_job){blocks + i % QUEUE * BLOCK, i});
    rn_close(jobs);
}

static void close_hashed(rn_wg *wg, rn_send_only(struct block_result) results)
{
    rn_wg_wait(wg);
    rn_close(results);
}

static void hash_pool(struct bench *b)
{
    rn_chan(struct block_job) jobs = rn_chan_make(struct block_job, QUEUE);
    rn_chan(struct block_result) results = rn_chan_make(struct block_result, QUEUE);
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *blocks = malloc(QUEUE * BLOCK), want[QUEUE][DIGEST];
    int64_t alone, right = 0;
    rn_wg wg = {0};

    if (!sha256 || !ctx || !blocks)
        bench_fail("no SHA-256");
    for (int64_t i = 0; i < QUEUE * BLOCK; i++)
        blocks[i] = (unsigned char)(i * 7 + i / BLOCK);
    for (int i = 0; i < QUEUE; i++)
        hash(ctx, sha256, blocks + i * BLOCK, want[i]);
    /* What the hashing costs by itself, so that the rest is the pool's. */
    bench_reset(b);
    for (int64_t i = 0; i < b->n; i++)
        hash(ctx, sha256, blocks + i % QUEUE * BLOCK, want[i % QUEUE]);
    bench_stop(b);
    alone = b->cpu;
    b->elapsed = b->cpu = 0;
    bench_start(b);
    for (int i = 0; i < WORKERS_PER_PROC * b->procs; i++)
        rn_wg_go(&wg, hasher, sha256, jobs, results);
    rn_go(close_hashed, &wg, results);
    rn_go(submit_blocks, jobs, blocks, b->n);
    rn_range (r, results)
        right += memcmp(r.digest, want[r.id % QUEUE], DIGEST) == 0;
    bench_stop(b);
    if (right != b->n)
        bench_fail("%lld right digests of %lld", (long long)right, (long long)b->n);
    bench_report(b, (double)b->elapsed / (double)b->n, "ns/op");
    bench_report(b, (double)b->cpu / (double)b->n, "cpu-ns/op");
    bench_report(b, (double)(b->cpu - alone) / (double)b->n, "overhead-ns");
    bench_report(b, (double)alone / (double)b->n, "hash-ns");
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(sha256);
    free(blocks);
    rn_chan_release(jobs);
    rn_chan_release(results);
}
#endif

static const struct bench_entry entries[] = {
    {"Ring503", ring, 0, 0},
    {"Sieve2000", sieve, 0, 0},
    {"Skynet1000000", skynet, 0, 0},
    {"Pipeline", pipeline, 0, 0},
    {"PipelineBuffered", pipeline, QUEUE, 0},
    {"FanOutFanIn", fan_out_fan_in, 0, 0},
    {"WorkerPool", worker_pool, 100, 0},
    {"WorkerPoolEmpty", worker_pool, 0, 0},
#ifdef BENCH_HAVE_OPENSSL
    {"WorkerPoolSHA256", hash_pool, 0, 0},
#endif
};

int main(int argc, char **argv)
{
    return bench_main(argc, argv, entries, sizeof(entries) / sizeof(entries[0]));
}
