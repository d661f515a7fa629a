// SPDX-License-Identifier: MIT

package main

import (
	"sync"
	"sync/atomic"
	"time"
)

func selectUncontended(b *bench) {
	b.parallel(1, func(p *part) {
		one, two := make(chan int64, 1), make(chan int64, 1)
		one <- 0
		for p.next() {
			select {
			case <-one:
				two <- 0
			case <-two:
				one <- 0
			}
		}
	})
}

func selectSyncContended(b *bench) {
	c1, c2, c3, done := make(chan int64), make(chan int64), make(chan int64), make(chan bool)
	var helpers sync.WaitGroup
	b.parallel(1, func(p *part) {
		helpers.Add(1)
		go func() {
			defer helpers.Done()
			for {
				select {
				case c1 <- 0:
				case c2 <- 0:
				case c3 <- 0:
				case <-done:
					return
				}
			}
		}()
		for p.next() {
			select {
			case <-c1:
			case <-c2:
			case <-c3:
			}
		}
	})
	b.stop()
	close(done)
	helpers.Wait()
}

func selectAsyncContended(b *bench) {
	c1, c2 := make(chan int64, b.procs), make(chan int64, b.procs)
	b.parallel(1, func(p *part) {
		c1 <- 0
		for p.next() {
			select {
			case <-c1:
				c2 <- 0
			case <-c2:
				c1 <- 0
			}
		}
	})
}

func selectNonblock(b *bench) {
	c1, c2 := make(chan int64), make(chan int64)
	c3, c4 := make(chan int64, 1), make(chan int64, 1)
	b.parallel(1, func(p *part) {
		for p.next() {
			select {
			case <-c1:
			default:
			}
			select {
			case c2 <- 0:
			default:
			}
			select {
			case <-c3:
			default:
			}
			select {
			case c4 <- 0:
			default:
			}
		}
	})
}

func selectProdCons(b *bench) {
	var batches atomic.Int64
	var wg sync.WaitGroup
	ch, closing := make(chan int64, 128), make(chan bool)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	batches.Store(max(b.n/batch, 1))
	for i := 0; i < b.procs; i++ {
		wg.Add(2)
		go func() {
			defer wg.Done()
			for batches.Add(-1) >= 0 {
				for i := 0; i < batch; i++ {
					localWork(100)
					select {
					case ch <- 1:
					case <-timer.C:
						fail("the wrong case")
					case <-closing:
						fail("the wrong case")
					}
				}
			}
			ch <- 0
		}()
		go func() {
			defer wg.Done()
			for {
				select {
				case v := <-ch:
					if v == 0 {
						return
					}
				case <-timer.C:
					fail("the wrong case")
				case <-closing:
					fail("the wrong case")
				}
				localWork(100)
			}
		}()
	}
	wg.Wait()
}

func chanPopular(b *bench) {
	const waiters = 1000
	shared := make(chan bool)
	var own []chan bool
	var wg sync.WaitGroup
	for i := 0; i < waiters; i++ {
		ch := make(chan bool)
		own = append(own, ch)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := int64(0); k < b.n; k++ {
				select {
				case <-shared:
					fail("the wrong case")
				case <-ch:
				}
			}
		}()
	}
	for k := int64(0); k < b.n; k++ {
		for _, ch := range own {
			ch <- true
		}
	}
	wg.Wait()
}

func selectFan(b *bench) {
	var ch [8]chan int64
	for i := range ch {
		ch[i] = make(chan int64)
	}
	n, k := b.n, b.arg
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := int64(0); i < n; i++ {
			ch[i%k] <- i
		}
	}()
	v, sum := int64(0), int64(0)
	for i := int64(0); i < n; i++ {
		if k == 2 {
			select {
			case v = <-ch[0]:
			case v = <-ch[1]:
			}
		} else {
			select {
			case v = <-ch[0]:
			case v = <-ch[1]:
			case v = <-ch[2]:
			case v = <-ch[3]:
			case v = <-ch[4]:
			case v = <-ch[5]:
			case v = <-ch[6]:
			case v = <-ch[7]:
			}
		}
		sum += v
	}
	wg.Wait()
	b.stop()
	if sum != n*(n-1)/2 {
		fail("select lost a value")
	}
}

var selectEntries = []entry{
	{"SelectUncontended", selectUncontended, 0, 0},
	{"SelectSyncContended", selectSyncContended, 0, 0},
	{"SelectAsyncContended", selectAsyncContended, 0, 0},
	{"SelectNonblock", selectNonblock, 0, 0},
	{"SelectProdCons", selectProdCons, 0, 0},
	{"ChanPopular", chanPopular, 0, 0},
	{"SelectFan2", selectFan, 2, 0},
	{"SelectFan8", selectFan, 8, 0},
}
