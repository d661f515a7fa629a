// SPDX-License-Identifier: MIT

package main

import (
	"crypto/sha256"
	"sync"
)

const (
	ringSize       = 503
	stages         = 4
	workersPerProc = 4
	queue          = 100
)

func ring(b *bench) {
	var link [ringSize]chan int64
	var wg sync.WaitGroup
	arrived := make(chan struct{})
	for i := range link {
		link[i] = make(chan int64)
	}
	for i := range link {
		in, out := link[i], link[(i+1)%ringSize]
		wg.Add(1)
		go func() {
			defer wg.Done()
			for hops := range in {
				if hops == 0 {
					arrived <- struct{}{}
				} else {
					out <- hops - 1
				}
			}
		}()
	}
	b.reset()
	link[0] <- b.n
	<-arrived
	b.stop()
	for i := range link {
		close(link[i])
	}
	wg.Wait()
}

func candidates(out chan<- int64, last int64) {
	for i := int64(2); i <= last; i++ {
		out <- i
	}
	close(out)
}

func filter(in <-chan int64, out chan<- int64, prime int64) {
	for i := range in {
		if i%prime != 0 {
			out <- i
		}
	}
	close(out)
}

func sieve(b *bench) {
	last, want := int64(17389), 2000
	if b.smoke {
		last, want = 541, 100
	}
	for k := int64(0); k < b.n; k++ {
		ch := make(chan int64)
		count := 0
		go candidates(ch, last)
		for {
			prime, ok := <-ch
			if !ok {
				break
			}
			next := make(chan int64)
			count++
			go filter(ch, next, prime)
			ch = next
		}
		if count != want {
			fail("%d primes", count)
		}
	}
}

func skynetNode(up chan<- int64, number, size int64) {
	if size == 1 {
		up <- number
		return
	}
	ch := make(chan int64)
	for i := int64(0); i < 10; i++ {
		go skynetNode(ch, number+i*(size/10), size/10)
	}
	sum := int64(0)
	for i := 0; i < 10; i++ {
		sum += <-ch
	}
	up <- sum
}

func skynet(b *bench) {
	size := int64(1000000)
	if b.smoke {
		size = 1000
	}
	for k := int64(0); k < b.n; k++ {
		ch := make(chan int64)
		go skynetNode(ch, 0, size)
		if <-ch != size*(size-1)/2 {
			fail("a wrong sum")
		}
	}
}

func addOne(in <-chan int64, out chan<- int64) {
	for v := range in {
		out <- v + 1
	}
	close(out)
}

func pipeline(b *bench) {
	var ch [stages + 1]chan int64
	for i := range ch {
		ch[i] = make(chan int64, b.arg)
	}
	go produce(ch[0], b.n)
	for i := 0; i < stages; i++ {
		go addOne(ch[i], ch[i+1])
	}
	sum := int64(0)
	for v := range ch[stages] {
		sum += v
	}
	b.stop()
	if sum != b.n*(b.n-1)/2+stages*b.n {
		fail("the pipeline lost a value")
	}
}

type job struct{ id int64 }
type result struct{ job, square int64 }

func workerPool(b *bench) {
	jobs, results := make(chan job, queue), make(chan result, queue)
	var wg sync.WaitGroup
	for i := 0; i < workersPerProc*b.procs; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range jobs {
				localWork(b.arg)
				results <- result{j.id, j.id * j.id}
			}
		}()
	}
	go func() {
		wg.Wait()
		close(results)
	}()
	go func() {
		for i := int64(0); i < b.n; i++ {
			jobs <- job{i}
		}
		close(jobs)
	}()
	right := int64(0)
	for r := range results {
		if r.square == r.job*r.job {
			right++
		}
	}
	b.stop()
	if right != b.n {
		fail("%d right results of %d", right, b.n)
	}
}

func fanOutFanIn(b *bench) {
	numbers, merged := make(chan int64), make(chan int64)
	go produce(numbers, b.n)
	var wg sync.WaitGroup
	for i := 0; i < b.procs; i++ {
		out := make(chan int64)
		go func() {
			for v := range numbers {
				out <- v * v
			}
			close(out)
		}()
		wg.Add(1)
		go func() {
			defer wg.Done()
			for v := range out {
				merged <- v
			}
		}()
	}
	go func() {
		wg.Wait()
		close(merged)
	}()
	sum, want := uint64(0), uint64(0)
	for v := range merged {
		sum += uint64(v)
	}
	b.stop()
	for i := int64(0); i < b.n; i++ {
		want += uint64(i * i)
	}
	if sum != want {
		fail("fan-in lost a value")
	}
}

const blockSize = 4096

type blockJob struct {
	block []byte
	id    int64
}
type blockResult struct {
	digest [sha256.Size]byte
	id     int64
}

func hashPool(b *bench) {
	jobs, results := make(chan blockJob, queue), make(chan blockResult, queue)
	blocks := make([]byte, queue*blockSize)
	var want [queue][sha256.Size]byte
	for i := range blocks {
		blocks[i] = byte(i*7 + i/blockSize)
	}
	block := func(i int64) []byte { return blocks[i%queue*blockSize:][:blockSize] }
	for i := int64(0); i < queue; i++ {
		want[i] = sha256.Sum256(block(i))
	}
	// What the hashing costs by itself, so that the rest is the pool's.
	b.reset()
	for i := int64(0); i < b.n; i++ {
		want[i%queue] = sha256.Sum256(block(i))
	}
	b.stop()
	alone := b.cpu
	b.elapsed, b.cpu = 0, 0
	b.start()
	var wg sync.WaitGroup
	for i := 0; i < workersPerProc*b.procs; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range jobs {
				results <- blockResult{sha256.Sum256(j.block), j.id}
			}
		}()
	}
	go func() {
		wg.Wait()
		close(results)
	}()
	go func() {
		for i := int64(0); i < b.n; i++ {
			jobs <- blockJob{block(i), i}
		}
		close(jobs)
	}()
	right := int64(0)
	for r := range results {
		if r.digest == want[r.id%queue] {
			right++
		}
	}
	b.stop()
	if right != b.n {
		fail("%d right digests of %d", right, b.n)
	}
	n := float64(b.n)
	b.report(float64(b.elapsed)/n, "ns/op")
	b.report(float64(b.cpu)/n, "cpu-ns/op")
	b.report(float64(b.cpu-alone)/n, "overhead-ns")
	b.report(float64(alone)/n, "hash-ns")
}

var programEntries = []entry{
	{"Ring503", ring, 0, 0},
	{"Sieve2000", sieve, 0, 0},
	{"Skynet1000000", skynet, 0, 0},
	{"Pipeline", pipeline, 0, 0},
	{"PipelineBuffered", pipeline, queue, 0},
	{"FanOutFanIn", fanOutFanIn, 0, 0},
	{"WorkerPool", workerPool, 100, 0},
	{"WorkerPoolEmpty", workerPool, 0, 0},
	{"WorkerPoolSHA256", hashPool, 0, 0},
}
