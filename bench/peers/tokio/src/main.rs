// SPDX-License-Identifier: MIT

//! Some of the benchmarks with Tokio: tasks on P worker threads. It has no channel without a buffer, so there the
//! capacity is 1; and none with several receivers, so the workers of a pool share one under a mutex, as its tutorial
//! does. Workloads: ../../README.md; the rule for the number of operations: ../../driver.c.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, Mutex};
use tokio::task::JoinHandle;

type Done = Pin<Box<dyn Future<Output = Option<Duration>> + Send>>;

#[inline(never)]
fn local_work(w: i64) {
    let mut x = 1u64;
    for _ in 0..w {
        x = std::hint::black_box(
            x.wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407),
        );
    }
}

async fn join_all(all: Vec<JoinHandle<()>>) {
    for t in all {
        t.await.unwrap();
    }
}

async fn ping_pong(n: i64, _: usize) -> Option<Duration> {
    let (ping, mut ping_in) = mpsc::channel(1);
    let (pong, mut pong_in) = mpsc::channel(1);
    let echo = tokio::spawn(async move {
        while let Some(v) = ping_in.recv().await {
            pong.send(v).await.unwrap();
        }
    });
    for i in 0..n {
        ping.send(i).await.unwrap();
        assert!(pong_in.recv().await == Some(i));
    }
    drop(ping);
    echo.await.unwrap();
    None
}

async fn producer_consumer(n: i64, _: usize) -> Option<Duration> {
    let (to, mut from) = mpsc::channel(100);
    let producer = tokio::spawn(async move {
        for i in 0..n {
            to.send(i).await.unwrap();
        }
    });
    let mut sum = 0;
    while let Some(v) = from.recv().await {
        sum += v;
    }
    producer.await.unwrap();
    assert!(sum == n * (n - 1) / 2);
    None
}

async fn spawn_wait(n: i64, _: usize) -> Option<Duration> {
    for _ in 0..n {
        tokio::spawn(async {}).await.unwrap();
    }
    None
}

async fn spawn_batch(n: i64, _: usize) -> Option<Duration> {
    let mut left = n;
    while left > 0 {
        join_all(
            (0..left.min(1000))
                .map(|_| tokio::spawn(async {}))
                .collect(),
        )
        .await;
        left -= 1000;
    }
    None
}

async fn lock_by(shared: Option<Arc<Mutex<()>>>, n: i64, procs: usize) {
    let part = n / procs as i64 + 1;
    join_all(
        (0..procs)
            .map(|_| {
                let m = shared.clone().unwrap_or_else(|| Arc::new(Mutex::new(())));
                tokio::spawn(async move {
                    for _ in 0..part {
                        drop(m.lock().await);
                    }
                })
            })
            .collect(),
    )
    .await;
}

async fn mutex_uncontended(n: i64, procs: usize) -> Option<Duration> {
    lock_by(None, n, procs).await;
    None
}

async fn mutex(n: i64, procs: usize) -> Option<Duration> {
    lock_by(Some(Arc::new(Mutex::new(()))), n, procs).await;
    None
}

async fn ring(n: i64, _: usize) -> Option<Duration> {
    const RING: usize = 503;
    let (end, mut ended) = mpsc::channel(1);
    let (to, from): (Vec<_>, Vec<_>) = (0..RING).map(|_| mpsc::channel::<i64>(1)).unzip();
    let first = to[0].clone();
    let mut all = Vec::new();
    for (i, mut input) in from.into_iter().enumerate() {
        let next = to[(i + 1) % RING].clone();
        let end = end.clone();
        all.push(tokio::spawn(async move {
            while let Some(hops) = input.recv().await {
                if hops < 0 {
                    return;
                }
                let out = if hops == 0 { &end } else { &next };
                out.send(hops - 1).await.unwrap();
            }
        }));
    }
    let started = Instant::now();
    first.send(n).await.unwrap();
    ended.recv().await;
    let elapsed = started.elapsed();
    for t in &to {
        t.send(-1).await.unwrap();
    }
    join_all(all).await;
    Some(elapsed)
}

fn node(up: mpsc::Sender<i64>, number: i64, size: i64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            up.send(number).await.unwrap();
            return;
        }
        let (to, mut from) = mpsc::channel(1);
        for i in 0..10 {
            tokio::spawn(node(to.clone(), number + i * (size / 10), size / 10));
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += from.recv().await.unwrap();
        }
        up.send(sum).await.unwrap();
    })
}

async fn skynet(n: i64, _: usize) -> Option<Duration> {
    for _ in 0..n {
        let (to, mut from) = mpsc::channel(1);
        tokio::spawn(node(to, 0, 1000000));
        assert!(from.recv().await == Some(499999500000));
    }
    None
}

async fn worker_pool(n: i64, procs: usize) -> Option<Duration> {
    let (jobs, from) = mpsc::channel::<i64>(100);
    let (to, mut results) = mpsc::channel(100);
    let from = Arc::new(Mutex::new(from));
    for _ in 0..4 * procs {
        let from = from.clone();
        let to = to.clone();
        tokio::spawn(async move {
            loop {
                let job = from.lock().await.recv().await;
                let Some(job) = job else { return };
                local_work(100);
                to.send((job, job * job)).await.unwrap();
            }
        });
    }
    drop(to);
    tokio::spawn(async move {
        for i in 0..n {
            jobs.send(i).await.unwrap();
        }
    });
    let mut right = 0;
    while let Some((job, square)) = results.recv().await {
        right += (square == job * job) as i64;
    }
    assert!(right == n);
    None
}

type Entry = (&'static str, fn(i64, usize) -> Done);

const ENTRIES: &[Entry] = &[
    ("PingPong", |n, p| Box::pin(ping_pong(n, p))),
    ("ProducerConsumer100", |n, p| {
        Box::pin(producer_consumer(n, p))
    }),
    ("SpawnWait", |n, p| Box::pin(spawn_wait(n, p))),
    ("SpawnBatch1000", |n, p| Box::pin(spawn_batch(n, p))),
    ("MutexUncontended", |n, p| Box::pin(mutex_uncontended(n, p))),
    ("Mutex", |n, p| Box::pin(mutex(n, p))),
    ("Ring503", |n, p| Box::pin(ring(n, p))),
    ("Skynet1000000", |n, p| Box::pin(skynet(n, p))),
    ("WorkerPool", |n, p| Box::pin(worker_pool(n, p))),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "-list") {
        for (name, _) in ENTRIES {
            println!("{name}");
        }
        return;
    }
    let option = |name: &str, fallback: &str| -> String {
        let at = args.iter().position(|a| a == name);
        at.and_then(|i| args.get(i + 1))
            .map_or(fallback.to_string(), |s| s.clone())
    };
    let run = option("-run", "");
    let wanted = run.trim_start_matches('^').trim_end_matches('$');
    let procs: usize = option("-procs", "1").parse().unwrap();
    let target = Duration::from_millis(option("-time", "100").parse().unwrap());
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(procs)
        .build()
        .unwrap();
    for (name, fun) in ENTRIES {
        if !wanted.is_empty() && *name != wanted {
            continue;
        }
        let mut n = 1i64;
        loop {
            let started = Instant::now();
            // In a task: what block_on runs itself is no worker's.
            let own = rt.block_on(async { tokio::spawn(fun(n, procs)).await.unwrap() });
            let elapsed = own
                .unwrap_or(started.elapsed())
                .max(Duration::from_nanos(1));
            if elapsed >= target || n >= 1000000000 {
                let each = elapsed.as_nanos() as f64 / n as f64;
                println!("{name:<44} {each:14.2} {:<14} {n:12}", "ns/op");
                break;
            }
            let want = 1.2 * target.as_nanos() as f64 * n as f64 / elapsed.as_nanos() as f64;
            n = (want as i64).clamp(n + 1, n * 100);
        }
    }
}
