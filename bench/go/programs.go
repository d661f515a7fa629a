// SPDX-License-Identifier: MIT

package main

import "sync"

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
				localWork(100)
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

var programEntries = []entry{
	{"Ring503", ring, 0, 0},
	{"Sieve2000", sieve, 0, 0},
	{"Skynet1000000", skynet, 0, 0},
	{"Pipeline", pipeline, 0, 0},
	{"PipelineBuffered", pipeline, queue, 0},
	{"WorkerPool", workerPool, 0, 0},
}
