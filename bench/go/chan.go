// SPDX-License-Identifier: MIT

package main

import (
	"sync"
	"sync/atomic"
)

const batch = 1000

type elem32 struct{ v [4]int64 }
type elem40 struct{ v [5]int64 }

func pong(in <-chan int64, out chan<- int64) {
	for v := range in {
		out <- v + 1
	}
	close(out)
}

func pingPong(b *bench) {
	there, back := make(chan int64), make(chan int64)
	v := int64(0)
	go pong(there, back)
	b.reset()
	for i := int64(0); i < b.n; i++ {
		there <- v
		v = <-back
	}
	b.stop()
	close(there)
	if _, ok := <-back; ok || v != b.n {
		fail("ping-pong counted %d of %d", v, b.n)
	}
}

func produce(out chan<- int64, n int64) {
	for i := int64(0); i < n; i++ {
		out <- i
	}
	close(out)
}

func producerConsumer(b *bench) {
	ch := make(chan int64, b.arg)
	sum := int64(0)
	go produce(ch, b.n)
	for v := range ch {
		sum += v
	}
	b.stop()
	if sum != b.n*(b.n-1)/2 {
		fail("producer-consumer lost a value")
	}
}

var (
	keepByte chan uint8
	keepInt  chan int64
	keepPtr  chan *uint8
	keep0    chan struct{}
	keep32   chan elem32
	keep40   chan elem40
)

func makeByte(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keepByte = make(chan uint8, 8)
	}
}

func makeInt(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keepInt = make(chan int64, 8)
	}
}

func makePtr(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keepPtr = make(chan *uint8, 8)
	}
}

func makeStruct0(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keep0 = make(chan struct{}, 8)
	}
}

func makeStruct32(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keep32 = make(chan elem32, 8)
	}
}

func makeStruct40(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keep40 = make(chan elem40, 8)
	}
}

func creation(b *bench) {
	b.parallel(1, func(p *part) {
		for p.next() {
			ch := make(chan int64, 1)
			ch <- 0
			<-ch
		}
	})
}

func nonblocking(b *bench) {
	ch := make(chan int64)
	b.parallel(1, func(p *part) {
		for p.next() {
			select {
			case <-ch:
				fail("received from an empty channel")
			default:
			}
		}
	})
}

func closedChan(b *bench) {
	ch := make(chan int64)
	close(ch)
	b.parallel(1, func(p *part) {
		for p.next() {
			select {
			case <-ch:
			default:
				fail("a closed channel was not ready")
			}
		}
	})
}

func fillAndDrain(p *part, ch chan int64) {
	for p.next() {
		for i := 0; i < 100; i++ {
			ch <- 0
		}
		for i := 0; i < 100; i++ {
			<-ch
		}
	}
}

func uncontended(b *bench) {
	b.parallel(1, func(p *part) { fillAndDrain(p, make(chan int64, 100)) })
}

func contended(b *bench) {
	ch := make(chan int64, 100*b.procs)
	b.parallel(1, func(p *part) { fillAndDrain(p, ch) })
}

func chanSem(b *bench) {
	sem := make(chan struct{}, b.procs)
	b.parallel(1, func(p *part) {
		for p.next() {
			sem <- struct{}{}
			<-sem
		}
	})
}

func batchesFor(n int64) int64 {
	if n < 2*batch {
		return 2
	}
	return n / batch / 2 * 2
}

func chanSync(b *bench) {
	var batches atomic.Int64
	var wg sync.WaitGroup
	ch := make(chan int64)
	work := b.arg
	batches.Store(batchesFor(b.n))
	for side := 0; side < 2; side++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				k := batches.Add(-1)
				if k < 0 {
					return
				}
				for i := 0; i < batch; i++ {
					if k%2 == 0 {
						<-ch
						localWork(work)
						ch <- 0
						localWork(work)
					} else {
						ch <- 0
						localWork(work)
						<-ch
						localWork(work)
					}
				}
			}
		}()
	}
	wg.Wait()
}

func prodCons(b *bench, capacity, work int64) {
	var batches atomic.Int64
	var wg sync.WaitGroup
	ch := make(chan int64, capacity)
	batches.Store(max(b.n/batch, 1))
	for i := 0; i < b.procs; i++ {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for batches.Add(-1) >= 0 {
				for i := 0; i < batch; i++ {
					localWork(work)
					ch <- 1
				}
			}
			ch <- 0
		}()
		go func() {
			defer wg.Done()
			for <-ch != 0 {
				localWork(work)
			}
		}()
	}
	wg.Wait()
}

func receiveFromClosed(b *bench) {
	ch := make(chan struct{}, b.n)
	for i := int64(0); i < b.n; i++ {
		ch <- struct{}{}
	}
	close(ch)
	seen := int64(0)
	b.reset()
	for range ch {
		seen++
	}
	b.stop()
	if seen != b.n {
		fail("received %d of %d", seen, b.n)
	}
}

func prodCons0(b *bench)    { prodCons(b, b.arg, 0) }
func prodConsWork(b *bench) { prodCons(b, b.arg, 100) }

var chanEntries = []entry{
	{"PingPong", pingPong, 0, 0},
	{"ProducerConsumer100", producerConsumer, 100, 0},
	{"MakeChan/Byte", makeByte, 0, 0},
	{"MakeChan/Int", makeInt, 0, 0},
	{"MakeChan/Ptr", makePtr, 0, 0},
	{"MakeChan/Struct/0", makeStruct0, 0, 0},
	{"MakeChan/Struct/32", makeStruct32, 0, 0},
	{"MakeChan/Struct/40", makeStruct40, 0, 0},
	{"ChanNonblocking", nonblocking, 0, 0},
	{"ChanUncontended", uncontended, 0, 0},
	{"ChanContended", contended, 0, 0},
	{"ChanSync", chanSync, 0, 0},
	{"ChanSyncWork", chanSync, 1000, 0},
	{"ChanProdCons0", prodCons0, 0, 0},
	{"ChanProdCons10", prodCons0, 10, 0},
	{"ChanProdCons100", prodCons0, 100, 0},
	{"ChanProdConsWork0", prodConsWork, 0, 0},
	{"ChanProdConsWork10", prodConsWork, 10, 0},
	{"ChanProdConsWork100", prodConsWork, 100, 0},
	{"ReceiveDataFromClosedChan", receiveFromClosed, 0, 0},
	{"ChanCreation", creation, 0, 0},
	{"ChanSem", chanSem, 0, 0},
	{"ChanClosed", closedChan, 0, 0},
}
