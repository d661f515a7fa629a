// SPDX-License-Identifier: MIT

package main

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	_ "unsafe" // for linkname
)

type paddedMutex struct {
	sync.Mutex
	pad [128]byte
}

type mutexTest struct {
	m        paddedMutex
	one, two uint64
	pad      [128]byte
}

func mutexUncontended(b *bench) {
	b.parallel(1, func(p *part) {
		var m paddedMutex
		for p.next() {
			m.Lock()
			m.Unlock()
		}
	})
}

func mutexLoop(b *bench, work int64) {
	var m paddedMutex
	b.parallel(int(b.arg), func(p *part) {
		for p.next() {
			m.Lock()
			m.Unlock()
			if work > 0 {
				localWork(work)
			}
		}
	})
}

func mutexPlain(b *bench) { mutexLoop(b, 0) }
func mutexWork(b *bench)  { mutexLoop(b, 100) }

func touch(a []uint64) {
	for i := 0; i < len(a); i += 4 {
		a[i]++
	}
}

func (t *mutexTest) update() {
	t.m.Lock()
	t.one -= 100
	t.two += 100
	t.m.Unlock()
}

func mutexNoSpin(b *bench) {
	var t mutexTest
	b.parallel(4, func(p *part) {
		ch := make(chan bool)
		data := make([]uint64, 32*1024/8)
		for i := 0; p.next(); i++ {
			if i%4 == 0 {
				t.update()
			} else {
				touch(data)
				go func() { ch <- true }()
				<-ch
			}
		}
	})
}

func mutexSpin(b *bench) {
	var t mutexTest
	b.parallel(1, func(p *part) {
		data := make([]uint64, 128*1024/8)
		for p.next() {
			t.update()
			touch(data)
		}
	})
}

type paddedRW struct {
	sync.RWMutex
	pad [128]byte
}

func rwUncontended(b *bench) {
	b.parallel(1, func(p *part) {
		var m paddedRW
		for p.next() {
			m.RLock()
			m.RLock()
			m.RUnlock()
			m.RUnlock()
			m.Lock()
			m.Unlock()
		}
	})
}

func rwLoop(b *bench, work int64) {
	var m paddedRW
	every := b.arg
	b.parallel(1, func(p *part) {
		for i := int64(1); p.next(); i++ {
			if i%every == 0 {
				m.Lock()
				m.Unlock()
			} else {
				m.RLock()
				if work > 0 {
					localWork(work)
				}
				m.RUnlock()
			}
		}
	})
}

func rwWrite(b *bench)     { rwLoop(b, 0) }
func rwWorkWrite(b *bench) { rwLoop(b, 100) }

//go:linkname semacquire sync.runtime_Semacquire
func semacquire(s *uint32)

//go:linkname semrelease sync.runtime_Semrelease
func semrelease(s *uint32, handoff bool, skipframes int)

type paddedSem struct {
	sem uint32
	pad [128]byte
}

func semUncontended(b *bench) {
	s := &paddedSem{sem: 1}
	for i := int64(0); i < b.n; i++ {
		semacquire(&s.sem)
		semrelease(&s.sem, false, 0)
	}
}

func semContended(b *bench) {
	s := &paddedSem{sem: 1}
	var wg sync.WaitGroup
	for _, n := range []int64{b.n / 2, b.n - b.n/2} {
		wg.Add(1)
		go func() {
			for i := int64(0); i < n; i++ {
				semacquire(&s.sem)
				semrelease(&s.sem, false, 0)
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func semaPrivate(b *bench) {
	b.parallel(1, func(p *part) {
		s := new(paddedSem)
		for p.next() {
			semrelease(&s.sem, false, 0)
			semacquire(&s.sem)
		}
	})
}

func sema(b *bench, blocks bool) {
	s := new(paddedSem)
	work := b.arg
	var wg sync.WaitGroup
	if blocks {
		wg.Add(1)
		go func() {
			for i := 0; i < b.procs/2; i++ {
				semacquire(&s.sem)
			}
			wg.Done()
		}()
	}
	b.parallel(1, func(p *part) {
		for p.next() {
			semrelease(&s.sem, false, 0)
			if work > 0 {
				localWork(work)
			}
			semacquire(&s.sem)
		}
		semrelease(&s.sem, false, 0)
	})
	wg.Wait()
}

func semaNonblock(b *bench) { sema(b, false) }
func semaBlock(b *bench)    { sema(b, true) }

// A weighted semaphore, first come first served: what package semaphore of x/sync does, which this
// module does not depend on.
type weighted struct {
	mu        sync.Mutex
	size, cur int64
	waiters   list.List
}

type weightedWaiter struct {
	n     int64
	ready chan struct{}
}

func (s *weighted) acquire(ctx context.Context, n int64) error {
	s.mu.Lock()
	select {
	case <-ctx.Done():
		s.mu.Unlock()
		return ctx.Err()
	default:
	}
	if s.size-s.cur >= n && s.waiters.Len() == 0 {
		s.cur += n
		s.mu.Unlock()
		return nil
	}
	w := weightedWaiter{n, make(chan struct{})}
	elem := s.waiters.PushBack(w)
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-w.ready:
			s.cur -= n
		default:
			s.waiters.Remove(elem)
		}
		s.wake()
		return ctx.Err()
	case <-w.ready:
		return nil
	}
}

func (s *weighted) tryAcquire(n int64) bool {
	s.mu.Lock()
	ok := s.size-s.cur >= n && s.waiters.Len() == 0
	if ok {
		s.cur += n
	}
	s.mu.Unlock()
	return ok
}

func (s *weighted) release(n int64) {
	s.mu.Lock()
	s.cur -= n
	if s.cur < 0 {
		fail("released more than held")
	}
	s.wake()
	s.mu.Unlock()
}

func (s *weighted) wake() {
	for e := s.waiters.Front(); e != nil; e = s.waiters.Front() {
		w := e.Value.(weightedWaiter)
		if s.size-s.cur < w.n {
			return
		}
		s.cur += w.n
		s.waiters.Remove(e)
		close(w.ready)
	}
}

func weightedContended(b *bench) {
	s := &weighted{size: 1}
	ctx := context.Background()
	var wg sync.WaitGroup
	for _, n := range []int64{b.n / 2, b.n - b.n/2} {
		wg.Add(1)
		go func() {
			for i := int64(0); i < n; i++ {
				if s.acquire(ctx, 1) != nil {
					fail("acquire failed")
				}
				s.release(1)
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func seq(arg int64) (capacity, size, n int64) { return arg >> 16, arg >> 8 & 255, arg & 255 }

func weightedAcquire(b *bench) {
	capacity, size, n := seq(b.arg)
	s := &weighted{size: capacity}
	ctx := context.Background()
	for i := int64(0); i < b.n; i++ {
		for k := int64(0); k < n; k++ {
			if s.acquire(ctx, size) != nil {
				fail("acquire failed")
			}
		}
		for k := int64(0); k < n; k++ {
			s.release(size)
		}
	}
}

func weightedTry(b *bench) {
	capacity, size, n := seq(b.arg)
	s := &weighted{size: capacity}
	for i := int64(0); i < b.n; i++ {
		for k := int64(0); k < n; k++ {
			if !s.tryAcquire(size) {
				fail("acquire failed")
			}
		}
		for k := int64(0); k < n; k++ {
			s.release(size)
		}
	}
}

func chanAcquire(b *bench) {
	capacity, size, n := seq(b.arg)
	s := make(chan struct{}, capacity)
	for i := int64(0); i < b.n; i++ {
		for k := int64(0); k < n*size; k++ {
			s <- struct{}{}
		}
		for k := int64(0); k < n*size; k++ {
			<-s
		}
	}
}

type paddedWG struct {
	sync.WaitGroup
	pad [128]byte
}

func wgUncontended(b *bench) {
	b.parallel(1, func(p *part) {
		var wg paddedWG
		for p.next() {
			wg.Add(1)
			wg.Done()
			wg.Wait()
		}
	})
}

func wgAddDone(b *bench) {
	var wg paddedWG
	work := b.arg
	b.parallel(1, func(p *part) {
		for p.next() {
			wg.Add(1)
			if work > 0 {
				localWork(work)
			}
			wg.Done()
		}
	})
}

func wgWait(b *bench) {
	var wg paddedWG
	work := b.arg
	b.parallel(1, func(p *part) {
		for p.next() {
			wg.Wait()
			if work > 0 {
				localWork(work)
			}
		}
	})
}

func wgReallyWait(b *bench) {
	b.parallel(1, func(p *part) {
		for p.next() {
			var wg sync.WaitGroup
			wg.Add(1)
			go func() { wg.Done() }()
			wg.Wait()
		}
	})
}

func once(b *bench) {
	var o sync.Once
	nothing := func() {}
	o.Do(nothing)
	b.parallel(1, func(p *part) {
		for p.next() {
			o.Do(nothing)
		}
	})
}

func cond(b *bench) {
	var m sync.Mutex
	c := sync.NewCond(&m)
	waiters, entered := b.arg, int64(0)
	var wg sync.WaitGroup
	for i := int64(0); i <= waiters; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int64(0); i < b.n; i++ {
				m.Lock()
				entered++
				if entered == waiters+1 {
					entered = 0
					c.Broadcast()
				} else {
					c.Wait()
				}
				m.Unlock()
			}
		}()
	}
	wg.Wait()
}

// What package errgroup of x/sync does for a zero group.
type group struct {
	wg   sync.WaitGroup
	once sync.Once
	err  error
}

func (g *group) run(fn func() error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if err := fn(); err != nil {
			g.once.Do(func() { g.err = err })
		}
	}()
}

func groupGo(b *bench) {
	g := new(group)
	success := func() error { return nil }
	for i := int64(0); i < b.n; i++ {
		g.run(success)
	}
	g.wg.Wait()
	if g.err != nil {
		fail("the group failed")
	}
}

var keptWeighted *weighted
var keptChan chan struct{}

func semaphoreNew(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keptWeighted = &weighted{size: b.arg}
	}
}

func semaphoreNewChan(b *bench) {
	for i := int64(0); i < b.n; i++ {
		keptChan = make(chan struct{}, b.arg)
	}
}

func seqEntries(label string, fn func(*bench)) []entry {
	var out []entry
	for _, s := range [][3]int64{{1, 1, 1}, {2, 1, 1}, {16, 1, 1}, {128, 1, 1}, {2, 2, 1},
		{16, 2, 8}, {128, 2, 64}, {2, 1, 2}, {16, 8, 2}, {128, 64, 2}} {
		out = append(out, entry{fmt.Sprintf("Semaphore/%s-%d-%d-%d", label, s[0], s[1], s[2]), fn,
			s[0]<<16 | s[1]<<8 | s[2], 0})
	}
	return out
}

var syncEntries = append(append(append([]entry{
	{"MutexUncontended", mutexUncontended, 0, 0},
	{"Mutex", mutexPlain, 1, 0},
	{"MutexSlack", mutexPlain, 10, 0},
	{"MutexWork", mutexWork, 1, 0},
	{"MutexWorkSlack", mutexWork, 10, 0},
	{"MutexNoSpin", mutexNoSpin, 0, 0},
	{"MutexSpin", mutexSpin, 0, 0},
	{"RWMutexUncontended", rwUncontended, 0, 0},
	{"RWMutexWrite100", rwWrite, 100, 0},
	{"RWMutexWrite10", rwWrite, 10, 0},
	{"RWMutexWorkWrite100", rwWorkWrite, 100, 0},
	{"RWMutexWorkWrite10", rwWorkWrite, 10, 0},
	{"UncontendedSemaphore", semUncontended, 0, 0},
	{"ContendedSemaphore", semContended, 0, 2},
	{"ContendedSemaphore/Weighted", weightedContended, 0, 2},
	{"SemaUncontended", semaPrivate, 0, 0},
	{"SemaSyntNonblock", semaNonblock, 0, 0},
	{"SemaSyntBlock", semaBlock, 0, 0},
	{"SemaWorkNonblock", semaNonblock, 100, 0},
	{"SemaWorkBlock", semaBlock, 100, 0},
	{"WaitGroupUncontended", wgUncontended, 0, 0},
	{"WaitGroupAddDone", wgAddDone, 0, 0},
	{"WaitGroupAddDoneWork", wgAddDone, 100, 0},
	{"WaitGroupWait", wgWait, 0, 0},
	{"WaitGroupWaitWork", wgWait, 100, 0},
	{"WaitGroupActuallyWait", wgReallyWait, 0, 0},
	{"Once", once, 0, 0},
	{"Cond1", cond, 1, 0},
	{"Cond2", cond, 2, 0},
	{"Cond4", cond, 4, 0},
	{"Cond8", cond, 8, 0},
	{"Cond16", cond, 16, 0},
	{"Cond32", cond, 32, 0},
	{"ErrgroupGo", groupGo, 0, 0},
	{"SemaphoreNew/Weighted-1", semaphoreNew, 1, 0},
	{"SemaphoreNew/Weighted-128", semaphoreNew, 128, 0},
	{"SemaphoreNew/Chan-1", semaphoreNewChan, 1, 0},
	{"SemaphoreNew/Chan-128", semaphoreNewChan, 128, 0},
}, seqEntries("Weighted-acquire", weightedAcquire)...),
	seqEntries("Weighted-tryAcquire", weightedTry)...),
	seqEntries("Chan-acquire", chanAcquire)...)
